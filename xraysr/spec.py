"""`ModelSpec`: the card that travels as spec.json beside every model file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.files import json_text, write_json
from xraysr.pair import MAX_SCALE, MIN_SCALE

FORMAT = 1


@dataclass(frozen=True)
class ModelSpec:
    """What a trained generator is, independent of the file format it was exported to.

    Args:
        name: Short name of the model.
        scale: HR pixels per LR pixel.
        receptive_radius: LR pixels around a pixel that can change its SR block.
        weights_sha256: Hash of the weights, the same for every export of one generator.
        degradation: How the LR images of its training were made.
        value_range: Range of input and output pixels.
        channels: Image channels; radiographs have one.
        training: Data, pair, steps and seed of the training.
        scores: Scores measured on its test films, where known.
        export: Of an exported file: its format and precision, and what was measured against
            Keras when it was written.
    """

    name: str
    scale: int
    receptive_radius: int
    weights_sha256: str
    degradation: str = "lanczos3, antialias, rounded to the source's bit depth"
    value_range: tuple[float, float] = (0.0, 1.0)
    channels: int = 1
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not isinstance(self.scale, int) or not MIN_SCALE <= self.scale <= MAX_SCALE:
            raise UserError(
                f"ModelSpec scale must be an integer from {MIN_SCALE} to {MAX_SCALE}. "
                f"Received: scale={self.scale!r}"
            )
        object.__setattr__(self, "value_range", tuple(self.value_range))

    @staticmethod
    def path_for(model: Path) -> Path:
        """Where the card of a model lies: in a folder, or beside a file.

        Beside NAME.keras it is NAME.spec.json; an exported NAME.tflite has NAME.tflite.spec.json,
        so that exports may lie beside the generator and each other.
        """
        if model.is_dir():
            return model / "spec.json"
        stem = model.stem if model.suffix == ".keras" else model.name
        return model.with_name(f"{stem}.spec.json")

    def save(self, model: Path) -> None:
        """Writes the card to its place beside `model`."""
        write_json(self.path_for(model), asdict(self))

    @classmethod
    def load(cls, model: Path) -> ModelSpec:
        """Reads the card beside `model`; `UserError` says what is wrong with it."""
        path = cls.path_for(model)
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            raise UserError(
                f"{model} has no card: expected {path.name} beside it, as xraysr writes. "
                "Copy the card along with the model."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"Cannot read the model's card {path}: {error}") from error
        return cls.from_json(text, str(path))

    def to_json(self) -> str:
        """The card as the text of spec.json."""
        return json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str, origin: str) -> ModelSpec:
        """The card in `text`; a `UserError` names `origin`, where it came from."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"Cannot read the model's card {origin}: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UserError(
                f"{origin} is not a card of format {FORMAT}; it was written by another version."
            )
        known = {entry.name for entry in fields(cls)}
        try:
            return cls(**{key: value for key, value in content.items() if key in known})
        except TypeError as error:
            raise UserError(f"{origin} lacks an entry: {error}") from error
