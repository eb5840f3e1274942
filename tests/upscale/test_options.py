"""What is asked for beyond enlarging, and what is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.evaluation.metrics import lr_consistency
from xraysr.io import Radiograph, read, write
from xraysr.lanczos import degrade
from xraysr.phantom.film import make_phantom
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler, load
from xraysr.upscale.options import UpscaleOptions, consistency_notice, levels_notice


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
    pixels = read(film).pixels
    np.testing.assert_array_equal(UpscaleOptions().applied(upscaler)(pixels), upscaler(pixels))
    assert UpscaleOptions().provenance(upscaler).options == ()


def test_ensemble_and_faithful_go_together(upscaler, film):
    both = UpscaleOptions(ensemble=True, faithful=True)
    pixels, applied = read(film).pixels, both.applied(upscaler)
    assert both.provenance(upscaler).options == ("faithful", "ensemble")
    turned = applied(np.ascontiguousarray(pixels.T)).T
    np.testing.assert_allclose(turned, applied(pixels), atol=1e-4)
    assert lr_consistency(applied(pixels), pixels) > 90


@pytest.mark.parametrize("wrong", [{"bits": 0}, {"bits": 17}, {"page": 0}, {"value_range": (1, 1)}])
def test_options_that_cannot_be(wrong):
    with pytest.raises(UserError, match=f"^{next(iter(wrong))} must be"):
        UpscaleOptions(**wrong)


def test_all_that_changes_pixels_changes_the_maker(upscaler):
    asked = [
        {}, {"faithful": True}, {"ensemble": True}, {"mark": True}, {"bits": 12}, {"page": 2},
        {"value_range": (0.0, 4095.0)},
    ]  # fmt: skip
    makers = [UpscaleOptions(**each).provenance(upscaler).maker for each in asked]
    assert len(set(makers)) == len(asked)
    for same in ({"maps": True}, {"strict": True}, {"tile": 200}):
        assert UpscaleOptions(**same).provenance(upscaler).maker == makers[0]


SCORES = {"nih": {"32:128": {"lr_consistency": 52.0}, "64:256": {"lr_consistency": 55.0}}}


@pytest.mark.parametrize(
    ("scores", "decibels", "noticed"),
    [
        (SCORES, 25, True),
        (SCORES, 45, False),
        ({}, 25, True),
        ({}, 35, False),
        ({"n": 3}, 20, True),
    ],
)
def test_far_less_lr_consistency_than_usual_is_noticed(scores, decibels, noticed):
    spec = ModelSpec("m", 4, receptive_radius=1, weights_sha256="", scores=scores)
    notice = consistency_notice(spec, decibels)
    assert (notice is not None) == noticed
    if notice:
        assert notice.code == "lr-consistency" and f"{decibels}.0 dB" in notice.text
        assert ("52 dB are usual" in notice.text) == (scores is SCORES)


def test_fewer_levels_than_the_film_has_are_noticed(repeat):
    runtime = repeat(2)
    runtime.levels = 256
    deep, flat = (Radiograph(np.zeros((4, 4), np.float32), bits) for bits in (12, 8))
    notice = levels_notice(Upscaler(runtime), deep)
    assert notice.code == "int8-levels" and "256" in notice.text and "4096" in notice.text
    assert levels_notice(Upscaler(runtime), flat) is None
    assert levels_notice(Upscaler(repeat(2)), deep) is None
    said = UpscaleOptions().provenance(Upscaler(runtime)).text
    assert "int8 with 256 grey levels" in said
