"""A generator as ONNX."""

from __future__ import annotations

import logging
from pathlib import Path

import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models import SRNetwork

OPSET = 17


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

    @tf.function(input_signature=signature)
    def enlarge(lr: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sr": generator(lr)}

    tf2onnx.convert.from_function(
        enlarge, input_signature=signature, opset=OPSET, output_path=str(path)
    )
