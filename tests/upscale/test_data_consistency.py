"""The projection: nearest image that fits, never further from the truth, the same in tiles."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xraysr.evaluation.metrics import lr_consistency, psnr
from xraysr.films.index import index_films
from xraysr.io import read
from xraysr.lanczos import REACH, Reduction, degrade, resize
from xraysr.pair import Pair
from xraysr.phantom.film import make_phantom
from xraysr.upscale import Upscaler, load
from xraysr.upscale.data_consistency import ConsistentRuntime, project

LEVEL = 1 / 255
PAIRS = (
    "32:128",
    "64:256",
    "40x33:80x66",
    "24x31:72x93",
    "16:80",
    "21x14:126x84",
    "9:63",
    "17:136",
)


def film(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A phantom of `size`, with burnt-in letters as black as white."""
    whole = make_phantom(seed, max(64, *size)).pixels / 4095
    hr = whole[: size[0], : size[1]].astype(np.float64)
    hr[3 : size[0] // 8 + 3, 4 : size[1] // 6 + 4] = 1.0
    return hr


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def residual(sr: np.ndarray, lr: np.ndarray) -> float:
    """Largest one, in grey levels of 8 bits, as a file sees it."""
    return np.abs(np.clip(resize(sr, lr.shape), 0, 1) - lr).max() / LEVEL


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b))


