"""`ModelCard`: what a preset is, what it was trained on, how it scored, what it is not for."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.files import write_json
from xraysr.spec import ModelSpec

FORMAT = 1
HOME = Path(__file__).parent
REFERENCE = "Lanczos"
WORST = 5
REINSTALL = "Reinstall xraysr."

Interval = dict[str, float]


def names() -> list[str]:
    """Names of the presets in this package, sorted."""
    return sorted(path.stem for path in (HOME / "cards").glob("*.json"))


def card_path(name: str) -> Path:
    """Where the card of a preset lies."""
    return HOME / "cards" / f"{name}.json"


def weights_path(name: str) -> Path:
    """Where the weights of a preset lie: float16, safetensors."""
    return HOME / "weights" / f"{name}.safetensors"


def tflite_path(name: str) -> Path | None:
    """Where a preset lies as TFLite, for use without TensorFlow; None if it has no such file.

    The edge presets have one, its weights in int8 (`dynamic`); the card inside says what that
    loses. `xraysr.upscale.edge.EdgeUpscaler` opens it.
    """
    path = HOME / "weights" / f"{name}.tflite"
    return path if path.is_file() else None


def choices(name: str) -> str:
    """A sentence on which presets there are, for a `name` that is none of them.

    Where the family exists at other scales, it names those, and the presets of that scale.
    """
    known = names()
    asked = re.fullmatch(r"(?P<family>.+?)(-x(?P<scale>\d+))?", name)
    family = f"{asked['family']}-x" if asked else name
    scales = [each.removeprefix(family) for each in known if each.startswith(family)]
    if asked and scales:
        text = f"{asked['family']} comes for {', '.join(f'x{scale}' for scale in scales)}"
        if scale := asked["scale"]:
            others = [each for each in known if each.endswith(f"-x{scale}")]
            text += f"; for x{scale} there is {' or '.join(others) or 'no preset'}"
        return f"{text}."
    return f"Presets: {', '.join(known) or 'none in this installation'}."


@dataclass(frozen=True)
class ModelCard:
    """The card of a preset.

    Args:
        name: Family and scale, such as `base-x4`.
        purpose: What it is best at, in a few words.
        architecture: `generator` (a key of `xraysr.models.GENERATORS`), `depth` and `width`.
        parameters: How many trained numbers it has.
        spec: What travels with the model when it is exported.
        data: What it was trained on: `name`, `films`, `patients`, `licence`, `cite` and
            `population` of each data set.
        protocol: How the scores were made.
        scores: By data set and pair: `n`, `patients`, and under `methods`, by method and metric
            (`psnr` and `psnr_over_lanczos` in dB, `ssim`, `lr_consistency` in dB), the `mean`
            over films with the `low` and `high` end of its 95 % interval over patients.
        gains: By data set, pair and film: PSNR over Lanczos in dB.
        population: Whom the films show, and what bias that brings.
        not_for: What it must not be used for.
        photographs: By pair: PSNR in dB on NIH films of networks trained on photographs, where
            it was measured.
        perceptual: Scores of sharpness and naturalness, where measured.
        downstream: What a classifier makes of the results, where measured.
        matrix: By data set and pair, how it scores by how LR was made, where measured: `n`,
            `patients`, `hr` (the size), and under `rows`, by way, `lanczos_psnr` in dB and
            `psnr_over_lanczos` of bicubic and the preset, as in `scores`.
        native: The same of films at their detector's own sampling, and of what `films`.
        format: Version of this format.
    """

    name: str
    purpose: str
    architecture: dict[str, Any]
    parameters: int
    spec: ModelSpec
    data: list[dict[str, Any]]
    protocol: str
    scores: dict[str, dict[str, dict[str, Any]]]
    gains: dict[str, dict[str, dict[str, float]]]
    population: str
    not_for: list[str]
    photographs: dict[str, str] = field(default_factory=dict)
    perceptual: dict[str, Any] = field(default_factory=dict)
    downstream: dict[str, Any] = field(default_factory=dict)
    matrix: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    native: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def load(cls, name: str) -> ModelCard:
        """The card of the preset `name`; a `UserError` names all presets, or the damage."""
        if name not in names():
            raise UserError(f"No preset is named {name}. {choices(name)}")
        return cls.read(card_path(name))

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """The card in the file `path`; `UserError` says what is wrong with it."""
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(f"The preset's card {path} is damaged: {error}. {REINSTALL}") from error
        version = content.get("format") if isinstance(content, dict) else None
        if version != FORMAT:
            raise UserError(
                f"{path} is the card of another version. Expected: format {FORMAT}. "
                f"Received: format {version}. {REINSTALL}"
            )
        known = {entry.name for entry in fields(cls)}
        try:
            spec = ModelSpec(**content["spec"])
            given = {key: value for key, value in content.items() if key in known}
            return cls(**{**given, "spec": spec})
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} lacks an entry: {error}. {REINSTALL}") from error

    def to_json(self) -> dict[str, Any]:
        """Plain types, as the file holds them."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Writes the card to `path`."""
        write_json(path, self.to_json())

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel."""
        return self.spec.scale

    def gain(self, data: str, pair: str) -> Interval | None:
        """PSNR over Lanczos in dB on a data set: `mean`, `low`, `high`; None if not measured."""
        entry = self.scores.get(data, {}).get(pair)
        return entry["methods"][self.name]["psnr_over_lanczos"] if entry else None

    def worst(self, data: str, pair: str) -> list[tuple[str, float]]:
        """The five films with the least gain: file name without suffix, PSNR over Lanczos in dB."""
        films = self.gains[data][pair]
        return sorted(films.items(), key=lambda film: film[1])[:WORST]

    def markdown(self) -> str:
        """The whole card as a readable page."""
        from xraysr.presets.page import page

        return page(self)
