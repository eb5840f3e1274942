"""A generator as SavedModel: for TF Serving, and for the converters to other formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from xraysr.export.image_signature import image_signature
from xraysr.models import SRNetwork
from xraysr.pair import Pair, Size
from xraysr.spec import ModelSpec

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
DEFAULT_SIZE = (64, 64)


def write_graph(generator: SRNetwork, path: Path) -> None:
    """Writes the folder `path` with the signature `serving_default` alone, and no card.

    It maps `lr`, float32 (batch, height, width, 1) in [0, 1], any batch, height and width, to
    `sr`, the same `scale` times as large.
    """
    _save(generator, path, {"serving_default": _tensor_signature(generator)})


def write_saved_model(generator: SRNetwork, path: Path, spec: ModelSpec) -> None:
    """Writes the folder `path` as TF Serving loads it: signatures, card, warm-up requests.

    The warm-up requests are left out where tensorflow-serving-api, whose messages they are, is
    not installed.

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
    if find_spec("tensorflow_serving"):
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


def write_warmup(path: Path, spec: ModelSpec) -> None:
    """Writes requests that TF Serving answers for itself before it takes the first of a client.

    They lie in the SavedModel `path`, where TF Serving looks for them. For the LR size of each
    pair of its training, else for 64x64: one image for `serving_default`, and a PNG of 8 bits,
    one of 16 and a JPEG for `image_bytes`. The pixels are seeded noise.
    """
    from tensorflow_serving.apis.model_pb2 import ModelSpec as ServedModel
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

    file = path / WARMUP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for size in lr_sizes(spec):
            for signature, tensors in _requests(size):
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


def _requests(size: Size) -> Iterator[tuple[str, dict[str, object]]]:
    """Signature and its inputs for images of `size`."""
    noise = np.random.default_rng(0).random((*size, 1), dtype=np.float32)
    yield "serving_default", {"lr": noise[None]}
    grey = tf.image.convert_image_dtype(noise, tf.uint8)
    deep = tf.image.convert_image_dtype(noise, tf.uint16)
    files = [tf.io.encode_png(grey), tf.io.encode_png(deep), tf.io.encode_jpeg(grey)]
    yield "image_bytes", {"image_bytes": [file.numpy() for file in files]}
