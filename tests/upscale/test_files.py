"""From file to file: what is written, what it says of itself, and what is left when it fails."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from xraysr.errors import BadImageError, UserError
from xraysr.evaluation.metrics import lr_consistency
from xraysr.files import sha256_of
from xraysr.io import Notice, Radiograph, read, write
from xraysr.lanczos import degrade
from xraysr.phantom.film import make_phantom
from xraysr.upscale import Upscaler, load
from xraysr.upscale.files import Source, enlarge_file
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.outputs import made_by


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


def test_maps_lie_beside_the_film_with_their_numbers(upscaler, film, tmp_path):
    target = tmp_path / "out" / "sr.png"
    done = enlarge_file(upscaler, film, target, UpscaleOptions(maps=True, faithful=True))
    names = {f"sr.{name}{end}.png" for name in ("added", "uncertainty") for end in ("", ".overlay")}
    assert {path.name for path in target.parent.iterdir()} == {"sr.png", "sr.png.json", *names}
    assert {path.name for path in done.files} == {path.name for path in target.parent.iterdir()}
    assert done.files[-1] == target
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


def test_faithful_output_reduces_to_the_film(upscaler, film, tmp_path):
    plain = enlarge_file(upscaler, film, tmp_path / "plain.tif")
    kept = enlarge_file(upscaler, film, tmp_path / "kept.tif", UpscaleOptions(faithful=True))
    assert kept.lr_consistency[0] > 90 > plain.lr_consistency[0]
    assert lr_consistency(read(tmp_path / "kept.tif").pixels, read(film).pixels) > 90


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".dcm"])
def test_every_output_says_what_made_it_of_which_film(upscaler, film, tmp_path, suffix):
    target = tmp_path / f"sr{suffix}"
    options = UpscaleOptions(maps=True, mark=True)
    done = enlarge_file(upscaler, film, target, options)
    maker = options.provenance(upscaler).maker
    for path in done.files:
        assert made_by(path) == (maker, sha256_of(film)), path
    assert made_by(film) is None
    if suffix == ".dcm":
        assert "marked: detail may be synthetic" in dcmread(target).DerivationDescription


MAP_FILES = ["sr.added.png", "sr.added.overlay.png", "sr.uncertainty.png", "sr.png.json", "sr.png"]


@pytest.mark.parametrize("name", MAP_FILES)
def test_nothing_that_exists_is_replaced_unasked(upscaler, film, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} exists"):
        enlarge_file(upscaler, film, out / "sr.png", UpscaleOptions(maps=True))
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"
    enlarge_file(upscaler, film, out / "sr.png", UpscaleOptions(maps=True), overwrite=True)
    assert made_by(out / name) is not None


@pytest.mark.parametrize("stage", range(6))
def test_a_full_disk_leaves_nothing_and_ends_in_a_sentence(
    upscaler, film, tmp_path, monkeypatch, stage
):
    """At each of the six files."""
    moved, replaced = os.replace, []

    def full(*paths):
        replaced.append(paths)
        if len(replaced) > stage:
            raise OSError(errno.ENOSPC, "No space left on device")
        moved(*paths)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="Cannot write .*: No space left on device"):
        enlarge_file(upscaler, film, tmp_path / "out" / "sr.png", UpscaleOptions(maps=True))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_noisy_film_says_that_faithful_is_not_for_it(repeat, tmp_path):
    noise = np.random.default_rng(0).normal(0.5, 0.02, (48, 48)).clip(0, 1).astype(np.float32)
    film = tmp_path / "noisy.png"
    write(film, Radiograph(noise, 16))
    model, faithful = Upscaler(repeat(2)), UpscaleOptions(faithful=True)
    said = [
        [notice.code for notice in enlarge_file(model, film, tmp_path / name, options).notices]
        for name, options in (("plain.png", UpscaleOptions()), ("faithful.png", faithful))
    ]
    assert "faithful-noise" in said[1] and "faithful-noise" not in said[0]
    with pytest.raises(BadImageError, match="faithful-noise.*strict"):
        enlarge_file(model, film, tmp_path / "s.png", replace(faithful, strict=True))


def test_notices_are_handed_on_and_strict_refuses_them(repeat, tmp_path):
    runtime = repeat(2)
    runtime.levels = 256
    pixels = np.random.default_rng(0).random((9, 9), dtype=np.float32)
    write(tmp_path / "film.tif", Radiograph(pixels, bits=16))
    film = Source.open(tmp_path / "film.tif", UpscaleOptions())
    said = Notice("range-12-in-16", "12 bits in 16")
    film = replace(film, first=film.first.with_notices(said, said))
    target = tmp_path / "sr.tif"
    done = enlarge_file(Upscaler(runtime), film, target, sidecar="ward/film")
    assert [notice.code for notice in done.notices] == [
        "range-12-in-16", "int8-levels", "lr-consistency",
    ]  # fmt: skip
    card = json.loads((tmp_path / "sr.tif.json").read_text("utf-8"))
    assert card["source"] == "ward/film" and card["source_sha256"] == film.sha256
    assert card["notices"][0] == {"code": "range-12-in-16", "text": "12 bits in 16"}
    target.unlink()
    with pytest.raises(BadImageError, match=r"film.tif: notice range-12-in-16: 12 bits in 16"):
        enlarge_file(Upscaler(runtime), film, target, UpscaleOptions(strict=True))
    assert not target.exists()


def test_strict_writes_nothing_when_the_result_is_noticed(repeat, tmp_path):
    """Which is known only when all of it was enlarged."""
    checks = np.indices((32, 32)).sum(0) % 2
    write(tmp_path / "film.png", Radiograph(checks.astype(np.float32)))
    target, strict = tmp_path / "sr.png", UpscaleOptions(strict=True)
    with pytest.raises(BadImageError, match=r"notice lr-consistency"):
        enlarge_file(Upscaler(repeat(2)), tmp_path / "film.png", target, strict)
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".dcm"])
def test_a_mark_is_burnt_into_a_corner_and_nowhere_else(upscaler, film, tmp_path, suffix):
    plain, marked = (tmp_path / f"{name}{suffix}" for name in ("plain", "marked"))
    one = enlarge_file(upscaler, film, plain)
    two = enlarge_file(upscaler, film, marked, UpscaleOptions(mark=True))
    assert one.lr_consistency == two.lr_consistency, "of what the model made"
    before, after = read(plain).pixels, read(marked).pixels
    rows, columns = np.nonzero(before != after)
    assert rows.min() > 0.8 * before.shape[0] and columns.min() > 0.5 * before.shape[1]
    corner = after[rows.min() :, columns.min() :]
    assert set(np.unique(corner)) == {0.0, 1.0} and 0.1 < corner.mean() < 0.6


def test_a_mark_keeps_away_from_padding(repeat, tmp_path):
    """What is written there is the padding's value, whatever the pixel."""
    film = Radiograph(np.full((100, 120), 0.5, np.float32))
    write(tmp_path / "film.png", film)
    padding = np.zeros(film.size, bool)
    padding[:, 60:] = True
    source = Source.open(tmp_path / "film.png", UpscaleOptions())
    source = replace(source, first=replace(source.first, padding=padding))
    enlarge_file(Upscaler(repeat(2)), source, tmp_path / "sr.png", UpscaleOptions(mark=True))
    changed = np.nonzero(np.abs(read(tmp_path / "sr.png").pixels - 0.5) > 0.01)
    assert changed[1].max() < 120 and changed[0].min() > 150


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (60, 2)])
def test_a_film_smaller_than_the_mark(repeat, tmp_path, size):
    write(tmp_path / "film.png", Radiograph(np.full(size, 0.5, np.float32)))
    enlarge_file(Upscaler(repeat(2)), tmp_path / "film.png", tmp_path / "sr.png",
                 UpscaleOptions(mark=True))  # fmt: skip
    assert read(tmp_path / "sr.png").size == (2 * size[0], 2 * size[1])


def test_it_needs_neither_tensorflow_nor_keras():
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import xraysr.upscale.batch, xraysr.upscale.watch, xraysr.cli\n"
        "assert 'pydicom' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
