from __future__ import annotations

import io

from rich.console import Console

from xraysr.presets import ModelCard
from xraysr.presets.page import page, presets_table, size_text


def test_the_page_says_all_the_card_says(home, make_card):
    text = page(
        make_card(
            perceptual={"niqe": {"HR": 3.1, "base-x4": 4.2}},
            downstream={"auc": "0.91 [0.88, 0.94]"},
        )
    )
    assert text.startswith("# base-x4\n\nBest fidelity. Research use only; not a medical device.")
    for said in (
        "- architecture: srresnet, depth 1, width 8",
        "- parameters: 1,234",
        "- sha256: " + "0" * 64,
        "  - steps: 7",
        "  - data: films",
        "- nih_chest_xray: 683 films of 467 patients, adults. Licence: no restriction on use. "
        "Cite: Wang 2017.",
        "one hospital",
        "PSNR in float64",
        "nih_chest_xray, 32:128: 3 test films of 2 patients",
        "| bicubic | 31.50 [31.00, 35.00] | -1.50 [-2.00, +2.00] |",
        "| Lanczos | 33.00 [31.00, 35.00] |                      |",
        "| base-x4 | 34.50 [31.00, 35.00] | +1.50 [-2.00, +2.00] |",
        "- nih_chest_xray, 32:128: film6 -4.50, film5 -3.50",
        "- 32:128: FSRCNN 31 dB",
        "- niqe:\n  - HR: 3.1\n  - base-x4: 4.2",
        "- auc: 0.91 [0.88, 0.94]",
        "## Not for\n\n- diagnosis",
    ):
        assert said in text


def scored(gain: float) -> dict:
    """What a card says of 2 films by one row."""
    gains = {"bicubic": {"mean": -0.251, "low": -0.3, "high": -0.2}}
    gains["base-x4"] = {"mean": gain, "low": gain - 0.5, "high": gain + 0.5}
    rows = {"box average": {"lanczos_psnr": 33.456, "psnr_over_lanczos": gains}}
    return {"n": 2, "patients": 1, "hr": "256x256", "rows": rows}


def test_the_page_shows_what_other_lr_brings(home, put):
    put(
        "base-x4",
        matrix={"nih_chest_xray": {"64:256": scored(1.2), "128:512": scored(-0.8)}},
        native={"films": "films of a clinic", **scored(0.1)},
    )
    _, text = page(ModelCard.load("base-x4")).split("## When LR was made in other ways")
    text, rest = text.split("## At a detector's own sampling")
    for said in (
        "PSNR over Lanczos interpolation of the same LR in dB",
        "nih_chest_xray, 64:256: 2 films of 1 patients, HR 256x256",
        "nih_chest_xray, 128:512: 2 films of 1 patients, HR 256x256",
        "| LR          | Lanczos PSNR dB | bicubic              | base-x4              |",
        "| box average | 33.46           | -0.25 [-0.30, -0.20] | +1.20 [+0.70, +1.70] |",
        "| box average | 33.46           | -0.25 [-0.30, -0.20] | -0.80 [-1.30, -0.30] |",
    ):
        assert said in text
    assert "films of a clinic: 2 films of 1 patients, HR 256x256" in rest
    assert "+0.10 [-0.40, +0.60]" in rest and "+1.20" not in rest


def test_what_was_not_measured_has_no_heading(home, make_card):
    text = page(make_card(photographs={}))
    assert "## Scores" in text
    for title in ("Perception", "Downstream", "photographs", "other ways", "own sampling"):
        assert title not in text


def test_size_is_that_of_the_file(home, make_card):
    card = make_card()
    assert size_text(card) == "missing"
    path = home / "weights" / "base-x4.safetensors"
    path.parent.mkdir(parents=True)
    for size, text in ((102_400, "102 kB"), (2_620_000, "2.6 MB")):
        path.write_bytes(b"0" * size)
        assert size_text(card) == text
    assert "without TensorFlow" not in page(card)
    path.with_suffix(".tflite").write_bytes(b"0" * 65_257)
    assert "- without TensorFlow: 65 kB, TFLite, int8 weights" in page(card)


def printed() -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(presets_table())
    return console.export_text()


def test_every_preset_has_its_row(put):
    put("base-x4")
    put("edge-x2", purpose="Small devices")
    text = printed()
    for said in ("base-x4", "Best fidelity", "1,234", "32:128 +1.50", "no restriction on use"):
        assert said in text
    for said in ("edge-x2", "Small devices", "32:64 +1.50", "missing"):
        assert said in text


def test_scores_on_other_films_are_not_mistaken_for_these(put):
    card = put("base-x4")
    put("base-x4", scores={"kermany_224": card.scores["nih_chest_xray"]})
    assert "+1.50" not in printed()


def test_square_brackets_are_no_markup(put):
    put("base-x4", purpose="[bold]Best")
    assert "[bold]Best" in printed()
