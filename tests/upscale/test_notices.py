"""What is noticed of a result, and what is not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from xraysr.degradation import Degradation
from xraysr.io import Radiograph
from xraysr.phantom.film import make_phantom
from xraysr.presets import ModelCard
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler
from xraysr.upscale.data_consistency import ConsistentRuntime
from xraysr.upscale.notices import (
    consistency_notice,
    levels_notice,
    noise_notice,
    unlike_training,
)
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
    notice = consistency_notice(spec, Radiograph(np.zeros((9, 9), np.float32)), decibels)
    assert (notice is not None) == noticed
    if notice:
        assert notice.code == "lr-consistency" and f"{decibels}.0 dB" in notice.text
        assert ("52 dB are usual" in notice.text) == (scores is SCORES)


def test_a_robust_model_may_leave_the_noise_of_a_film_out():
    """Without noise of 2 %, SR agrees with a film to 34 dB; 15 dB less is still too little."""
    noise = np.random.default_rng(0).normal(0.5, 0.02, (64, 64)).astype(np.float32)
    quiet, noisy = (Radiograph(each) for each in (np.full_like(noise, 0.5), noise))
    spec = ModelSpec("m", 4, receptive_radius=1, weights_sha256="", scores=SCORES)
    robust = replace(spec, degradation="robust: one of many")
    assert consistency_notice(robust, noisy, 33) is None
    assert re.search("3[345] dB are usual", consistency_notice(robust, noisy, 17).text)
    assert consistency_notice(robust, quiet, 33) and consistency_notice(spec, noisy, 33)


@pytest.mark.parametrize(
    ("preset", "advice"),
    [
        ("edge-x4", "edge-x4 learned from clean films: take robust-edge-x4"),
        ("edge-x2", "for such films there is robust-edge-x4, at x4"),
    ],
)
def test_a_preset_says_what_it_did_not_learn_and_which_one_did(preset, advice):
    film = np.clip(make_phantom(3, 64).pixels / 4095, 0, 1)
    film = Degradation(noise=0.03)(film.astype(np.float32), (64, 64))
    (said,) = (n for n in unlike_training(ModelCard.load(preset).spec, film) if n.code == "noise")
    assert said.text.startswith("noise of ") and said.text.endswith(advice)
    robust = unlike_training(ModelCard.load("robust-edge-x4").spec, film)
    assert "noise" not in {each.code for each in robust}
    own = ModelSpec("edge-x4", 4, receptive_radius=1, weights_sha256="of another")
    assert not unlike_training(own, film)


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
