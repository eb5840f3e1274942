from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from xraysr.errors import UserError
from xraysr.io import Radiograph
from xraysr.upscale import Upscaler


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_an_image_of_two_axes(repeat):
    runtime = repeat(3)
    image = random(5, 7)
    enlarged = Upscaler(runtime)(image)
    assert enlarged.dtype == np.float32
    np.testing.assert_array_equal(enlarged, np.kron(image, np.ones((3, 3), np.float32)))
    assert runtime.seen[0].shape == (1, 5, 7, 1)


def test_a_batch_keeps_its_order(repeat):
    batch = random(3, 4, 6, 1)
    upscaler = Upscaler(repeat(2))
    enlarged = upscaler(batch)
    assert enlarged.shape == (3, 8, 12, 1)
    for image, sr in zip(batch, enlarged, strict=True):
        np.testing.assert_array_equal(sr[..., 0], upscaler(image[..., 0]))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(repeat, dtype):
    runtime = repeat(2)
    image = random(4, 4).astype(dtype)
    enlarged = Upscaler(runtime)(image)
    assert runtime.seen[0].dtype == enlarged.dtype == np.float32
    np.testing.assert_array_equal(enlarged[::2, ::2], image.astype(np.float32))


def test_the_limits_of_the_range_are_inside(repeat):
    image = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(Upscaler(repeat(2))(image)[::2, ::2], image)


def test_what_a_network_overshoots_is_clipped(repeat):
    runtime = repeat(2)
    runtime.run = lambda batch: repeat(2).run(batch) * 4 - 2
    enlarged = Upscaler(runtime)(np.array([[0.25, 0.5, 0.625, 1.0]]))
    np.testing.assert_array_equal(enlarged[0, ::2], [0, 0, 0.5, 1])


def test_a_radiograph_keeps_all_but_size_and_spacing(repeat):
    header = Dataset()
    film = Radiograph(random(5, 7), 12, (0.6, 0.3), header, Path("film.dcm"))
    upscaler = Upscaler(repeat(3))
    enlarged = upscaler(film)
    np.testing.assert_array_equal(enlarged.pixels, upscaler(film.pixels))
    assert enlarged.spacing == pytest.approx((0.2, 0.1))
    assert (enlarged.bits, enlarged.source) == (12, Path("film.dcm"))
    assert enlarged.header is header
    assert (film.size, film.spacing) == ((5, 7), (0.6, 0.3))


def test_an_unknown_spacing_stays_unknown(repeat):
    assert Upscaler(repeat(3))(Radiograph(random(5, 7))).spacing is None


def test_scale_and_card_are_the_runtimes(repeat):
    runtime = repeat(5)
    upscaler = Upscaler(runtime)
    assert upscaler.scale == 5
    assert upscaler.spec is runtime.spec


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"float array in \[0, 1\].*Received: uint8"),
        (np.zeros((4, 4), bool), "Received: bool"),
        ([[0.0, 1.0]], "Received: list"),
        (None, "Received: NoneType"),
        (np.zeros(4), r"shape \(height, width\).*Received: \(4,\)"),
        (np.zeros((3, 4, 4)), r"Received: \(3, 4, 4\)"),
        (np.zeros((1, 4, 4, 3)), r"Received: \(1, 4, 4, 3\)"),
        (np.zeros((0, 4)), r"none of them 0.*Received: \(0, 4\)"),
        (np.zeros((0, 4, 4, 1)), r"Received: \(0, 4, 4, 1\)"),
        (np.array([[0.0, np.nan]]), "must be finite. Received: NaN"),
        (np.array([[0.0, np.inf]]), "must be finite"),
        (np.array([[0.5, 1.25]]), r"must be in \[0, 1\]. Received: 0.5 to 1.25"),
        (np.array([[-0.25, 1.0]]), "Received: -0.25 to 1"),
    ],
)
def test_what_is_no_image_is_refused(repeat, image, message):
    runtime = repeat(2)
    with pytest.raises(UserError, match=message):
        Upscaler(runtime)(image)
    assert not runtime.seen


def test_a_runtime_that_enlarges_otherwise_than_its_card_says_is_refused(repeat):
    with pytest.raises(UserError, match=r"repeat does not fit its card: expected x3.*\(1, 8, 8, 1"):
        Upscaler(repeat(3, factor=2))(random(4, 4))


def test_a_model_that_gives_no_numbers_is_named(repeat):
    runtime = repeat()
    runtime.run = lambda batch: np.full((1, 24, 24, 1), np.nan, np.float32)
    with pytest.raises(UserError, match=r"The model repeat gave pixels that are not numbers"):
        Upscaler(runtime)(np.zeros((8, 8), np.float32))
