"""Warm-up requests, which TF Serving answers for itself before it takes the first of a client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.model_pb2 import ModelSpec as ServedModel
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from xraysr.pair import Pair, Size
from xraysr.spec import ModelSpec

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
DEFAULT_SIZE = (64, 64)


def write_warmup(path: Path, spec: ModelSpec) -> None:
    """Writes the requests into the SavedModel `path`, where TF Serving looks for them.

    For the LR size of each pair of its training, else for 64x64: one image for
    `serving_default`, and a PNG of 8 bits, one of 16 and a JPEG for `image_bytes`. The pixels
    are seeded noise.
    """
    file = path / WARMUP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for size in lr_sizes(spec):
            for signature, tensors in _inputs(size):
                request = PredictRequest(
                    model_spec=ServedModel(name=spec.name, signature_name=signature),
                    inputs={name: tf.make_tensor_proto(value) for name, value in tensors.items()},
                )
                log = PredictionLog(predict_log=PredictLog(request=request))
                writer.write(log.SerializeToString())


def lr_sizes(spec: ModelSpec) -> list[Size]:
    """LR sizes, (height, width), of the pairs that the card's training names; else 64x64."""
    pairs = spec.training.get("pairs") or [spec.training.get("pair")]
    sizes = [Pair.parse(pair).lr for pair in pairs if pair]
    return list(dict.fromkeys(sizes)) or [DEFAULT_SIZE]


def _inputs(size: Size) -> Iterator[tuple[str, dict[str, object]]]:
    """Signature and its inputs for images of `size`."""
    noise = np.random.default_rng(0).random((*size, 1), dtype=np.float32)
    yield "serving_default", {"lr": noise[None]}
    grey = tf.image.convert_image_dtype(noise, tf.uint8)
    deep = tf.image.convert_image_dtype(noise, tf.uint16)
    files = [tf.io.encode_png(grey), tf.io.encode_png(deep), tf.io.encode_jpeg(grey)]
    yield "image_bytes", {"image_bytes": [file.numpy() for file in files]}
