"""The degradation in NumPy equals Pillow's and TensorFlow's, at every scale."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from xraysr.data.pipeline import degrade as tf_degrade
from xraysr.lanczos import (
    REACH,
    Reduction,
    degrade,
    lanczos_kernel,
    lanczos_matrix,
    resize,
    round_to_bits,
)
from xraysr.phantom.film import make_phantom

REDUCTIONS = [((24 * s, 10 * s), (24, 10)) for s in range(2, 9)] + [((97, 131), (40, 53))]
ENLARGEMENTS = [(small, large) for large, small in REDUCTIONS]
SIZES = [*REDUCTIONS, *ENLARGEMENTS, ((3, 1), (21, 7)), ((40, 20), (20, 40))]


def noise(size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(size, dtype=np.float32)


def test_kernel():
    x = np.arange(-4.0, 5.0)
    np.testing.assert_allclose(lanczos_kernel(x), x == 0, atol=1e-15)
    # sinc(3/2) sinc(1/2), worked out by hand.
    np.testing.assert_allclose(lanczos_kernel(np.array([1.5, -1.5])), -4 / (3 * np.pi**2))
    assert not lanczos_kernel(np.array([3.0, 3.4, -5.5])).any()


@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_resize_equals_pillow_on_floats(size_in, size_out):
    image = noise(size_in)
    expected = Image.fromarray(image).resize(size_out[::-1], Image.Resampling.LANCZOS)
    np.testing.assert_allclose(resize(image, size_out), np.asarray(expected), atol=3e-6)


@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_resize_equals_tensorflow_with_antialias(size_in, size_out):
    image = noise(size_in)
    expected = tf.image.resize(image[..., None], size_out, method="lanczos3", antialias=True)
    np.testing.assert_allclose(resize(image, size_out), expected[..., 0], atol=1e-5)


def test_antialias_is_what_makes_them_equal():
    image = noise((96, 96))
    aliased = tf.image.resize(image[..., None], (24, 24), method="lanczos3", antialias=False)
    assert np.abs(resize(image, (24, 24)) - aliased[..., 0]).max() > 0.1


@pytest.mark.parametrize(("size_in", "size_out"), [(96, 24), (24, 96), (97, 40), (1, 5), (64, 1)])
def test_rows_sum_to_one_and_mirror(size_in, size_out):
    matrix = lanczos_matrix(size_in, size_out)
    assert matrix.shape == (size_out, size_in)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


def test_the_same_size_is_the_identity():
    np.testing.assert_allclose(lanczos_matrix(17, 17), np.eye(17), atol=1e-15)


def test_the_shared_matrix_cannot_be_spoilt():
    with pytest.raises(ValueError, match="read-only"):
        lanczos_matrix(8, 4)[0, 0] = 1


def test_detail_too_fine_for_lr_is_removed():
    stripes = np.tile([0.0, 1.0], (64, 32))
    np.testing.assert_allclose(resize(stripes, (16, 16))[:, 3:-3], 0.5, atol=0.01)


def test_leading_axes_are_a_batch():
    images = noise((2, 3, 20, 24))
    each = [[resize(image, (5, 6)) for image in row] for row in images]
    np.testing.assert_allclose(resize(images, (5, 6)), each, atol=1e-14)


@pytest.mark.parametrize("bits", [1, 8, 12, 16])
def test_round_to_bits(bits):
    levels = 2**bits - 1
    rounded = round_to_bits(np.linspace(-0.2, 1.2, 5001), bits)
    assert rounded.min() == 0 and rounded.max() == 1
    np.testing.assert_allclose(rounded * levels, np.round(rounded * levels), atol=1e-9)
    inside = np.linspace(0, 1, 5001)
    assert np.abs(round_to_bits(inside, bits) - inside).max() <= 0.5 / levels + 1e-12


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("lr_size", [(32, 32), (64, 64), (16, 16)])
def test_degrade_equals_the_pipeline(bits, lr_size):
    hr = (make_phantom(3, 128).pixels / 4095).astype(np.float32)
    assert 0.1 < hr.std() < 0.5
    ours = degrade(hr, lr_size, bits)
    pipeline = tf_degrade(hr[..., None], lr_size, bits)[..., 0].numpy()
    level = 1 / (2**bits - 1)
    # A value half-way between two grey levels may fall to either side in float32.
    assert np.abs(ours - pipeline).max() < 1.01 * level
    if bits == 8:
        assert np.mean(np.abs(ours - pipeline) > level / 2) < 0.002


def test_degrade_clips_the_overshoot():
    edge = np.repeat([[0.0, 1.0]], 32, axis=1).repeat(64, axis=0)
    assert resize(edge, (16, 16)).max() > 1.01
    lr = degrade(edge, (16, 16), 8)
    assert lr.min() == 0 and lr.max() == 1


@pytest.mark.parametrize("scale", range(2, 9))
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 17), (33, 5), (50, 41)])
def test_reduction_is_the_matrices_and_their_pseudo_inverses(scale, size):
    rows, columns = (lanczos_matrix(scale * n, n) for n in size)
    hr, lr = noise(tuple(scale * n for n in size)).astype(float), noise(size, 1).astype(float)
    reduction = Reduction(size, scale)
    np.testing.assert_allclose(reduction.reduce(hr), rows @ hr @ columns.T, atol=1e-13)
    lifted = np.linalg.pinv(rows) @ lr @ np.linalg.pinv(columns).T
    np.testing.assert_allclose(reduction.lift(lr), lifted, atol=1e-12)
    np.testing.assert_allclose(reduction.enlarge(lr), resize(lr, hr.shape), atol=1e-13)
    np.testing.assert_allclose(reduction.reduce(reduction.lift(lr)), lr, atol=1e-12)


def test_reduction_takes_a_batch_and_keeps_the_dtype():
    reduction = Reduction((20, 35), 3)
    images = noise((2, 60, 105))
    for function in (reduction.reduce, reduction.added):
        each = [function(image) for image in images]
        assert function(images).dtype == np.float32
        np.testing.assert_allclose(function(images), each, atol=1e-6)
        np.testing.assert_allclose(function(images.astype(float)), each, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 7])
def test_added_detail_is_what_neither_lr_nor_interpolation_holds(scale):
    reduction = Reduction((30, 22), scale)
    hr = noise((30 * scale, 22 * scale)).astype(float)
    added = reduction.added(hr)
    assert np.abs(added).mean() > 0.1
    assert np.abs(reduction.reduce(added)).max() < 1e-12
    np.testing.assert_allclose(reduction.added(added), added, atol=1e-12)
    # What is left is interpolation, made to reduce to the same LR image.
    lr = reduction.reduce(hr)
    plain = reduction.enlarge(lr)
    plain += reduction.lift(lr - reduction.reduce(plain))
    np.testing.assert_allclose(hr - added, plain, atol=1e-12)


def test_a_flat_film_has_no_added_detail_at_its_border_either():
    reduction = Reduction((40, 40), 4)
    flat = np.full((160, 160), 0.5)
    assert np.abs(reduction.added(flat)).max() < 1e-12
    # The image of least energy would make an eighth of the range of it.
    assert np.abs(flat - reduction.lift(reduction.reduce(flat))).max() > 0.125


@pytest.mark.parametrize("scale", range(2, 9))
def test_reach_is_where_the_pseudo_inverse_fades_out(scale):
    """Of a contradiction in [-1, 1] everywhere beyond, under 1e-4 of a grey level arrives."""
    size = 4 * REACH
    inverse = np.linalg.pinv(lanczos_matrix(scale * size, size))
    distance = np.abs(np.arange(scale * size)[:, None] // scale - np.arange(size))

    def beyond(reach: int) -> float:
        return np.where(distance >= reach, np.abs(inverse), 0).sum(axis=1).max()

    assert beyond(REACH) < 1e-4 / 255 < beyond(REACH - 2)


def test_a_reduction_of_a_large_film_is_small():
    """Matrices without their zeros; whole ones would take 512 MB."""
    reduction = Reduction((2000, 2000), 8)
    side = reduction._rows
    held = sum(each.nbytes for each in (*side._blocks, *side._inverse, *side._below))
    assert held < 40e6
    assert reduction._rows is reduction._columns
