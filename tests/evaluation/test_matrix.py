"""The matrix against twins written out here, and what becomes of films that cannot be used."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from xraysr import plots
from xraysr.errors import UserError
from xraysr.evaluation import matrix as module
from xraysr.evaluation.evaluate import BLANK, evaluate
from xraysr.evaluation.matrix import WAYS, FilmRows, Matrix, evenly, matrix, native
from xraysr.films.finder import Film, Skipped
from xraysr.io import Radiograph, write
from xraysr.pair import Pair


class Nearest:
    """A model that repeats pixels; darker pixels a little less, so that it knows black."""

    def __init__(self, scale: int = 4) -> None:
        self.scale = scale

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        return np.kron(0.98 * lr, np.ones((self.scale, self.scale), np.float32))


def film(path: Path, patient: str | None = None) -> Film:
    return Film(path, path.stem, patient or path.stem, None, "test")


def waves(size: tuple[int, int], seed: int) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]] / 64
    image = 2 + np.sin(19 * x + seed) * np.cos(23 * y - seed) + np.sin(5 * x * y)
    image += np.random.default_rng(seed).normal(0, 0.2, size)
    return np.clip(image / 4, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[Film]:
    """Three films of two patients, 8 bits, 64x64."""
    folder = tmp_path_factory.mktemp("films")
    for seed in range(3):
        write(folder / f"film{seed}.png", Radiograph(waves((64, 64), seed)))
    return [film(folder / f"film{seed}.png", f"p{seed // 2}") for seed in range(3)]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)) / 255


def lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(image.astype(np.float32))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.LANCZOS))


def rounded(image: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(image, 0, 1)) / 255


def decibels(image: np.ndarray, hr: np.ndarray) -> float:
    inner = np.s_[4:-4, 4:-4]
    return -10 * np.log10(np.mean((np.clip(image, 0, 1)[inner] - hr[inner]) ** 2))


def gain(lr: np.ndarray, hr: np.ndarray) -> float:
    """PSNR of `Nearest` over Lanczos."""
    return decibels(Nearest()(lr), hr) - decibels(lanczos(lr, hr.shape), hr)


TWINS = {
    "Lanczos (as trained)": lambda hr: (rounded(lanczos(hr, (16, 16))), hr),
    "box average (detector binning)": lambda hr: (
        rounded(hr.reshape(16, 4, 16, 4).mean((1, 3))),
        hr,
    ),
    "the middle pixels (aliased)": lambda hr: (
        rounded(hr.reshape(16, 4, 16, 4)[:, 1:3, :, 1:3].mean((1, 3))),
        hr,
    ),
    "inverted film": lambda hr: (rounded(lanczos(1 - hr, (16, 16))), 1 - hr),
    "contrast x 0.4": lambda hr: (
        rounded(lanczos(rounded(0.3 + 0.4 * hr), (16, 16))),
        rounded(0.3 + 0.4 * hr),
    ),
}


def test_gains_are_those_worked_out_by_hand(films):
    found = matrix({"nearest": Nearest()}, films, "16:64")
    for row, twin in TWINS.items():
        expected = [gain(*twin(pixels(each.path))) for each in films]
        assert found.gain(row, "nearest").mean == pytest.approx(np.mean(expected), abs=0.02), row
        # Of two patients, all draws are of one, of the other, or of both.
        interval = found.gain(row, "nearest")
        ends = sorted((np.mean(expected[:2]), expected[2]))
        assert (interval.low, interval.high) == pytest.approx(ends, abs=0.02)
    gains = {row: found.gain(row, "nearest").mean for row in found.rows}
    assert len({round(value, 3) for value in gains.values()}) == len(WAYS), "rows are alike"


def test_the_first_row_is_what_evaluate_finds(films):
    report = evaluate({"nearest": Nearest()}, films, "16:64")
    found = matrix({"nearest": Nearest()}, films, "16:64")
    row = "Lanczos (as trained)"
    assert found.lanczos_psnr(row) == pytest.approx(
        report.interval("Lanczos", "psnr").mean, abs=0.01
    )
    for method in found.methods:
        assert found.gain(row, method).mean == pytest.approx(report.gain(method).mean, abs=0.01)


def test_rows_methods_and_films(films):
    found = matrix({"a": Nearest(), "b": Nearest()}, films, "16:64")
    assert found.rows == tuple(WAYS) and len(found.rows) == 13
    assert found.methods == ("bicubic", "a", "b")
    assert [(each.name, each.patient) for each in found.films] == [
        ("film0", "p0"), ("film1", "p0"), ("film2", "p1"),
    ]  # fmt: skip
    assert found.skipped == ()
    noise = [found.lanczos_psnr(f"Lanczos + noise of {percent} %") for percent in (1, 2)]
    assert found.lanczos_psnr("Lanczos (as trained)") > noise[0] > noise[1]


def test_each_film_is_decoded_once(films, monkeypatch):
    read, load_hr = [], module.load_hr
    monkeypatch.setattr(
        module, "load_hr", lambda path, *rest: (read.append(path), load_hr(path, *rest))[1]
    )
    matrix({}, films, "16:64")
    assert read == [each.path for each in films]


def test_the_lr_of_a_pair_folder_is_not_looked_at(films, tmp_path):
    paired = [replace(each, lr_path=tmp_path / "lost.png") for each in films]
    assert matrix({}, paired, "16:64") == matrix({}, films, "16:64")


def test_films_that_cannot_be_used_are_named_and_stop_nothing(films, tmp_path):
    text, small, flat, faint = (tmp_path / f"{name}.png" for name in ("text", "small", "b", "c"))
    text.write_text("not an image")
    Image.new("L", (63, 64), 9).save(small)
    Image.new("L", (64, 64), 9).save(flat)
    # Two levels that are one where the contrast is low.
    Image.fromarray(np.where(np.eye(64, dtype=bool), 102, 101).astype(np.uint8)).save(faint)
    bad = list(map(film, (text, small, flat, faint)))
    found = matrix({"nearest": Nearest()}, [bad[0], films[0], *bad[1:], films[1]], "16:64")
    assert [each.name for each in found.films] == ["film0", "film1"]
    reasons = {skipped.path: skipped.reason for skipped in found.skipped}
    assert list(reasons) == [text, small, flat, faint]
    assert "smaller than HR" in reasons[small]
    assert reasons[flat] == reasons[faint] == BLANK
    assert all(np.isfinite(found.gain(row, "nearest").mean) for row in found.rows)
    with pytest.raises(UserError, match="None of 1 films can be used for 16:64: .*text.png"):
        matrix({}, bad[:1], "16:64")


def test_notices_of_the_films_are_counted(films, tmp_path, capsys):
    shallow = tmp_path / "shallow.png"
    levels = np.random.default_rng(0).integers(0, 2**12, (64, 64), dtype=np.uint16)
    Image.fromarray(levels).save(shallow)
    for found in (
        matrix({}, [films[0], film(shallow)], "16:64"),
        native({}, [films[0], film(shallow)], 4),
    ):
        assert [each.notices for each in found.films] == [(), ("range-12-in-16",)]
        assert found.notices == found.to_json()["notices"] == {"range-12-in-16": 1}
        found.show()
        assert "notices: 1 range-12-in-16" in capsys.readouterr().out


def test_a_model_of_another_scale_is_named(films):
    with pytest.raises(UserError, match="ours enlarges x2, but 16:64 asks for x4"):
        matrix({"ours": Nearest(2)}, films, "16:64")
    with pytest.raises(UserError, match="ours enlarges x2, but scale=4 asks for x4"):
        native({"ours": Nearest(2)}, films, 4)


# At a detector's own sampling


def test_native_reduces_hr_and_not_only_lr(tmp_path):
    write(tmp_path / "a.png", Radiograph(waves((203, 170), 1)))
    found = native({"nearest": Nearest()}, [film(tmp_path / "a.png")], 4)
    assert found.rows == ("as it is", "halved", "quartered")
    assert found.pair is None and found.films[0].hr_size == (200, 168)
    whole = pixels(tmp_path / "a.png")
    for row, cut, size in (
        ("as it is", (200, 168), (200, 168)),
        ("halved", (200, 168), (100, 84)),
        ("quartered", (192, 160), (48, 40)),
    ):
        hr = rounded(lanczos(whole[: cut[0], : cut[1]], size))
        lr = rounded(lanczos(hr, (size[0] // 4, size[1] // 4)))
        assert found.lanczos_psnr(row) == pytest.approx(decibels(lanczos(lr, size), hr), abs=0.02)
        assert found.gain(row, "nearest").mean == pytest.approx(gain(lr, hr), abs=0.02)


def test_native_takes_films_of_any_size_and_names_those_too_small(films, tmp_path):
    write(tmp_path / "a.png", Radiograph(waves((96, 64), 1), 16))
    write(tmp_path / "tiny.png", Radiograph(waves((47, 99), 1)))
    found = native({}, [*films, film(tmp_path / "a.png"), film(tmp_path / "tiny.png")], 4)
    assert found.hr_text == "64x64 to 96x64"
    (skipped,) = found.skipped
    assert skipped.path.name == "tiny.png"
    assert skipped.reason == "too small to be quartered and enlarged x4: 47x99"
    with pytest.raises(UserError, match="None of 1 films can be used for x8"):
        native({}, films[:1], 8)


# What is shown and kept

FILMS = (
    FilmRows("a", "p", (64, 64), {
        "box [x]": {"bicubic": 30.0, "Lanczos": 30.5, "m [b]": 31.77},
        "noise": {"bicubic": 28.0, "Lanczos": 28.0, "m [b]": 27.5},
    }),
    FilmRows("b", "q", (64, 64), {
        "box [x]": {"bicubic": 32.0, "Lanczos": 32.5, "m [b]": 33.77},
        "noise": {"bicubic": 29.0, "Lanczos": 29.0, "m [b]": 28.7},
    }),
)  # fmt: skip


@pytest.fixture
def scored() -> Matrix:
    """Two films by two rows, one film skipped."""
    return Matrix(4, Pair.parse("16:64"), FILMS, (Skipped(Path("bad.png"), "truncated"),))


def test_the_table_says_what_its_numbers_are(scored):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(scored.table())
    text = console.export_text()
    for said in (
        "16:64: 2 films of 2 patients, HR 64x64",
        "PSNR over Lanczos interpolation of the same LR in dB",
        "border 4 px cropped",
    ):
        assert said in " ".join(text.split())
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    assert ["box [x]", "31.50", "-0.50", "+1.27"] in lines
    assert ["", "", "[-0.50, -0.50]", "[+1.27, +1.27]"] in lines
    assert ["noise", "28.50", "+0.00", "-0.40"] in lines
    assert ["", "", "[+0.00, +0.00]", "[-0.50, -0.30]"] in lines


def test_markdown_says_the_same(scored):
    assert scored.markdown().splitlines() == [
        scored.caption,
        "",
        "| LR | Lanczos PSNR dB | bicubic | m [b] |",
        "| --- | --- | --- | --- |",
        "| box [x] | 31.50 | -0.50 [-0.50, -0.50] | +1.27 [+1.27, +1.27] |",
        "| noise | 28.50 | +0.00 [+0.00, +0.00] | -0.40 [-0.50, -0.30] |",
    ]
    alone = replace(scored, pair=None)
    assert (
        alone.title
        == "x4, films at their own sampling: 2 films of 2 patients, HR 64x64 and reduced"
    )
    assert "| film | Lanczos PSNR dB |" in alone.markdown()


def test_json_holds_the_gains_and_every_film(scored, tmp_path):
    scored.save(tmp_path / "m.json")
    content = json.loads((tmp_path / "m.json").read_text())
    assert (content["pair"], content["scale"], content["border"]) == ("16:64", 4, 4)
    assert (content["n"], content["patients"], content["hr"]) == (2, 2, "64x64")
    noise = content["rows"]["noise"]
    assert noise["lanczos_psnr"] == 28.5
    assert list(noise["psnr_over_lanczos"]) == ["bicubic", "m [b]"]
    assert noise["psnr_over_lanczos"]["m [b]"] == pytest.approx(
        {"mean": -0.4, "low": -0.5, "high": -0.3}
    )
    films = [
        FilmRows(**each | {"hr_size": tuple(each["hr_size"]), "notices": tuple(each["notices"])})
        for each in content["films"]
    ]
    assert tuple(films) == scored.films
    assert content["skipped"] == [{"path": "bad.png", "reason": "truncated"}]


def test_the_heat_map_is_drawn_of_the_gains(scored, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(plots, "heat_map", lambda *given: drawn.append(given))
    scored.plot(tmp_path / "m.png")
    ((path, rows, columns, values, title),) = drawn
    assert (path, rows, columns) == (tmp_path / "m.png", scored.rows, scored.methods)
    np.testing.assert_allclose(values, [[-0.5, 1.27], [0, -0.4]])
    assert title == scored.title


def test_films_are_taken_evenly():
    assert evenly(range(10), 3) == [0, 3, 6]
    assert evenly(range(10), 4) == [0, 2, 5, 7]
    assert evenly(range(3), 10) == [0, 1, 2]
    assert evenly((), 4) == []
