"""Tensors as JSON, in the rows and columns of TF Serving's REST interface."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf

from xraysr.testing.served_model import RefusalError


def from_json(body: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inputs in a request, for a signature with the inputs `wanted` (name to TensorInfo).

    Either {"instances": [row, ...]}, each row a value or an object of values by name, or
    {"inputs": value or object}. Bytes are {"b64": base64}.
    """
    if not wanted:
        raise _invalid("Failed to get input map for signature")
    if ("instances" in body) == ("inputs" in body):
        raise _invalid("Expecting one of 'inputs' and 'instances'")
    if "inputs" in body:
        columns = body["inputs"]
        if not _by_name(columns):
            columns = {_only(wanted): columns}
        for name in wanted:
            if name not in columns:
                raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: _to_array(columns[name], info.dtype) for name, info in wanted.items()}
    rows = body["instances"]
    if not isinstance(rows, list) or not rows:
        raise _invalid("Expecting 'instances' to be a list that is not empty")
    if not any(map(_by_name, rows)):
        rows = [{_only(wanted): row} for row in rows]
    for row in rows:
        if not _by_name(row) or set(row) != set(wanted):
            raise _invalid(f"Failed to process 'instances': keys must be {sorted(wanted)}")
    return {
        name: _to_array([row[name] for row in rows], info.dtype) for name, info in wanted.items()
    }


def to_json(outputs: Mapping[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """The answer to a request: {"predictions": rows} or {"outputs": columns}.

    One output stands alone, several are objects by name. Strings are text, except those of an
    output whose name ends in _bytes.
    """
    columns = {name: _to_lists(name, value) for name, value in outputs.items()}
    if not rows:
        return {"outputs": columns if len(columns) > 1 else columns.popitem()[1]}
    if len({len(column) for column in columns.values()}) > 1:
        raise _invalid("Outputs have inconsistent batch sizes")
    if len(columns) == 1:
        return {"predictions": columns.popitem()[1]}
    values = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in values]}


def _to_array(value: Any, dtype: int) -> np.ndarray:
    kind = tf.as_dtype(dtype)
    try:
        if kind == tf.string:
            return np.array(_bytes(value), object)
        array = np.array(value)
        if array.dtype.kind not in "if" or (kind.is_integer and array.dtype.kind == "f"):
            raise ValueError(f"expected numbers of type {kind.name}")
        return array.astype(kind.as_numpy_dtype)
    except (ValueError, TypeError, KeyError) as error:
        raise _invalid(f"JSON Value is not of expected type or shape: {error}") from error


def _bytes(value: Any) -> Any:
    """Nested lists of bytes for nested lists of text and base64 objects."""
    if isinstance(value, list):
        return [_bytes(one) for one in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    if not isinstance(value, str):
        raise ValueError(f"expected a string, received {json.dumps(value)}")
    return value.encode()


def _to_lists(name: str, value: np.ndarray) -> Any:
    if value.dtype.kind not in "OS":
        return value.tolist()
    return _texts(value.tolist(), name.endswith("_bytes"))


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(one, as_bytes) for one in value]
    return {"b64": base64.b64encode(value).decode()} if as_bytes else value.decode()


def _by_name(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _only(wanted: Mapping[str, Any]) -> str:
    if len(wanted) > 1:
        raise _invalid("Expecting an object, as the signature has several inputs")
    return next(iter(wanted))


def _invalid(message: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
