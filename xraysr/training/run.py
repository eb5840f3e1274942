"""`Run`: the folder a training leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.files import make_folder, whole_file, write_json
from xraysr.training.config import TrainConfig


class Run:
    """Files of one training run.

    | file | holds |
    |---|---|
    | `config.json` | the settings |
    | `environment.json` | versions, devices, hash of the data, commit |
    | `data.json` | which films trained, validated, were held out for test, or were skipped |
    | `metrics.jsonl` | one JSON object per line: losses, validation PSNR, images/s |
    | `history.png` | the same, drawn |
    | `samples/` | LR, SR and HR of a validation film as training went on |
    | `tensorboard/` | curves and samples for TensorBoard |
    | `checkpoints/` | what `--resume` needs |
    | `content.keras` | the generator after the content phase, where an adversarial one follows |
    | `generator.keras` | the trained generator |

    Args:
        path: The folder.
        config: Settings of the run.
    """

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path = path
        self.config = config

    @staticmethod
    def refuse_existing(path: Path, overwrite: bool) -> None:
        """Raises `UserError` when `path` holds something that a new run may not replace."""
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
        if not overwrite:
            raise UserError(
                f"{path} exists. Pass --resume to go on with the run in it, --overwrite to "
                "replace it, or name another folder."
            )
        if not (path / "config.json").is_file():
            raise UserError(f"{path} is not a run of xraysr; it is not overwritten.")

    @classmethod
    def create(cls, path: Path, config: TrainConfig, overwrite: bool = False) -> Run:
        """Starts a new run in `path`; an older run there is replaced only with `overwrite`."""
        cls.refuse_existing(path, overwrite)
        if path.exists():
            shutil.rmtree(path)
        make_folder(path)
        write_json(path / "config.json", config.to_json())
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run in the folder `path`."""
        path = Path(path)
        if not (path / "config.json").is_file():
            raise UserError(f"No run in {path}: it holds no config.json")
        return cls(path, TrainConfig.load(path / "config.json"))

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
            raise UserError(f"The run in {self.path} ended before it began; start it anew.")
        return str(self.data()["root"])

    def sample(self, step: int) -> Path:
        """Where the sample image of a step lies."""
        return self.path / "samples" / f"step_{step:07d}.png"

    def record(self, entry: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a line that a killed process left unfinished is passed."""
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
