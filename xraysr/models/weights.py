"""Weights of a model: what identifies them, and safetensors files that any reader can open."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
import safetensors
import safetensors.numpy

from xraysr.errors import UserError
from xraysr.files import whole_file

LAYOUT = {"kernel": "height, width, input channels, output channels"}


def weights_sha256(model: keras.Model) -> str:
    """Hash of all weights in order, as float32 bytes: the identity of a trained model."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.astype("<f4").tobytes())
    return digest.hexdigest()


def weight_names(model: keras.Model) -> list[str]:
    """Names such as `block_0/first/kernel`, in the order of the model's weights."""
    return [weight.path.partition("/")[2] for weight in model.weights]


def round_weights(model: keras.Model) -> None:
    """Rounds all weights to what float16 holds, in place.

    Raises:
        UserError: if a weight is not finite in float16.
    """
    model.set_weights([weight.astype(np.float32) for weight in _float16(model).values()])


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes the weights by name as float16; the same weights give the same bytes.

    Args:
        model: A built model.
        path: The file, `.safetensors`.

    Raises:
        UserError: if a weight is not finite in float16, or `path` cannot be written.
    """
    content = safetensors.numpy.save(_float16(model), metadata=LAYOUT)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def load_weights(model: keras.Model, path: Path) -> None:
    """Gives a built model the weights at `path`, as float32.

    Raises:
        UserError: if the file is missing or damaged, or holds anything but this model's weights
            in float16.
    """
    try:
        found = safetensors.numpy.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"The weights {path} are damaged: {error}") from error
    expected = dict(zip(weight_names(model), (tuple(w.shape) for w in model.weights), strict=True))
    if {name: weight.shape for name, weight in found.items()} != expected:
        raise UserError(
            f"{path} holds the weights of another network. Expected: {len(expected)} arrays, "
            f"{_first(expected)} among them. Received: {len(found)}, of other names or shapes"
        )
    if kinds := {str(weight.dtype) for weight in found.values()} - {"float16"}:
        raise UserError(f"The weights {path} must be float16. Received: {', '.join(sorted(kinds))}")
    model.set_weights([found[name].astype(np.float32) for name in expected])


def _float16(model: keras.Model) -> dict[str, np.ndarray]:
    with np.errstate(over="ignore"):
        rounded = [weight.astype("<f2") for weight in model.get_weights()]
    if not all(np.isfinite(weight).all() for weight in rounded):
        raise UserError("The weights are not finite in float16; such a network cannot ship.")
    return dict(zip(weight_names(model), rounded, strict=True))


def _first(shapes: dict[str, tuple[int, ...]]) -> str:
    return next((f"{name} {shape}" for name, shape in shapes.items()), "none")
