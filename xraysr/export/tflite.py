"""A generator as TFLite."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tensorflow as tf

from xraysr.export.saved_model import write_saved_model
from xraysr.models import SRNetwork


def write_tflite(generator: SRNetwork, path: Path) -> None:
    """Writes the file `path`: float32, built-in operations only, any batch, height and width."""
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(generator, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=["serving_default"]
        )
        path.write_bytes(converter.convert())
