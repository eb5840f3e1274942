"""`Target`: where an export goes, and how it gets there whole."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from xraysr.errors import UserError
from xraysr.files import refuse_existing
from xraysr.spec import ModelSpec

SUFFIXES = {"tflite": ".tflite", "onnx": ".onnx"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Target:
    """The file, or the folder of one version of a served model, that an export becomes.

    Args:
        path: The file or folder.
        format: `saved_model`, `tflite` or `onnx`.
    """

    path: Path
    format: str

    @classmethod
    def of(cls, out: Path, format: str, name: str, version: int | None) -> Target:
        """The target of an export to `out`, as `export_model` describes it."""
        if format in SUFFIXES:
            if out.suffix != SUFFIXES[format]:
                raise UserError(
                    f"A {format} export is a file ending in {SUFFIXES[format]}. Received: {out}"
                )
            return cls(out, format)
        if out.suffix in SUFFIXES.values() or out.is_file():
            raise UserError(
                f"A saved_model export goes into a folder of served models. Received: {out}"
            )
        if not NAME.fullmatch(name):
            raise UserError(
                "The name of a served model is part of its address: letters, digits, dot, hyphen "
                f"and underscore. Pass another name. Received: {name!r}"
            )
        if version is None:
            version = max(versions(out / name), default=0) + 1
        if version < 1:
            raise UserError(f"A version is a number from 1. Received: {version}")
        return cls(out / name / str(version), format)

    def check(self, overwrite: bool) -> None:
        """Refuses to replace what is not an earlier export, and unasked whatever exists."""
        refuse_existing(self.path, overwrite)
        served = self.format == "saved_model"
        earlier = (self.path / "saved_model.pb").is_file() if served else self.path.is_file()
        if self.path.exists() and not earlier:
            raise UserError(f"{self.path} is not a {self.format} export; it is not overwritten.")

    def put(self, artefact: Path) -> None:
        """Moves an artefact, and the card beside it, to the target."""
        if artefact.is_file():
            os.replace(ModelSpec.path_for(artefact), ModelSpec.path_for(self.path))
        elif self.path.exists():
            os.replace(self.path, artefact.with_name(f"{self.path.name}.before"))
        try:
            os.replace(artefact, self.path)
        except OSError as error:
            raise UserError(f"Cannot write {self.path}: {error.strerror}") from error


def versions(folder: Path) -> list[int]:
    """The versions of a served model, unordered."""
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
