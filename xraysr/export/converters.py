"""A generator as TFLite, in four precisions, and as ONNX."""

from __future__ import annotations

import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from xraysr.errors import needs
from xraysr.export.saved_model import write_graph
from xraysr.models import SRNetwork
from xraysr.spec import ModelSpec
from xraysr.upscale.edge import CARD

SIGNATURE = "serving_default"
OPSET = 17
ONNX_OUTPUT = "sr"
PRECISIONS = ("float32", "float16", "dynamic", "int8")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the same card, the same bytes


def write_tflite(
    generator: SRNetwork,
    path: Path,
    precision: str = "float32",
    calibration: Sequence[np.ndarray] = (),
) -> None:
    """Writes the file `path`: built-in operations only, any batch, height and width.

    Args:
        generator: The network.
        path: The file.
        precision: `float32`; `float16`, weights of half the size; `dynamic`, weights in int8 and
            float32 between the layers; `int8`, weights and activations in int8, input and output
            uint8 where 255 stands for 1.
        calibration: For `int8`, LR images, float in [0, 1], shape (height, width), some dozens
            of the kind the model will meet, from which the ranges of activations are taken.

    Reference:
        [Jacob et al., 2018](https://arxiv.org/abs/1712.05877)
    """
    with tempfile.TemporaryDirectory() as folder:
        write_graph(generator, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: _samples(calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        with warnings.catch_warnings():  # its calibrator warns of tf.lite.Interpreter
            warnings.simplefilter("ignore", UserWarning)
            path.write_bytes(converter.convert())


def attach_card(path: Path, spec: ModelSpec) -> None:
    """Puts the card into a `.tflite` file, as a zip behind the model, where `unzip` finds it too.

    Reference:
        [TFLite metadata](https://ai.google.dev/edge/litert/models/metadata), associated files
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(CARD, EPOCH), spec.to_json())


def _samples(images: Sequence[np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """What the converter measures ranges on: `images`, and one that holds all grey levels.

    Without the latter, input and output could reach only the grey levels that `images` have.
    """
    ramp = np.broadcast_to(np.linspace(0.0, 1.0, 256), (16, 256))
    for image in (*images, ramp):
        yield SIGNATURE, {"lr": image[None, ..., None].astype(np.float32)}


def write_onnx(generator: SRNetwork, path: Path) -> None:
    """Writes the file `path`: input `lr`, output `sr`, float32, any batch, height and width.

    Raises:
        UserError: if tf2onnx is not installed.
    """
    with needs("An ONNX export", "xraysr[onnx]"):
        import tf2onnx
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    signature = [tf.TensorSpec((None, None, None, 1), tf.float32, name="lr")]
    # tf2onnx's own optimisers left an axis too many in some runs; whatever runs the file has
    # its own.
    model, _ = tf2onnx.convert.from_keras(generator, signature, opset=OPSET, optimizers={})
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = [ONNX_OUTPUT if name == output.name else name for name in node.output]
    output.name = ONNX_OUTPUT
    path.write_bytes(model.SerializeToString())
