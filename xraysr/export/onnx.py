"""A generator as ONNX."""

from __future__ import annotations

import logging
from pathlib import Path

import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models import SRNetwork

OPSET = 17
OUTPUT = "sr"


def write_onnx(generator: SRNetwork, path: Path) -> None:
    """Writes the file `path`: input `lr`, output `sr`, float32, any batch, height and width.

    Raises:
        UserError: if tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise UserError("ONNX exports need tf2onnx: pip install 'xraysr[onnx]'") from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    signature = [tf.TensorSpec((None, None, None, 1), tf.float32, name="lr")]
    # tf2onnx's own optimisers left an axis too many in some runs; whatever runs the file has
    # its own.
    model, _ = tf2onnx.convert.from_keras(generator, signature, opset=OPSET, optimizers={})
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT
    path.write_bytes(model.SerializeToString())
