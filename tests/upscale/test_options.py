"""What `xraysr upscale` does beyond enlarging."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xraysr.evaluation.metrics import lr_consistency
from xraysr.io import Radiograph, read, write
from xraysr.lanczos import degrade
from xraysr.phantom.film import make_phantom
from xraysr.upscale import load
from xraysr.upscale.batch import upscale_files
from xraysr.upscale.options import UpscaleOptions


@pytest.fixture
def film(tmp_path) -> Path:
    """An LR film of 12 bits, as TIFF."""
    made = make_phantom(4, 192)
    lr = degrade(made.pixels / (2**made.bits - 1), (48, 48), 12)
    write(tmp_path / "film.tif", Radiograph(lr.astype(np.float32), bits=12))
    return tmp_path / "film.tif"


@pytest.fixture(scope="module")
def upscaler(trained):
    return load(trained["keras"])


def test_without_options_it_is_the_upscaler(upscaler, film):
    treatment = UpscaleOptions(upscaler)
    pixels = read(film).pixels
    np.testing.assert_array_equal(treatment.upscaler(pixels), upscaler(pixels))
    assert treatment.names == ()


def test_faithful_output_reduces_to_the_film(upscaler, film, tmp_path):
    plain = upscale_files(upscaler, [film], tmp_path / "plain.tif")
    kept = upscale_files(UpscaleOptions(upscaler, faithful=True), [film], tmp_path / "kept.tif")
    assert list(kept.consistency.values())[0] > 90 > list(plain.consistency.values())[0]
    again, lr = read(tmp_path / "kept.tif").pixels, read(film).pixels
    assert lr_consistency(again, lr) > 90


def test_ensemble_and_faithful_go_together(upscaler, film):
    both = UpscaleOptions(upscaler, ensemble=True, faithful=True)
    pixels = read(film).pixels
    assert both.names == ("ensemble", "faithful")
    turned = both.upscaler(np.ascontiguousarray(pixels.T)).T
    np.testing.assert_allclose(turned, both.upscaler(pixels), atol=1e-4)
    assert lr_consistency(both.upscaler(pixels), pixels) > 90


def test_maps_lie_beside_the_film_with_their_numbers(upscaler, film, tmp_path):
    target = tmp_path / "out" / "sr.png"
    upscale_files(UpscaleOptions(upscaler, maps=True, faithful=True), [film], target)
    names = {f"sr.{name}{end}.png" for name in ("added", "uncertainty") for end in ("", ".overlay")}
    assert {path.name for path in target.parent.iterdir()} == {"sr.png", "sr.png.json", *names}
    card = json.loads((tmp_path / "out" / "sr.png.json").read_text())
    assert card["source"] == "film.tif" and card["options"] == ["faithful"]
    assert card["lr_consistency_dB"][0] > 90
    for name in ("added", "uncertainty"):
        found = card["maps"][0][name]
        with Image.open(target.parent / f"sr.{name}.png") as picture:
            stored = np.abs(np.asarray(picture).astype(np.float64) - found["offset"])
        levels = stored / found["units_per_level"]
        assert levels.mean() == pytest.approx(found["mean"], rel=0.05, abs=0.1)
        worst = found["worst"]
        assert levels[worst["row"], worst["column"]] == pytest.approx(
            worst["value"], abs=1 / found["units_per_level"]
        )
        assert worst["value"] >= found["p99"] >= found["mean"] > 0


def test_a_film_without_its_maps_is_not_there(upscaler, film, tmp_path, monkeypatch):
    """What is there is whole, so that --resume may keep it."""

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(UpscaleOptions, "write_maps", fail)
    with pytest.raises(KeyboardInterrupt):
        upscale_files(UpscaleOptions(upscaler, maps=True), [film], tmp_path / "out" / "sr.png")
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.undo()
    out = tmp_path / "out"
    upscale_files(UpscaleOptions(upscaler, maps=True), [film], out / "sr.png", resume=True)
    assert (out / "sr.png.json").is_file()
