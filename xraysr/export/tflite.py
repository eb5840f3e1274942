"""A generator as TFLite."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from xraysr.export.saved_model import write_saved_model
from xraysr.models import SRNetwork

SIGNATURE = "serving_default"


def write_tflite(
    generator: SRNetwork, path: Path, calibration: Iterable[np.ndarray] | None = None
) -> None:
    """Writes the file `path`: built-in operations only, any batch, height and width.

    Args:
        generator: The network.
        path: The file.
        calibration: LR images, float in [0, 1], shape (height, width), some dozens of the kind
            the model will meet. With them weights and activations become int8, input and output
            uint8 where 255 stands for 1; without, all is float32.

    Reference:
        [Jacob et al., 2018](https://arxiv.org/abs/1712.05877)
    """
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(generator, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if calibration is not None:
            images = list(calibration)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _samples(images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        path.write_bytes(converter.convert())


def _samples(images: list[np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """What the converter measures ranges on: `images`, and one that holds all grey levels.

    Without the latter, input and output could reach only the grey levels that `images` have.
    """
    ramp = np.broadcast_to(np.linspace(0.0, 1.0, 256), (16, 256))
    for image in (*images, ramp):
        yield SIGNATURE, {"lr": image[None, ..., None].astype(np.float32)}
