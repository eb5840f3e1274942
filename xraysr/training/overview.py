"""`runs_table`: the runs of a folder side by side, for `xraysr runs`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from xraysr.errors import UserError
from xraysr.training.run import Run

COLUMNS = (
    "run", "pair", "status", "steps", "minutes", "depth x width", "best PSNR", "last PSNR", "gain",
)  # fmt: skip


@dataclass(frozen=True)
class RunSummary:
    """One run in numbers.

    Args:
        run: The run.
        steps: Optimizer steps recorded.
        seconds: Training time recorded.
        phase: Of the last record: `content` or `adversarial`; None before the first.
        scores: Validation PSNR in dB.
        lanczos: That of Lanczos interpolation on the same films.
    """

    run: Run
    steps: int
    seconds: float
    phase: str | None
    scores: tuple[float, ...]
    lanczos: float | None

    @classmethod
    def of(cls, path: Path) -> RunSummary:
        """Reads the run in `path`; whatever is wrong in its files raises."""
        run = Run.open(path)
        records = run.records()
        trained = [each for each in records if "phase" in each]
        return cls(
            run=run,
            steps=max((int(each["step"]) for each in records), default=0),
            seconds=float(trained[-1]["seconds"]) if trained else 0.0,
            phase=str(trained[-1]["phase"]) if trained else None,
            scores=tuple(float(score) for score in run.scores().values()),
            lanczos=run.lanczos(),
        )

    def cells(self) -> list[str]:
        """What stands in the columns after the name."""
        config = self.run.config
        planned = f" of {config.steps}" if config.steps else ""
        minutes = f" of {config.minutes:g}" if config.minutes else ""
        best, last = (max(self.scores), self.scores[-1]) if self.scores else (None, None)
        return [
            str(config.pair),
            f"finished ({self.phase})" if self.run.finished else f"stopped ({self.phase or 'new'})",
            f"{self.steps}{planned}",
            f"{self.seconds / 60:.1f}{minutes}",
            self.run.own_parts.get("generator", f"{config.depth} x {config.width}"),
            "" if best is None else f"{best:.3f}",
            "" if last is None else f"{last:.3f}",
            "" if best is None or self.lanczos is None else f"{best - self.lanczos:+.3f}",
        ]

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts by pair, then the best score first."""
        return self.run.config.pair.lr, self.run.config.pair.hr, -max(self.scores, default=0.0)


def runs_table(folder: Path) -> Table:
    """The runs right below `folder`, or `folder` itself where it is one.

    They are sorted by pair and best validation PSNR. `gain` is that PSNR above the one of Lanczos
    interpolation, both on the run's own validation films. A run whose files are damaged is named
    with the reason.

    Raises:
        UserError: if there is no run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder must be a folder of runs. Received: {folder}")
    inside = [path for path in sorted(folder.iterdir()) if (path / "config.json").is_file()]
    paths = [folder] if (folder / "config.json").is_file() else inside
    if not paths:
        raise UserError(f"No run in {folder}: none of its folders holds a config.json.")
    runs, damaged = [], []
    for path in paths:
        try:
            runs.append(RunSummary.of(path))
        except (UserError, OSError, LookupError, TypeError, ValueError) as error:
            damaged.append((path.name, " ".join(str(error).split())))
    table = Table(title="Runs; validation PSNR in dB, gain over Lanczos")
    for name in COLUMNS:
        numeric = name not in ("run", "pair", "status")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name == "run")
    for summary in sorted(runs, key=lambda each: each.rank):
        table.add_row(summary.run.path.name or str(summary.run.path), *summary.cells())
    for name, reason in damaged:
        table.add_row(name, "", f"damaged: {reason}")
    return table
