"""VGG19 features against Keras's own VGG19, with random weights: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from xraysr.errors import UserError
from xraysr.models import VGG19Features


def save_legacy(model: keras.Model, path: Path) -> Path:
    """Writes weights in the format of `vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5`."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


@pytest.fixture(scope="module")
def vgg() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.applications.VGG19(include_top=False, weights=None)
    for weight in model.weights:  # He's spread, so that features neither die nor explode.
        if len(weight.shape) == 4:
            weight.assign(keras.initializers.HeNormal(seed=0)(weight.shape))
    return model


@pytest.fixture(scope="module", params=["published format", "Keras 3 format"])
def weights(request, vgg, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vgg")
    if request.param == "published format":
        return save_legacy(vgg, folder / "vgg19_notop.h5")
    vgg.save_weights(folder / "vgg19.weights.h5")
    return folder / "vgg19.weights.h5"


def test_features_equal_those_of_keras(vgg, weights):
    images = np.random.default_rng(0).random((2, 32, 48, 1), dtype=np.float32)
    # RGB in 0..255 to BGR less the ImageNet means, in NumPy.
    prepared = keras.applications.vgg19.preprocess_input(np.repeat(images * 255, 3, axis=-1))
    expected = keras.Model(vgg.input, vgg.get_layer("block5_conv4").output)(prepared) / 12.75
    extractor = VGG19Features(weights)
    features = extractor(images)
    assert features.shape == (2, 2, 3, 512)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.max(expected))
    assert extractor.trainable_weights == [] and extractor.weights


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"No VGG19 weights file at .*lost\.h5"):
        VGG19Features(tmp_path / "lost.h5")


@pytest.mark.parametrize("name", ["text.h5", "text.weights.h5", "text.txt"])
def test_a_file_that_holds_no_weights(tmp_path, name):
    (tmp_path / name).write_text("not weights")
    with pytest.raises(UserError, match=rf"{name} does not hold the weights of VGG19"):
        VGG19Features(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("name", ["other.h5", "other.weights.h5"])
def test_weights_of_another_network(tmp_path, name):
    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    path = tmp_path / name
    if name == "other.h5":
        save_legacy(other, path)
    else:
        other.save_weights(path)
    with pytest.raises(UserError, match=rf"{name} does not hold the weights of VGG19"):
        VGG19Features(path)
