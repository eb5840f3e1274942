from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xraysr import demo as module
from xraysr.demo import demo
from xraysr.errors import UserError
from xraysr.evaluation.report import Report
from xraysr.io import Radiograph, write
from xraysr.pair import Pair
from xraysr.training import TrainConfig
from xraysr.upscale import load

SMALL = {"train": 3, "val": 1, "test": 2}
EXPORTS = ("served/run", "generator.tflite")


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save_films(folder: Path) -> Path:
    """A user's films, 64 x 64, the first of the test films broken."""
    noise = np.random.default_rng(0)
    for split, count in SMALL.items():
        for number in range(count):
            rows, columns = np.sin(noise.random((2, 64)) + np.arange(64) / 5)
            pixels = (np.outer(rows, columns) / 2 + 0.5).astype(np.float32)
            write(folder / split / f"{split}{number}.png", Radiograph(pixels))
    (folder / "test" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def small():
    """The demo at the size of a test: few phantoms, a small network, steps instead of minutes."""

    def config(pair: Pair, minutes: float, **settings: object) -> TrainConfig:
        steps = round(100 * minutes)
        return TrainConfig(pair, steps=steps, depth=1, width=8, batch=2, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PHANTOMS", SMALL)
        patch.setattr(module.os, "cpu_count", lambda: 1)  # new processes would take longer
        patch.setattr(module, "TrainConfig", config)
        yield


@pytest.fixture(scope="module")
def done(small, tmp_path_factory) -> tuple[Path, Report]:
    """The folder of a demo on phantoms, in which the user had a file, and its report."""
    out = tmp_path_factory.mktemp("demo")
    (out / "thesis.txt").write_text("kept")
    return out, demo(out, None, "16:64", 0.08)


@pytest.mark.slow
def test_it_leaves_all_it_promises(done):
    out, _ = done
    assert listing(out) == [
        "comparison.png", "demo.json", "export", "phantoms", "run", "scores.json", "thesis.txt",
    ]  # fmt: skip
    assert len(list((out / "phantoms").rglob("*.png"))) == sum(SMALL.values())
    assert listing(out / "export") == ["generator.tflite", "generator.tflite.spec.json", "served"]


@pytest.mark.slow
def test_its_scores_are_of_the_test_phantoms(done):
    out, report = done
    scores = json.loads((out / "scores.json").read_text())
    assert scores["n"] == SMALL["test"]
    assert list(scores["methods"]) == ["bicubic", "Lanczos", "content", "GAN"]
    tested = {path.stem for path in (out / "phantoms" / "test").glob("*.png")}
    assert {film["name"] for film in scores["films"]} == tested
    for method, found in scores["methods"].items():
        assert found["psnr"]["mean"] == report.interval(method, "psnr").mean


@pytest.mark.slow
def test_its_exports_are_the_trained_generator(done):
    out, _ = done
    image = np.random.default_rng(1).random((17, 40), dtype=np.float32)
    expected = load(out / "run")(image)
    for name in EXPORTS:
        np.testing.assert_allclose(load(out / "export" / name)(image), expected, atol=1e-5)


@pytest.mark.slow
def test_its_picture_has_six_columns(done):
    with Image.open(done[0] / "comparison.png") as picture:
        width, height = picture.size
    assert width / height == pytest.approx(6 * 2.6 / 8.4, rel=0.02)


@pytest.mark.slow
def test_a_second_demo_is_refused_and_the_first_one_kept(done, small):
    out, _ = done
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(UserError, match="holds an earlier demo. Pass overwrite=True"):
        demo(out, None, "16:64", 0.08)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.slow
def test_overwrite_replaces_a_demo_and_nothing_else(small, tmp_path, capsys):
    films, out = save_films(tmp_path / "films"), tmp_path / "out"
    for name in ("phantoms", "run", "export"):
        (out / name).mkdir(parents=True)
        (out / name / "left_over").touch()
    for name in ("demo.json", "scores.json", "thesis.txt"):
        (out / name).write_text("old")
    report = demo(out, films, "16:64", 0.01, overwrite=True)
    assert listing(out) == [
        "comparison.png", "demo.json", "export", "run", "scores.json", "thesis.txt",
    ]  # fmt: skip
    assert not list(out.rglob("left_over"))
    assert (out / "thesis.txt").read_text() == "old"
    assert sorted(film.name for film in report.films) == ["test0", "test1"]
    shown = capsys.readouterr().out
    for text in ("16:64: 2 films", "bicubic", "Lanczos", "GAN", "differs from Keras by"):
        assert text in shown
    assert f"skipped: {films / 'test' / 'broken.png'}: truncated" in shown


def test_folders_of_the_user_are_not_taken_for_a_demo(small, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.txt").write_text("kept")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"export is not from a demo"):
            demo(tmp_path, None, "16:64", 0.08, overwrite=overwrite)
    assert listing(tmp_path) == ["export"]
    assert (tmp_path / "export" / "thesis.txt").read_text() == "kept"


@pytest.mark.parametrize("data", ["out/phantoms", "out", "."])
def test_films_and_demo_must_lie_apart(small, tmp_path, data):
    save_films(tmp_path / "out" / "phantoms")
    (tmp_path / "out" / "demo.json").touch()
    with pytest.raises(UserError, match="data and out must lie in different folders"):
        demo(tmp_path / "out", tmp_path / data, "16:64", 0.08, overwrite=True)
    assert (tmp_path / "out" / "phantoms" / "test" / "test0.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "nowhere"}, "existing folder"),
        ({"data": "untested"}, "No test films"),
        ({"pair": "16:60"}, "do not divide"),
        ({"minutes": 0.0}, "more than 0"),
    ],
)
def test_a_mistake_costs_no_earlier_demo(small, tmp_path, change, message):
    write(tmp_path / "untested" / "train" / "a.png", Radiograph(np.zeros((64, 64), np.float32)))
    out = tmp_path / "out"
    (out / "run").mkdir(parents=True)
    (out / "demo.json").touch()
    given = {"data": "untested", "pair": "16:64", "minutes": 0.08} | change
    with pytest.raises(UserError, match=message):
        demo(out, tmp_path / given["data"], given["pair"], given["minutes"], overwrite=True)
    assert listing(out) == ["demo.json", "run"]
