"""A generator as SavedModel: for TF Serving, and for the converters to other formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from xraysr.export.image_signature import image_signature
from xraysr.export.warmup import write_warmup
from xraysr.models import SRNetwork
from xraysr.spec import ModelSpec


def write_graph(generator: SRNetwork, path: Path) -> None:
    """Writes the folder `path` with the signature `serving_default` alone, and no card.

    It maps `lr`, float32 (batch, height, width, 1) in [0, 1], any batch, height and width, to
    `sr`, the same `scale` times as large.
    """
    _save(generator, path, {"serving_default": _tensor_signature(generator)})


def write_saved_model(generator: SRNetwork, path: Path, spec: ModelSpec) -> None:
    """Writes the folder `path` as TF Serving loads it: signatures, card, warm-up requests.

    `serving_default` is that of `write_graph`, `image_bytes` that of `image_signature`.
    `metadata` maps `request`, string (batch,), whatever it holds, to `spec`, string (batch,), the
    text of the card once for each; it has an input because TF Serving's REST refuses a signature
    without one. All of it is done by TensorFlow's built-in operations.
    """
    tensors = _tensor_signature(generator)
    signatures = {
        "serving_default": tensors,
        "image_bytes": image_signature(
            lambda lr: tensors(lr)["sr"], generator.scale, generator.receptive_radius
        ),
        "metadata": _text_signature(spec.to_json()),
    }
    _save(generator, path, signatures)
    spec.save(path)
    write_warmup(path, spec)


def _tensor_signature(generator: SRNetwork) -> Any:
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 1), tf.float32, name="lr")])
    def upscale(lr):
        return {"sr": generator.call(lr)}

    return upscale


def _text_signature(text: str) -> Any:
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="request")])
    def metadata(request):
        return {"spec": tf.fill(tf.shape(request), text)}

    return metadata


def _save(generator: SRNetwork, path: Path, signatures: Mapping[str, Any]) -> None:
    """Saves the weights once, where `keras.export.ExportArchive` saves them twice."""
    module = tf.Module()
    module.weights = [weight.value for weight in generator.weights]
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel("WARNING")  # it would tell of a temporary folder
    try:
        tf.saved_model.save(module, str(path), signatures=signatures)
    finally:
        logger.setLevel(before)
