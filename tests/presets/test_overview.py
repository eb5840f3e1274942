from __future__ import annotations

import io

from rich.console import Console

from xraysr.presets.overview import presets_table


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
