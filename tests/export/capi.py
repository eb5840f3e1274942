"""Runs signatures of a SavedModel through TensorFlow's C API, as a server in C++ does.

Run as a script, in a process that has neither Keras nor TensorFlow's Python. It takes a JSON job
on standard input and writes the results to standard output, one for each call:

    {"folder": ..., "calls": [{"feed": "op:0", "fetch": "op:1", "npy": path or "strings": [...]}]}

A tensor of numbers is a .npy file, one of strings a list in base64. A call that fails gives
`code` and `message`.
"""

from __future__ import annotations

import base64
import ctypes
import importlib.util
import json
import math
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

FLOAT, STRING = 1, 7
STRING_SIZE = 24


class Output(ctypes.Structure):
    """One output of an operation."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "TF_NewStatus": (c_void_p, []),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_NewGraph": (c_void_p, []),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        [c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, c_void_p, c_void_p],
    ),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorType": (c_int, [c_void_p]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_StringInit": (None, [c_void_p]),
    "TF_StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
    "TF_SessionRun": (
        None,
        [c_void_p, c_void_p]
        + [POINTER(Output), POINTER(c_void_p), c_int] * 2
        + [c_void_p, c_int, c_void_p, c_void_p],
    ),
}


class StatusError(Exception):
    """A status that is not OK."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Session:
    """A SavedModel, loaded for serving."""

    def __init__(self, folder: str) -> None:
        package, *_ = importlib.util.find_spec("tensorflow").submodule_search_locations
        self.tf = ctypes.CDLL(str(Path(package) / "libtensorflow_cc.so.2"))
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(self.tf, name)
            function.restype, function.argtypes = result, arguments
        self.graph = self.tf.TF_NewGraph()
        options, tags, status = (
            self.tf.TF_NewSessionOptions(),
            (c_char_p * 1)(b"serve"),
            self._status(),
        )
        self.session = self.tf.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, self.graph, None, status
        )
        self._check(status)

    def run(self, feed: str, value: np.ndarray | list[bytes], fetch: str) -> Any:
        """The tensor `fetch` when `feed` holds `value`."""
        status, result = self._status(), c_void_p()
        tensor = self._strings(value) if isinstance(value, list) else self._floats(value)
        self.tf.TF_SessionRun(
            self.session, None,
            byref(self._output(feed)), byref(c_void_p(tensor)), 1,
            byref(self._output(fetch)), byref(result), 1,
            None, 0, None, status,
        )  # fmt: skip
        self.tf.TF_DeleteTensor(tensor)
        self._check(status)
        return self._value(result)

    def _status(self) -> int:
        return self.tf.TF_NewStatus()

    def _check(self, status: int) -> None:
        if code := self.tf.TF_GetCode(status):
            raise StatusError(code, self.tf.TF_Message(status).decode())

    def _output(self, name: str) -> Output:
        operation, index = name.split(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, f"the graph has no {operation}"
        return Output(found, int(index))

    def _allocate(self, dtype: int, shape: tuple[int, ...], size: int) -> int:
        return self.tf.TF_AllocateTensor(dtype, (c_int64 * len(shape))(*shape), len(shape), size)

    def _floats(self, value: np.ndarray) -> int:
        value = np.ascontiguousarray(value, np.float32)
        tensor = self._allocate(FLOAT, value.shape, value.nbytes)
        ctypes.memmove(self.tf.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _strings(self, value: list[bytes]) -> int:
        tensor = self._allocate(STRING, (len(value),), STRING_SIZE * len(value))
        start = self.tf.TF_TensorData(tensor)
        for index, text in enumerate(value):
            self.tf.TF_StringInit(start + STRING_SIZE * index)
            self.tf.TF_StringCopy(start + STRING_SIZE * index, text, len(text))
        return tensor

    def _value(self, tensor: c_void_p) -> Any:
        shape = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
        start, count = self.tf.TF_TensorData(tensor), math.prod(shape)
        if self.tf.TF_TensorType(tensor) == FLOAT:
            return np.ctypeslib.as_array((ctypes.c_float * count).from_address(start)).reshape(
                shape
            )
        assert self.tf.TF_TensorType(tensor) == STRING
        places = [start + STRING_SIZE * index for index in range(count)]
        return [
            ctypes.string_at(
                self.tf.TF_StringGetDataPointer(place), self.tf.TF_StringGetSize(place)
            )
            for place in places
        ]


def answer(session: Session, call: dict[str, Any], number: int) -> dict[str, Any]:
    """The result of one call, as JSON holds it."""
    texts = call.get("strings")
    value = np.load(call["npy"]) if texts is None else [base64.b64decode(text) for text in texts]
    try:
        result = session.run(call["feed"], value, call["fetch"])
    except StatusError as error:
        return {"code": error.code, "message": str(error)}
    if isinstance(result, list):
        return {"strings": [base64.b64encode(text).decode() for text in result]}
    path = f"{call['npy']}.{number}.npy"
    np.save(path, result)
    return {"npy": path}


def main() -> None:
    job = json.load(sys.stdin)
    session = Session(job["folder"])
    results = [answer(session, call, number) for number, call in enumerate(job["calls"])]
    assert not {"tensorflow", "keras"} & set(sys.modules)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
