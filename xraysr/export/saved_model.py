"""A generator as SavedModel."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from xraysr.models import SRNetwork


def write_saved_model(generator: SRNetwork, path: Path) -> None:
    """Writes the folder `path` with the signature `serving_default`.

    It maps float32 (batch, height, width, 1) in [0, 1], any batch, height and width, to the
    same `scale` times as large.
    """
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint(
        "serving_default",
        generator.call,
        input_signature=[tf.TensorSpec((None, None, None, 1), tf.float32, name="lr")],
    )
    archive.write_out(str(path), verbose=False)
