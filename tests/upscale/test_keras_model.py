from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.lanczos import resize
from xraysr.models.storage import load_generator
from xraysr.upscale.keras_model import KerasRuntime, load_with_card


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 24, 24, 1), (1, 17, 40, 1), (3, 9, 31, 1), (2, 1, 1, 1)])
def test_the_graph_computes_what_the_model_computes(trained, shape):
    batch = random(*shape)
    expected = np.asarray(load_generator(trained["keras"])(batch))
    np.testing.assert_allclose(KerasRuntime(trained["keras"]).run(batch), expected, atol=1e-5)


def test_the_generator_of_these_tests_is_not_plain_lanczos(trained):
    image = random(1, 24, 24, 1)
    enlarged = KerasRuntime(trained["keras"]).run(image)
    plain = np.clip(resize(image[0, ..., 0], (96, 96)), 0, 1)
    assert np.abs(enlarged[0, ..., 0] - plain).max() > 0.01


def test_one_graph_serves_all_sizes(trained):
    runtime = KerasRuntime(trained["keras"])
    for side in (5, 6, 7):
        runtime.run(random(1, side, side, 1))
    assert runtime._graph.experimental_get_tracing_count() == 1


def test_the_card_comes_along(trained):
    generator, spec = load_with_card(trained["keras"])
    assert (spec.scale, spec.receptive_radius) == (4, generator.receptive_radius)
    assert spec.training["pair"] == "8:32"
    assert KerasRuntime(trained["keras"]).spec == spec


def copy(trained: dict[str, Path], folder: Path) -> Path:
    for path in trained["keras"].parent.glob("generator.*"):
        shutil.copy(path, folder)
    return folder / "generator.keras"


def test_a_card_of_other_weights_is_refused(trained, tmp_path, save_model):
    model = copy(trained, tmp_path)
    shutil.copy(save_model(tmp_path / "other.keras", seed=1), model)
    with pytest.raises(UserError, match="does not hold the weights its card names"):
        load_with_card(model)


def test_a_damaged_file_is_said_to_be_damaged(trained, tmp_path):
    model = copy(trained, tmp_path)
    model.write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"generator.keras is not a Keras model: it was truncated"):
        load_with_card(model)


def test_damage_inside_the_archive_is_found(trained, tmp_path):
    model = copy(trained, tmp_path)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    model.write_bytes(content)
    with pytest.raises(UserError, match="generator.keras"):
        load_with_card(model)


def test_another_kind_of_keras_model_is_refused(trained, tmp_path):
    import keras

    model = copy(trained, tmp_path)
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)]).save(model)
    with pytest.raises(UserError, match="holds a Sequential, expected a Generator"):
        load_with_card(model)


def test_a_card_that_is_not_one_is_refused(trained, tmp_path):
    model = copy(trained, tmp_path)
    card = tmp_path / "generator.spec.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": 99}))
    with pytest.raises(UserError, match="generator.spec.json is not a card of format 1"):
        load_with_card(model)
