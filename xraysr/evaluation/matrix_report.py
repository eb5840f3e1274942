"""`Matrix`: scores of several methods on the same films, by how LR came to be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from xraysr import plots
from xraysr.evaluation.report import (
    REFERENCE,
    Interval,
    bootstrap,
    count_notices,
    show_with_notices,
)
from xraysr.files import write_json
from xraysr.films.finder import Skipped
from xraysr.pair import Pair, Size


@dataclass(frozen=True)
class FilmRows:
    """Scores of one film: `scores[row][method]` is PSNR in dB.

    `hr_size` is (height, width) of HR; where HR was reduced by row, that of the first. `notices`
    are the codes of what a reader of its file should know.
    """

    name: str
    patient: str
    hr_size: Size
    scores: dict[str, dict[str, float]]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """PSNR of several methods on the same films, by how LR came to be.

    Args:
        scale: HR pixels per LR pixel.
        pair: The sizes; None for films at their detector's own sampling, whatever their size.
        films: Scores film by film.
        skipped: Films that could not be used, with the reason.
    """

    scale: int
    pair: Pair | None
    films: tuple[FilmRows, ...]
    skipped: tuple[Skipped, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """How LR came to be."""
        return tuple(self.films[0].scores)

    @property
    def methods(self) -> tuple[str, ...]:
        """What is compared with Lanczos: bicubic, then the models."""
        return tuple(method for method in self.films[0].scores[self.rows[0]] if method != REFERENCE)

    def gain(self, row: str, method: str) -> Interval:
        """PSNR over Lanczos interpolation of the same LR in dB, paired film by film."""
        difference = np.subtract(self._values(row, method), self._values(row, REFERENCE))
        return bootstrap(difference, self._patients())

    def lanczos_psnr(self, row: str) -> float:
        """Mean PSNR of Lanczos interpolation in dB."""
        return float(np.mean(self._values(row, REFERENCE)))

    def _values(self, row: str, method: str) -> list[float]:
        return [film.scores[row][method] for film in self.films]

    def _patients(self) -> list[str]:
        return [film.patient for film in self.films]

    @property
    def hr_text(self) -> str:
        """HR size, height x width; of the smallest and the largest film where they differ."""
        sizes = sorted({film.hr_size for film in self.films}, key=lambda size: size[0] * size[1])
        return " to ".join(f"{size[0]}x{size[1]}" for size in dict.fromkeys((sizes[0], sizes[-1])))

    @property
    def title(self) -> str:
        """What the scores hold for, in short."""
        what = str(self.pair or f"x{self.scale}, films at their own sampling")
        count = f"{len(self.films)} films of {len(set(self._patients()))} patients"
        return f"{what}: {count}, HR {self.hr_text}{'' if self.pair else ' and reduced'}"

    @property
    def caption(self) -> str:
        """The title, and what the figures are."""
        return (
            f"{self.title}; PSNR over Lanczos interpolation of the same LR in dB, "
            f"95 % interval over patients; border {self.scale} px cropped"
        )

    @property
    def notices(self) -> dict[str, int]:
        """How many films have a notice of each code."""
        return count_notices(film.notices for film in self.films)

    def table(self) -> Table:
        """The matrix as a table for a terminal, each interval below its mean."""
        table = Table(title=Text(self.caption), title_justify="left")
        for index, name in enumerate(self._head()):
            table.add_column(Text(name), justify="right" if index else "left")
        for cells in self._cells("\n"):
            table.add_row(*map(Text, cells))
        return table

    def show(self) -> None:
        """Prints the table, and how many films have notices."""
        show_with_notices(self.table(), self.notices)

    def markdown(self) -> str:
        """The same table in Markdown, with its caption."""
        rule = ("---",) * len(self._head())
        lines = [" | ".join(row) for row in (self._head(), rule, *self._cells(" "))]
        return "\n".join([f"{self.caption}\n", *(f"| {line} |" for line in lines)])

    def _head(self) -> tuple[str, ...]:
        return ("LR" if self.pair else "film", "Lanczos PSNR dB", *self.methods)

    def _cells(self, between: str) -> list[tuple[str, ...]]:
        def text(gain: Interval) -> str:
            return f"{gain.mean:+z.2f}{between}[{gain.low:+z.2f}, {gain.high:+z.2f}]"

        return [
            (
                row,
                f"{self.lanczos_psnr(row):.2f}",
                *(text(self.gain(row, method)) for method in self.methods),
            )
            for row in self.rows
        ]

    def summary(self) -> dict[str, Any]:
        """Numbers of films and patients, HR size, and by row the PSNR and gains, as plain types."""
        return {
            "n": len(self.films),
            "patients": len(set(self._patients())),
            "hr": self.hr_text,
            "rows": {
                row: {
                    "lanczos_psnr": self.lanczos_psnr(row),
                    "psnr_over_lanczos": {
                        method: asdict(self.gain(row, method)) for method in self.methods
                    },
                }
                for row in self.rows
            },
        }

    def to_json(self) -> dict[str, Any]:
        """Everything in plain types: the summary and every film."""
        return {
            "pair": str(self.pair) if self.pair else None,
            "scale": self.scale,
            "border": self.scale,
            **self.summary(),
            "notices": self.notices,
            "films": [asdict(film) for film in self.films],
            "skipped": [{"path": str(s.path), "reason": s.reason} for s in self.skipped],
        }

    def save(self, path: Path) -> None:
        """Writes `to_json` to `path`."""
        write_json(path, self.to_json())

    def plot(self, path: Path) -> None:
        """Draws the gains as a heat map, a PNG."""
        gains = [[self.gain(row, method).mean for method in self.methods] for row in self.rows]
        plots.heat_map(path, self.rows, self.methods, np.array(gains), self.title)
