"""A generator on disk: one `.keras` file with its card beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras

from xraysr.errors import UserError
from xraysr.files import whole_file
from xraysr.models.network import SRNetwork
from xraysr.spec import ModelSpec


def weights_sha256(model: keras.Model) -> str:
    """Hash of all weights in order, as float32 bytes: the identity of a trained model."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.astype("<f4").tobytes())
    return digest.hexdigest()


def save_generator(
    generator: SRNetwork, path: Path, training: dict[str, Any] | None = None
) -> ModelSpec:
    """Writes `generator` to `path` (`.keras`) and its card beside it; returns the card."""
    path = Path(path)
    if path.suffix != ".keras":
        raise UserError(f"A Keras model file ends in .keras. Received: {path}")
    if not generator.built:  # else the file would hold no weights
        generator.build((None, None, None, 1))
    with whole_file(path) as temporary:
        generator.save(temporary)
    spec = ModelSpec(
        name=path.stem,
        scale=generator.scale,
        receptive_radius=generator.receptive_radius,
        weights_sha256=weights_sha256(generator),
        training=training or {},
    )
    spec.save(path)
    return spec


def load_generator(path: Path) -> SRNetwork:
    """Reads a generator that `save_generator` or its `save` wrote.

    Raises:
        UserError: if there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"No model file at {path}")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras lets zip, h5 and deserialisation errors through.
        raise UserError(f"{path} is not a Keras model that can be read: {error}") from error
    if not isinstance(model, SRNetwork):
        raise UserError(f"{path} holds a {type(model).__name__}, expected a generator of xraysr.")
    return model
