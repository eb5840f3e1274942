"""What is noticed of a result, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xraysr.io import Radiograph
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.data_consistency import ConsistentRuntime
from xraysr.upscale.notices import consistency_notice, levels_notice, noise_notice
from xraysr.upscale.options import UpscaleOptions

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


@pytest.mark.parametrize(("sigma", "noticed"), [(0.0, False), (0.004, False), (0.01, True)])
def test_being_faithful_to_noise_is_noticed(repeat, sigma, noticed):
    noise = sigma * np.random.default_rng(0).standard_normal((256, 256))
    film = Radiograph((0.5 + noise).astype(np.float32))
    notice = noise_notice(Upscaler(ConsistentRuntime(repeat(2))), film)
    assert (notice is not None) == noticed
    if notice:
        assert notice.code == "faithful-noise" and "noise of about 1.0 %" in notice.text
    exported = repeat(2)
    assert noise_notice(Upscaler(exported), film) is None
    exported.spec = replace(exported.spec, export={"faithful": True})
    assert (noise_notice(Upscaler(exported), film) is not None) == noticed
