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
from xraysr.upscale import load
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
    pixels = read(film).pixels
    np.testing.assert_array_equal(UpscaleOptions().applied(upscaler)(pixels), upscaler(pixels))
    assert UpscaleOptions().provenance(upscaler).options == ()


def test_ensemble_and_faithful_go_together(upscaler, film):
    both = UpscaleOptions(ensemble=True, faithful=True)
    pixels, applied = read(film).pixels, both.applied(upscaler)
    assert both.provenance(upscaler).options == ("ensemble", "faithful")
    assert applied(read(film)).provenance.options == ("ensemble", "faithful")
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
