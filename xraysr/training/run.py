"""`Run`: the folder a training leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.files import make_folder, whole_file, write_json
from xraysr.training.config import TrainConfig

# All that a run writes, and so all that `overwrite` removes.
FILES = (
    "config.json", "environment.json", "data.json", "metrics.jsonl", "history.png",
    "samples/step_*.png", "tensorboard/events.out.tfevents.*",
    "checkpoints/checkpoint", "checkpoints/step-*", "checkpoints/step-*_temp/*",
    "content.keras", "content.spec.json", "generator.keras", "generator.spec.json",
)  # fmt: skip


class Run:
    """Files of one training run.

    | file | holds |
    |---|---|
    | `config.json` | the settings, and the names of parts of the user's |
    | `environment.json` | versions, devices, hash of the data, commit |
    | `data.json` | which films trained, validated, were held out for test, or were skipped |
    | `metrics.jsonl` | one JSON object per line: losses, validation PSNR, images/s |
    | `history.png` | the same, drawn |
    | `samples/` | LR, SR and HR of a validation film as training went on |
    | `tensorboard/` | curves and samples for TensorBoard |
    | `checkpoints/` | what a run needs to be resumed |
    | `content.keras` | the generator after the content phase, where an adversarial one follows |
    | `generator.keras` | the trained generator |

    Args:
        path: The folder.
        config: Settings of the run.
        own_parts: Parts of the user's that it trains or trains by: their names by argument.
    """

    def __init__(
        self, path: Path, config: TrainConfig, own_parts: dict[str, str] | None = None
    ) -> None:
        self.path = path
        self.config = config
        self.own_parts = own_parts or {}

    @staticmethod
    def refuse_existing(path: Path, overwrite: bool, cache: Path | None = None) -> None:
        """Raises `UserError` when `path` holds something that a new run may not replace.

        Args:
            path: Folder for the run.
            overwrite: Whether a run may be replaced.
            cache: Folder of decoded films, which may lie in it.
        """
        if path.is_dir() and {each.resolve() for each in path.iterdir()} <= {
            cache.resolve() if cache else None
        }:
            return
        if not path.exists():
            return
        if not overwrite:
            raise UserError(
                f"{path} exists. Resume the run in it, pass overwrite=True to replace it, or name "
                "another folder."
            )
        if not _is_run(path):
            raise UserError(f"{path} is not a run of xraysr; it is not overwritten.")

    @classmethod
    def create(
        cls, path: Path, config: TrainConfig, own_parts: dict[str, str] | None = None
    ) -> Run:
        """Starts a new run in `path`; files of an older run go, all others stay."""
        for pattern in FILES:
            for file in path.glob(pattern):
                if file.is_file():
                    file.unlink()
        make_folder(path)
        own = {"own_parts": own_parts} if own_parts else {}
        write_json(path / "config.json", {**config.to_json(), **own})
        return cls(path, config, own_parts)

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run in the folder `path`."""
        path = Path(path)
        file = path / "config.json"
        if not file.is_file():
            raise UserError(f"No run in {path}: it holds no config.json")
        config = TrainConfig.load(file)
        return cls(path, config, json.loads(file.read_text("utf-8")).get("own_parts"))

    @property
    def generator(self) -> Path:
        """The trained generator."""
        return self.path / "generator.keras"

    @property
    def content_generator(self) -> Path:
        """The generator as it was before the adversarial phase."""
        return self.path / "content.keras"

    @property
    def history(self) -> Path:
        """The picture of both losses and of the validation PSNR."""
        return self.path / "history.png"

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.generator.is_file()

    def data(self) -> dict[str, Any]:
        """Content of data.json."""
        return json.loads((self.path / "data.json").read_text("utf-8"))

    def environment(self) -> dict[str, Any] | None:
        """Content of environment.json; None where it is missing or damaged."""
        try:
            content = json.loads((self.path / "environment.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def data_root(self) -> str:
        """The folder of films the run was begun with."""
        if not (self.path / "data.json").is_file():
            raise UserError(f"The run in {self.path} ended before it began; start it again.")
        return str(self.data()["root"])

    def sample(self, step: int) -> Path:
        """Where the sample image of a step lies."""
        return self.path / "samples" / f"step_{step:07d}.png"

    def record(self, entry: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; an unfinished line is skipped."""
        path = self.path / "metrics.jsonl"
        entries = []
        for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(entry, dict) and "step" in entry:
                entries.append(entry)
        return entries

    def scores(self) -> dict[int, float]:
        """Validation PSNR in dB by step."""
        return {each["step"]: each["val_psnr"] for each in self.records() if "val_psnr" in each}

    def lanczos(self) -> float | None:
        """PSNR of Lanczos interpolation on the validation films in dB; None before step 0."""
        return next(
            (each["lanczos_psnr"] for each in self.records() if "lanczos_psnr" in each), None
        )

    def forget_after(self, step: int) -> None:
        """Drops what was recorded after `step`, because it will be done again."""
        kept = [entry for entry in self.records() if entry["step"] <= step]
        with whole_file(self.path / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), "utf-8")


def _is_run(path: Path) -> bool:
    """Whether `path` holds the settings of a run, and not just any config.json."""
    try:
        content = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"pair", "validate_every"} <= set(content)
