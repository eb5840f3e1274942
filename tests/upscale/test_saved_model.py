from __future__ import annotations

import shutil

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.spec import ModelSpec
from xraysr.upscale.keras_model import KerasRuntime
from xraysr.upscale.saved_model import SavedModelRuntime


@pytest.mark.parametrize("shape", [(1, 24, 24, 1), (1, 17, 40, 1), (3, 9, 31, 1), (2, 1, 1, 1)])
def test_it_agrees_with_keras(trained, shape):
    batch = np.random.default_rng(2).random(shape, dtype=np.float32)
    expected = KerasRuntime.open(trained["keras"]).run(batch)
    result = SavedModelRuntime(trained["saved_model"]).run(batch)
    assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_its_card_is_the_generators(trained):
    spec = SavedModelRuntime(trained["saved_model"]).spec
    assert spec.weights_sha256 == ModelSpec.load(trained["keras"]).weights_sha256


@pytest.mark.parametrize(
    "part",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
def test_a_truncated_part_is_refused(trained, tmp_path, part):
    folder = shutil.copytree(trained["saved_model"], tmp_path / "model")
    content = (folder / part).read_bytes()
    (folder / part).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="model is not a SavedModel that can be read"):
        SavedModelRuntime(folder)