@st.composite
def noise_free(draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HR within [0, 1], its LR image unrounded and unclipped, and any SR whatever."""
    scale = draw(st.integers(2, 8))
    size = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    hr_size = scale * size[0], scale * size[1]
    seed = draw(st.integers(0, 2**16))
    hr = film(hr_size, seed) if draw(st.booleans()) else noise(*hr_size, seed=seed)
    hr = 0.2 + 0.6 * hr  # what Lanczos overshoots stays within [0, 1]
    contrast, shift = draw(st.sampled_from([(0.1, 0.0), (1.0, 0.0), (4.0, 0.0), (0.5, 0.7)]))
    sr = 0.5 + shift + contrast * (noise(*hr_size, seed=seed + 1) - 0.5)
    return hr, resize(hr, size), sr


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(noise_free())
def test_it_is_never_further_from_the_truth_and_fits_the_lr_image(case):
    hr, lr, sr = case
    result = project(sr, lr)
    assert result.min() >= 0 and result.max() <= 1
    start = np.clip(sr, 0, 1)
    assert distance(result, hr) <= distance(start, hr) + 1e-6
    # From noise of black and white to a film is a long way, for which the rounds may not do.
    assert residual(result, lr) < max(0.5, 0.2 * residual(start, lr))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(noise_free())
def test_twice_is_once(case):
    _, lr, sr = case
    once = project(sr, lr)
    again = project(once, lr)
    # Nothing is left to do but what was left of the residual.
    assert np.abs(again - once).max() < max(10 * residual(once, lr), 0.01) * LEVEL


@pytest.mark.parametrize("scale", range(2, 9))
def test_within_the_limits_it_is_the_formula(scale):
    """x + A+ (y - A x B.T) (B+).T, with NumPy's pseudo-inverse."""
    size = 11, 18
    hr = 0.4 + 0.2 * noise(scale * size[0], scale * size[1])
    sr = 0.4 + 0.2 * noise(*hr.shape, seed=1)
    lr = resize(hr, size)
    down = np.eye(hr.shape[0]), np.eye(hr.shape[1])
    rows, columns = (resize(eye, (n, len(eye))) for eye, n in zip(down, size, strict=True))
    expected = sr + np.linalg.pinv(rows) @ (lr - rows @ sr @ columns.T) @ np.linalg.pinv(columns).T
    np.testing.assert_allclose(project(sr, lr), expected, atol=1e-6)
    assert np.abs(sr - expected).max() > 1e-3


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("pair", [*map(Pair.parse, PAIRS)], ids=str)
def test_every_pair_fits_to_half_a_level_and_gets_no_worse(pair, bits):
    hr = film(pair.hr, 2)
    lr = degrade(hr, pair.lr, bits)
    blurred = np.clip(resize(lr, pair.hr), 0, 1)
    result = project(blurred, lr)
    assert residual(result, lr) < 0.5 < residual(blurred, lr)
    # Rounding is an error of its own, of 0.3 grey levels in the mean.
    assert distance(result, hr) <= distance(blurred, hr) + 0.3 * LEVEL * np.sqrt(hr.size)
    assert result.min() >= 0 and result.max() <= 1


def test_where_a_file_clipped_the_reduction_may_lie_beyond():
    hr = np.zeros((64, 64))
    hr[20:44, 20:44] = 1.0
    exact = resize(hr, (16, 16))
    assert exact.min() < -0.01 and exact.max() > 1.03
    # HR itself fits its file; taken at its word, black would have to become blacker.
    np.testing.assert_allclose(project(hr, np.clip(exact, 0, 1)), hr, atol=1e-6)


def test_an_image_that_fits_is_left_as_it_is():
    hr = 0.3 + 0.4 * noise(60, 90)
    np.testing.assert_array_equal(project(hr, resize(hr, (20, 30))), hr)


def test_the_runtime_projects_each_image_of_a_batch(repeat):
    batch = noise(3, 9, 14, 1).astype(np.float32)
    result = ConsistentRuntime(repeat(3)).run(batch)
    assert result.shape == (3, 27, 42, 1) and result.dtype == np.float32
    for sr, lr in zip(result[..., 0], batch[..., 0], strict=True):
        np.testing.assert_array_equal(sr, project(np.kron(lr, np.ones((3, 3), "f4")), lr))


def test_the_card_looks_further_and_is_otherwise_the_same(repeat):
    runtime = repeat(5)
    spec = ConsistentRuntime(runtime).spec
    assert spec.receptive_radius == runtime.spec.receptive_radius + REACH
    assert (spec.name, spec.scale) == (runtime.spec.name, 5)


def test_tiles_give_the_same_image(save_model, tmp_path):
    whole = load(save_model(tmp_path / "generator.keras"))
    faithful = ConsistentRuntime(whole.runtime)
    # Noise, black and white: what is hardest to fit, and leaves the most to do for the rounds.
    lr = degrade(film((640, 560), 1), (160, 140), 8)
    lr[:, 70:] = np.clip(lr[:, 70:] + 0.1 * (noise(160, 70) - 0.5), 0, 1)
    tiled = Upscaler(faithful, tile=90)(lr)
    assert tiled.max() == 1 and tiled.min() == 0
    assert np.abs(tiled - whole(lr)).max() > 0.01
    np.testing.assert_allclose(tiled, Upscaler(faithful)(lr), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_preset_gains_on_noise_free_films(seed):
    preset = load("edge-x4")
    hr = 0.14 + 0.72 * film((256, 256), seed)
    lr = resize(hr, (64, 64)).astype(np.float32)
    before, after = (
        Upscaler(each)(lr) for each in (preset.runtime, ConsistentRuntime(preset.runtime))
    )
    assert psnr(after, hr) >= psnr(before, hr)
    assert lr_consistency(after, lr) > 120 > lr_consistency(before, lr)


@pytest.mark.slow
def test_real_films_fit_to_half_a_level(shared_data):
    preset = load("edge-x4").runtime
    films = index_films(shared_data / "nih_chest_xray").of("test")[:10]
    for each in films:
        hr = read(each.path).pixels[:512, :512]
        lr = degrade(hr, (128, 128), 8).astype(np.float32)
        before, after = Upscaler(preset)(lr), Upscaler(ConsistentRuntime(preset))(lr)
        assert residual(after, lr) < 0.5 < residual(before, lr)
        assert psnr(after, hr, 4) > psnr(before, hr, 4) - 0.15


def test_a_large_image_needs_no_dense_matrices():
    """An untiled side of 20,000 pixels; the matrix alone would take 3 GB."""
    reduction = Reduction((3, 20000), 2)
    lr = noise(3, 20000)
    np.testing.assert_allclose(reduction.reduce(reduction.lift(lr)), lr, atol=1e-12)


def test_it_runs_without_tensorflow():
    script = (
        "import sys, xraysr.upscale.data_consistency, xraysr.upscale.ensemble, xraysr.upscale.maps;"
        "print([n for n in ('tensorflow', 'keras', 'matplotlib', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
