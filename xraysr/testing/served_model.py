"""The loaded versions of one model, asked and answering in TF Serving's own messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec

from xraysr.errors import UserError

CODES = {code.value[0]: code for code in grpc.StatusCode}
DEFAULT = "serving_default"


class RefusalError(Exception):
    """A request that TF Serving would refuse, with the status it would give."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Loaded:
    """One version: what runs it, and its signatures as the file has them."""

    model: Any
    signatures: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Loaded:
        graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]
        return cls(tf.saved_model.load(str(folder)), dict(graph.signature_def))


@dataclass
class ServedModel:
    """The versions of a model, loaded from a folder `NAME/VERSION/saved_model.pb`.

    Args:
        folder: The folder, whose name is the model's.
        labels: Names for versions.
    """

    folder: Path
    labels: dict[str, int]
    loaded: dict[int, Loaded] = field(default_factory=dict)
    unloaded: set[int] = field(default_factory=set)

    def refresh(self) -> None:
        """Loads the versions that have come, and drops those that have gone."""
        found = {
            int(path.parent.name): path.parent
            for path in self.folder.glob("*/saved_model.pb")
            if path.parent.name.isdecimal()
        }
        if not found:
            raise UserError(f"{self.folder} holds no version of a SavedModel (NAME/VERSION/).")
        new = {version: Loaded.of(found[version]) for version in found.keys() - self.loaded.keys()}
        self.unloaded = (self.unloaded | self.loaded.keys()) - found.keys()
        kept = {version: self.loaded[version] for version in self.loaded.keys() & found.keys()}
        self.loaded = kept | new

    def find(self, spec: ModelSpec) -> tuple[int, Loaded]:
        """The version that `spec` means, by number, by label or as the latest."""
        missing = "Servable not found for request: "
        if spec.name != self.folder.name:
            raise RefusalError(grpc.StatusCode.NOT_FOUND, f"{missing}Latest({spec.name})")
        version = max(self.loaded)
        if spec.HasField("version"):
            version = spec.version.value
        elif spec.version_label:
            if spec.version_label not in self.labels:
                raise RefusalError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Unrecognized servable version label: {spec.version_label}",
                )
            version = self.labels[spec.version_label]
        if version not in self.loaded:
            wanted = f"Specific({spec.name}, {version})"
            raise RefusalError(grpc.StatusCode.NOT_FOUND, missing + wanted)
        return version, self.loaded[version]

    def inputs(self, spec: ModelSpec) -> Any:
        """Name to TensorInfo of a signature's inputs."""
        name = spec.signature_name or DEFAULT
        signatures = self.find(spec)[1].signatures
        if name not in signatures:
            message = f'Serving signature name: "{name}" not found in signature def'
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
        return signatures[name].inputs

    def predict(
        self, spec: ModelSpec, inputs: dict[str, np.ndarray]
    ) -> tuple[ModelSpec, dict[str, np.ndarray]]:
        """Runs a signature; returns which one of which version it was, and its outputs."""
        version, loaded = self.find(spec)
        name = spec.signature_name or DEFAULT
        if name not in loaded.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise RefusalError(grpc.StatusCode.FAILED_PRECONDITION, message)
        wanted = loaded.signatures[name].inputs
        if set(inputs) != set(wanted):
            message = f"input size does not match signature: {sorted(inputs)} != {sorted(wanted)}"
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
        try:
            tensors = {
                key: tf.constant(value, tf.as_dtype(wanted[key].dtype))
                for key, value in inputs.items()
            }
            outputs = loaded.model.signatures[name](**tensors)
        except tf.errors.OpError as error:
            raise RefusalError(CODES[error.error_code], error.message) from error
        except (TypeError, ValueError) as error:
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        answered = _identity(spec.name, version, name)
        return answered, {key: value.numpy() for key, value in outputs.items()}

    def metadata(self, spec: ModelSpec) -> GetModelMetadataResponse:
        """The signatures of a version."""
        version, loaded = self.find(spec)
        response = GetModelMetadataResponse(model_spec=_identity(spec.name, version, ""))
        signatures = SignatureDefMap(signature_def=loaded.signatures)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, spec: ModelSpec) -> GetModelStatusResponse:
        """The state of a version, or of all; labels are not looked at, as in TF Serving."""
        versions = sorted(self.loaded.keys() | self.unloaded, reverse=True)
        if spec.name != self.folder.name:
            message = f"Could not find any versions of model {spec.name}"
            raise RefusalError(grpc.StatusCode.NOT_FOUND, message)
        if spec.HasField("version"):
            if spec.version.value not in versions:
                message = f"Could not find version {spec.version.value} of model {spec.name}"
                raise RefusalError(grpc.StatusCode.NOT_FOUND, message)
            versions = [spec.version.value]
        response = GetModelStatusResponse()
        for version in versions:
            ready = version in self.loaded
            state = ModelVersionStatus.AVAILABLE if ready else ModelVersionStatus.END
            entry = response.model_version_status.add(version=version, state=state)
            entry.status.SetInParent()
        return response


def _identity(name: str, version: int, signature: str) -> ModelSpec:
    spec = ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return spec
