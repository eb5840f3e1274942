"""`Report`: scores of several methods on the same films, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from xraysr.files import write_json
from xraysr.films.finder import Skipped
from xraysr.pair import Pair
from xraysr.progress import show

RESAMPLES = 2000
REFERENCE = "Lanczos"
HEAD = ("method", "PSNR dB", "over Lanczos dB", "SSIM", "LR-consistency dB", "added")


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float] | np.ndarray, patients: Sequence[str]) -> Interval:
    """Mean over films with a 95 % percentile bootstrap over patients.

    Films of one patient resemble each other, so patients are drawn, not films.

    Reference:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13
    """
    scores = np.asarray(values, np.float64)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    sums, counts = np.bincount(owner, scores), np.bincount(owner)
    draws = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(scores.mean()), float(low), float(high))


def count_notices(of_films: Iterable[Iterable[str]]) -> dict[str, int]:
    """How many films have a notice of each code, from the codes of each."""
    return dict(sorted(Counter(code for codes in of_films for code in set(codes)).items()))


def show_with_notices(table: Table, notices: dict[str, int]) -> None:
    """Prints a table, and below it how many films have notices."""
    show(table)
    if notices:
        print("notices:", ", ".join(f"{n} {code}" for code, n in notices.items()))


@dataclass(frozen=True)
class FilmScores:
    """Scores of one film, whose file has `bits` bits: `scores[method][metric]`.

    `notices` are the codes of what a reader of its file should know.
    """

    name: str
    patient: str
    label: str | None
    bits: int
    scores: dict[str, dict[str, float]]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Args:
        pair: The sizes.
        degradation: How the LR images were made.
        films: Scores film by film.
        skipped: Films that could not be used, with the reason.
    """

    pair: Pair
    degradation: str
    films: tuple[FilmScores, ...]
    skipped: tuple[Skipped, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the rows, interpolations first."""
        return tuple(self.films[0].scores)

    def interval(self, method: str, metric: str) -> Interval:
        """Mean and 95 % interval of a metric: `psnr`, `ssim`, `lr_consistency`, `added_detail`."""
        return bootstrap(self._values(method, metric), self._patients())

    def gain(self, method: str) -> Interval:
        """PSNR over Lanczos in dB, paired film by film."""
        difference = np.subtract(self._values(method, "psnr"), self._values(REFERENCE, "psnr"))
        return bootstrap(difference, self._patients())

    def _values(self, method: str, metric: str) -> list[float]:
        return [film.scores[method][metric] for film in self.films]

    def _patients(self) -> list[str]:
        return [film.patient for film in self.films]

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of the films, each number once."""
        return tuple(sorted({film.bits for film in self.films}))

    @property
    def notices(self) -> dict[str, int]:
        """How many films have a notice of each code."""
        return count_notices(film.notices for film in self.films)

    @property
    def title(self) -> str:
        """What the scores hold for."""
        return (
            f"{self.pair}: {len(self.films)} films of {len(set(self._patients()))} patients, "
            f"{', '.join(map(str, self.bits))} bit, "
            f"HR {self.pair.hr[0]}x{self.pair.hr[1]}, LR: {self.degradation}; "
            f"border {self.pair.scale} px cropped; added: mean detail in grey levels of 8 bit"
        )

    def table(self) -> Table:
        """The comparison as a table for a terminal: means with 95 % intervals."""
        table = Table(title=Text(self.title), title_justify="left")
        table.add_column(HEAD[0])
        for name in HEAD[1:]:
            table.add_column(name, justify="right")
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    def show(self) -> None:
        """Prints the table, and how many films have notices."""
        show_with_notices(self.table(), self.notices)

    def markdown(self) -> str:
        """The same table in Markdown, with its title as caption."""
        lines = [" | ".join(row) for row in (HEAD, ("---",) * len(HEAD), *self._rows())]
        return "\n".join([f"{self.title}\n", *(f"| {line} |" for line in lines)])

    def _rows(self) -> list[tuple[str, ...]]:
        def text(interval: Interval, digits: int, sign: str = "") -> str:
            mean, low, high = (
                f"{value:{sign}.{digits}f}"
                for value in (interval.mean, interval.low, interval.high)
            )
            return f"{mean} [{low}, {high}]"

        return [
            (
                method,
                text(self.interval(method, "psnr"), 2),
                "" if method == REFERENCE else text(self.gain(method), 2, "+"),
                text(self.interval(method, "ssim"), 4),
                text(self.interval(method, "lr_consistency"), 1),
                f"{self.interval(method, 'added_detail').mean:.2f}",
            )
            for method in self.methods
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything in plain types: the summary and every film."""
        metrics = self.films[0].scores[self.methods[0]]
        return {
            "pair": str(self.pair),
            "n": len(self.films),
            "hr_size": list(self.pair.hr),
            "bits": list(self.bits),
            "degradation": self.degradation,
            "border": self.pair.scale,
            "methods": {
                method: {
                    **{metric: asdict(self.interval(method, metric)) for metric in metrics},
                    "psnr_over_lanczos": asdict(self.gain(method)),
                }
                for method in self.methods
            },
            "notices": self.notices,
            "films": [asdict(film) for film in self.films],
            "skipped": [{"path": str(s.path), "reason": s.reason} for s in self.skipped],
        }

    def save(self, path: Path) -> None:
        """Writes `to_json` to `path`."""
        write_json(path, self.to_json())
