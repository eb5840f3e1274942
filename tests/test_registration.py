"""Keras finds our classes in files, whichever of the two was imported first."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from xraysr.models import PatchDiscriminator, SRResNet
from xraysr.training import SRGAN

LOAD = """
import sys
{imports}
assert not [name for name in sys.modules if name.startswith(("xraysr.models", "xraysr.training"))]
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert (type(model).__name__, model.phase) == ("SRGAN", "adversarial"), (type(model), model.phase)
image = np.load(sys.argv[2])
np.save(sys.argv[2], np.asarray(model.generator(image)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["import xraysr", "import keras, xraysr"])
def test_keras_opens_an_srgan_in_a_process_that_imported_xraysr_alone(tmp_path, imports):
    discriminator = PatchDiscriminator(1, filters=4)
    discriminator.build((None, 16, 16, 1))
    srgan = SRGAN(SRResNet.for_pair("8:16", depth=1, width=8), discriminator)
    srgan.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    srgan.phase = "adversarial"
    image = np.random.default_rng(0).random((1, 8, 8, 1), dtype=np.float32)
    expected = np.asarray(srgan.generator(image))
    srgan.save(tmp_path / "srgan.keras")
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-c", LOAD.format(imports=imports)]
    done = subprocess.run(
        [*command, tmp_path / "srgan.keras", tmp_path / "image.npy"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "image.npy"), expected)
