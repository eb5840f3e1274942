"""The SavedModel in a process without Keras and TensorFlow's Python, on TF Serving's own path."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from xraysr.models.open import load_generator

SCRIPT = Path(__file__).with_name("capi.py")
INVALID_ARGUMENT = 3

RANDOM = np.random.default_rng(7)
TENSOR = RANDOM.random((2, 9, 13, 1), dtype=np.float32)
GREY8 = RANDOM.integers(0, 256, (12, 17), dtype=np.uint8)
GREY16 = RANDOM.integers(0, 65536, (9, 12), dtype=np.uint16)


def encode(image: np.ndarray, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format)
    return file.getvalue()


GOOD = [encode(GREY8), encode(GREY16), encode(GREY8, "JPEG")]
CUT = encode(GREY8)[:-30]


@pytest.fixture(scope="module")
def answers(trained, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """All calls in one process, which loads the model once."""
    folder = trained["saved_model"]
    proto = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signatures = proto.meta_graphs[0].signature_def

    def call(signature: str, strings: list[bytes] | None = None, **value: str) -> dict[str, Any]:
        (source,), (target,) = (
            each.values() for each in (signatures[signature].inputs, signatures[signature].outputs)
        )
        if strings is not None:
            value = {"strings": [base64.b64encode(text).decode() for text in strings]}
        return {"feed": source.name, "fetch": target.name, **value}

    path = tmp_path_factory.mktemp("capi") / "lr.npy"
    np.save(path, TENSOR)
    calls = {
        "tensor": call("serving_default", npy=str(path)),
        "metadata": call("metadata", [b"", b"two"]),
        "images": call("image_bytes", GOOD),
        "no images": call("image_bytes", []),
        "text": call("image_bytes", [*GOOD, b"text"]),
        "cut": call("image_bytes", [GOOD[0], CUT, GOOD[1]]),
        "after damage": call("image_bytes", GOOD),
    }
    job = json.dumps({"folder": str(folder), "calls": list(calls.values())})
    result = subprocess.run(
        [sys.executable, str(SCRIPT)], input=job, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return dict(zip(calls, json.loads(result.stdout), strict=True))


def files(answer: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(text) for text in answer["strings"]]


def test_tensors_give_what_keras_gives(trained, answers):
    sr = np.load(answers["tensor"]["npy"])
    np.testing.assert_allclose(sr, load_generator(trained["keras"])(TENSOR), atol=1e-5)


def test_metadata_is_the_card(trained, answers):
    card = (trained["saved_model"] / "spec.json").read_bytes()
    assert files(answers["metadata"]) == [card, card]


def test_images_give_what_keras_gives(trained, answers):
    generator = load_generator(trained["keras"])
    found = [np.asarray(Image.open(io.BytesIO(file))) for file in files(answers["images"])]
    assert [each.dtype for each in found] == [np.uint8, np.uint16, np.uint8]
    for lr, levels in zip((GREY8, GREY16), found, strict=False):
        top = np.iinfo(lr.dtype).max
        pixels = (lr.astype(np.float32) / np.float32(top))[None, ..., None]
        expected = np.asarray(generator(pixels))[0, ..., 0].astype(np.float64) * top
        np.testing.assert_allclose(levels, expected, atol=0.5 + 1e-5 * top, rtol=0)
    assert found[2].shape == (48, 68)


def test_an_empty_batch_gives_an_empty_batch(answers):
    assert files(answers["no images"]) == []


@pytest.mark.parametrize(("case", "place"), [("text", 3), ("cut", 1)])
def test_a_damaged_image_is_an_invalid_argument_that_names_it(answers, case, place):
    assert answers[case]["code"] == INVALID_ARGUMENT
    expected = f"image_bytes[{place}] is not a PNG or JPEG image that can be decoded"
    assert expected in answers[case]["message"]


def test_the_process_goes_on_after_damage(answers):
    assert files(answers["after damage"]) == files(answers["images"])
