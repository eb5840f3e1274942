"""The eight views: their mean, their spread, and what they gain."""

from __future__ import annotations

import numpy as np
import pytest

from xraysr.evaluation.metrics import psnr
from xraysr.lanczos import degrade
from xraysr.phantom.film import make_phantom
from xraysr.upscale import Upscaler, load
from xraysr.upscale.ensemble import DeviationRuntime, EnsembleRuntime
from xraysr.upscale.tiles import least_tile


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.fixture
def uneven(repeat):
    """A runtime that treats no two directions alike: a ramp over each block, and to the right."""

    class Uneven(repeat):
        def run(self, batch: np.ndarray) -> np.ndarray:
            sr = super().run(batch)
            sr[:, ::3] += 0.25 * batch.repeat(3, axis=2)
            sr[:, :, 1:] += 0.5 * sr[:, :, :-1]
            return sr

    return Uneven(3)


def views(run, image: np.ndarray) -> np.ndarray:
    """What `run` makes of the eight views of `image` (height, width), written out."""
    turned = []
    for quarter in range(4):
        for mirrored in (False, True):
            view = np.rot90(image[:, ::-1] if mirrored else image, quarter)
            sr = np.rot90(run(view[None, ..., None].copy())[0, ..., 0], -quarter)
            turned.append(sr[:, ::-1] if mirrored else sr)
    return np.stack(turned)


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 7)])
def test_mean_and_deviation_are_those_of_the_eight_views(uneven, size):
    image = random(*size)
    expected = views(uneven.run, image)
    assert expected.std(axis=0).max() > 0.1
    ensemble = EnsembleRuntime(uneven)
    batch = image[None, ..., None]
    mean, deviation = ensemble.mean_and_deviation(batch)
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean[0, ..., 0], expected.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(deviation[0, ..., 0], expected.std(axis=0), atol=1e-6)
    np.testing.assert_array_equal(ensemble.run(batch), mean)
    np.testing.assert_array_equal(DeviationRuntime(uneven).run(batch), deviation)


def test_a_generator_that_knows_no_direction_has_no_deviation(repeat):
    runtime, batch = repeat(3), random(2, 6, 9, 1)
    mean, deviation = EnsembleRuntime(runtime).mean_and_deviation(batch)
    np.testing.assert_array_equal(mean, batch.repeat(3, 1).repeat(3, 2))
    assert not deviation.any()


def test_the_network_runs_eight_times_and_sees_its_own_layout(repeat):
    runtime = repeat(2)
    EnsembleRuntime(runtime).run(random(2, 4, 7, 1))
    assert [seen.shape[1:3] for seen in runtime.seen] == 4 * [(4, 7)] + 4 * [(7, 4)]
    assert all(seen.flags.c_contiguous for seen in runtime.seen)
    assert len({seen.tobytes() for seen in runtime.seen}) == 8


@pytest.mark.parametrize("wrapper", [EnsembleRuntime, DeviationRuntime])
def test_tiles_give_the_same_and_the_card_stays(save_model, tmp_path, wrapper):
    whole = load(save_model(tmp_path / "generator.keras"))
    wrapped = wrapper(whole.runtime)
    assert wrapped.spec == whole.spec
    image = random(40, 70)
    result = Upscaler(wrapped)(image)
    assert result.std() > 0.001
    tile = least_tile(whole.spec.receptive_radius)
    np.testing.assert_allclose(Upscaler(wrapped, tile)(image), result, atol=1e-5)


def test_it_is_nearer_to_the_truth():
    """By convexity in the mean over the views; here, film by film, than the plain image."""
    preset = load("edge-x4").runtime
    gains = []
    for seed in range(4):
        hr = make_phantom(seed, 256).pixels / 4095
        lr = degrade(hr, (64, 64), 8).astype(np.float32)
        plain, ensemble = (psnr(Upscaler(each)(lr), hr, 4) for each in _both(preset))
        gains.append(ensemble - plain)
    assert min(gains) > 0


def _both(runtime) -> tuple:
    return runtime, EnsembleRuntime(runtime)
