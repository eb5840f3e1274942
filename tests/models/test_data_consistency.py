"""The projection inside a graph, against its twin in NumPy, and in the formats that leave Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from xraysr.export.converters import write_tflite
from xraysr.films.index import index_films
from xraysr.io import read
from xraysr.lanczos import REACH, degrade, lanczos_matrix, resize
from xraysr.models import EdgeGenerator, SRResNet
from xraysr.models.data_consistency import (
    ConsistentGenerator,
    DataConsistency,
    inverse_taps,
    polyphase_reduction,
)
from xraysr.models.open import load_generator, save_generator, weights_sha256
from xraysr.phantom.film import make_phantom
from xraysr.upscale.data_consistency import project

LEVEL = 1 / 255


def film(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    whole = make_phantom(seed, max(64, *size)).pixels / 4095
    return whole[: size[0], : size[1]].astype(np.float32)


def batch(image: np.ndarray) -> np.ndarray:
    return image[None, ..., None].astype(np.float32)


def residual(sr: np.ndarray, lr: np.ndarray) -> float:
    """Largest one, in grey levels of 8 bits, as a file sees it."""
    sr, lr = (np.asarray(each).reshape(np.shape(each)[-3:-1]) for each in (sr, lr))
    return np.abs(np.clip(resize(sr, lr.shape), 0, 1) - lr).max() / LEVEL


@pytest.fixture
def generator(perturb) -> EdgeGenerator:
    """An edge generator that is not plain Lanczos."""
    network = EdgeGenerator(3, depth=1, width=8)
    network.build((None, None, None, 1))
    return perturb(network)


@pytest.mark.parametrize("scale", range(2, 9))
def test_kernels_are_the_matrix_far_from_the_border(scale):
    rows = lanczos_matrix(16 * scale, 16)
    down, up = polyphase_reduction(scale)
    expected = np.kron(rows[8], rows[8]).reshape(16, scale, 16, scale)[5:12, :, 5:12]
    expected = expected.transpose(0, 2, 1, 3).reshape(7, 7, -1)
    np.testing.assert_allclose(down[..., 0], expected, atol=1e-7)
    # The transpose: what a pixel gave is what it gets.
    np.testing.assert_array_equal(up[:, :, 0], down[::-1, ::-1, :, 0])
    taps = inverse_taps(scale)
    matrix = lanczos_matrix(64 * scale, 64)
    product = (matrix @ matrix.T)[32, 27:38]
    unit = np.convolve(taps, product)
    np.testing.assert_allclose(unit, np.eye(len(unit))[len(unit) // 2], atol=1e-4)


@pytest.mark.parametrize("scale", range(2, 9))
@pytest.mark.parametrize("size", [(24, 31), (5, 9), (1, 1)])
def test_it_equals_its_twin_and_fits_the_lr_image(scale, size):
    hr = 0.14 + 0.72 * film((scale * size[0], scale * size[1]), scale)
    lr = resize(hr, size)
    noise = np.random.default_rng(0).normal(0, 0.05, hr.shape)
    sr = np.clip(resize(lr, hr.shape) + noise, 0, 1).astype(np.float32)
    result = DataConsistency(scale)([batch(sr), batch(lr)])
    assert residual(result, batch(lr)) < 0.05 < residual(batch(sr), batch(lr))
    np.testing.assert_allclose(np.asarray(result)[0, ..., 0], project(sr, lr), atol=0.1 * LEVEL)


@pytest.mark.parametrize("scale", [2, 4, 7])
def test_three_rounds_do_at_the_border_too(scale):
    hr = 0.14 + 0.72 * film((32 * scale, 32 * scale), 1)
    lr = resize(hr, (32, 32))
    sr = hr + np.random.default_rng(0).normal(0, 0.05, hr.shape)
    result = DataConsistency(scale, rounds=3)([batch(sr), batch(lr)])
    assert residual(result, batch(lr)) < 0.02 < 5 < residual(batch(sr), batch(lr))


def test_where_a_file_clipped_the_reduction_may_lie_beyond():
    hr = np.zeros((64, 64), np.float32)
    hr[20:44, 20:44] = 1.0
    lr = np.clip(resize(hr, (16, 16)), 0, 1)
    result = DataConsistency(4)([batch(hr), batch(lr)])
    np.testing.assert_allclose(np.asarray(result)[0, ..., 0], hr, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4, 7])
def test_films_that_clip_come_within_half_a_level_and_the_limits(scale):
    hr = film((32 * scale, 40 * scale), 3)
    lr = degrade(hr, (32, 40), 8)
    result = np.asarray(
        DataConsistency(scale)([batch(np.clip(resize(lr, hr.shape), 0, 1)), batch(lr)])
    )
    assert residual(result, batch(lr)) < 0.5
    assert result.min() >= 0 and result.max() <= 1


def test_each_image_of_a_batch_is_fitted():
    lrs = np.stack([0.14 + 0.72 * film((20, 24), seed) for seed in range(2)])[..., None]
    sr = np.repeat(np.repeat(lrs, 2, axis=1), 2, axis=2)
    result = np.asarray(DataConsistency(2)([sr, lrs]))
    assert max(residual(each, lr) for each, lr in zip(result, lrs, strict=True)) < 0.05


def test_one_round_leaves_more_than_many():
    hr = film((96, 96), 1)
    lr = degrade(hr, (24, 24), 8)
    images = [batch(np.clip(resize(lr, hr.shape), 0, 1)), batch(lr)]
    once, often = (residual(DataConsistency(4, rounds=n)(images), images[1]) for n in (1, 16))
    assert often < 0.5 * once
    with pytest.raises(ValueError, match="rounds >= 1. Received: rounds=0"):
        DataConsistency(4, rounds=0)


def test_the_generator_fits_and_its_weights_are_the_networks(generator):
    faithful = ConsistentGenerator(generator)
    lr = batch(degrade(film((90, 120)), (30, 40), 8))
    assert residual(faithful(lr), lr) < 0.5 < residual(generator(lr), lr)
    assert weights_sha256(faithful) == weights_sha256(generator)
    assert faithful.receptive_radius == generator.receptive_radius + REACH
    assert faithful.scale == 3
    assert faithful.compute_output_shape((None, 8, None, 1)) == (None, 24, None, 1)


@pytest.mark.parametrize("kind", [EdgeGenerator, SRResNet])
def test_it_is_saved_and_loaded(kind, perturb, tmp_path):
    faithful = ConsistentGenerator(perturb(kind.for_pair("16:32", depth=1, width=8)), rounds=5)
    spec = save_generator(faithful, tmp_path / "faithful.keras")
    assert (spec.scale, spec.receptive_radius) == (2, faithful.receptive_radius)
    loaded = load_generator(tmp_path / "faithful.keras")
    assert isinstance(loaded, ConsistentGenerator) and isinstance(loaded.generator, kind)
    assert loaded.faithful.rounds == 5
    lr = batch(film((16, 20)))
    np.testing.assert_array_equal(loaded(lr), faithful(lr))


def test_a_graph_of_one_radius_sees_the_same(generator):
    """What lies further than the receptive radius changes nothing that a file could hold."""
    faithful = ConsistentGenerator(generator)
    radius = faithful.receptive_radius
    image = 0.2 + 0.6 * np.random.default_rng(0).random((1, 2 * radius + 1, 8, 1), dtype="f4")
    other = image.copy()
    other[:, 0] = 1 - other[:, 0]
    rows = slice(3 * (radius + 1), None)
    change = np.abs(np.asarray(faithful(image)) - np.asarray(faithful(other)))
    assert change[:, rows].max() < 1e-5 < 1e-3 < change[:, : 3 * radius].max()


def test_it_runs_in_litert_with_built_in_operations(generator, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    faithful = ConsistentGenerator(generator)
    path = tmp_path / "faithful.tflite"
    write_tflite(faithful, path)
    interpreter = Interpreter(str(path))  # without the operations of TensorFlow
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for size in ((24, 31), (9, 5)):
        lr = batch(degrade(film((3 * size[0], 3 * size[1])), size, 8))
        interpreter.resize_tensor_input(entry["index"], lr.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], lr)
        interpreter.invoke()
        sr = interpreter.get_tensor(result["index"])
        np.testing.assert_allclose(sr, np.asarray(faithful(lr)), atol=1e-5)
        assert residual(sr, lr) < 0.5


def test_it_runs_in_onnx(generator, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from xraysr.export.converters import write_onnx

    faithful = ConsistentGenerator(generator)
    write_onnx(faithful, tmp_path / "faithful.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "faithful.onnx"))
    lr = batch(degrade(film((72, 93)), (24, 31), 8))
    (sr,) = session.run(None, {"lr": lr})
    np.testing.assert_allclose(sr, np.asarray(faithful(lr)), atol=1e-5)


@pytest.mark.slow
def test_real_films_come_within_half_a_level(shared_data: Path):
    from xraysr.models import open_model

    faithful = ConsistentGenerator(open_model("edge-x4")[0])
    for each in index_films(shared_data / "nih_chest_xray").of("test")[:10]:
        lr = batch(degrade(read(each.path).pixels[:512, :512], (128, 128), 8))
        assert residual(faithful(lr), lr) < 0.5 < residual(faithful.generator(lr), lr)


def test_it_is_registered():
    config = DataConsistency(5, rounds=3).get_config()
    again = keras.saving.get_registered_object("xraysr>DataConsistency").from_config(config)
    assert (again.scale, again.rounds) == (5, 3)
