from __future__ import annotations

import numpy as np
import pytest

from xraysr.lanczos import resize
from xraysr.models.storage import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale.keras_model import KerasRuntime


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 24, 24, 1), (1, 17, 40, 1), (3, 9, 31, 1), (2, 1, 1, 1)])
def test_the_graph_computes_what_the_model_computes(trained, shape):
    batch = random(*shape)
    expected = np.asarray(load_generator(trained["keras"])(batch))
    np.testing.assert_allclose(KerasRuntime.open(trained["keras"]).run(batch), expected, atol=1e-5)


def test_the_generator_of_these_tests_is_not_plain_lanczos(trained):
    image = random(1, 24, 24, 1)
    enlarged = KerasRuntime.open(trained["keras"]).run(image)
    plain = np.clip(resize(image[0, ..., 0], (96, 96)), 0, 1)
    assert np.abs(enlarged[0, ..., 0] - plain).max() > 0.01


def test_one_graph_serves_all_sizes(trained):
    runtime = KerasRuntime.open(trained["keras"])
    for side in (5, 6, 7):
        runtime.run(random(1, side, side, 1))
    assert runtime._graph.experimental_get_tracing_count() == 1


def test_the_card_comes_along(trained):
    assert KerasRuntime.open(trained["keras"]).spec == ModelSpec.load(trained["keras"])
