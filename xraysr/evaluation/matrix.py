"""`matrix` and `native`: what models gain over interpolation by how LR came to be.

A model's headline score holds for LR made as in its training. `matrix` makes LR of the same films
in other ways, `native` takes films at their detector's own sampling, where the finest detail is
mostly noise; both give a `Matrix`, rows x methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from xraysr import plots
from xraysr.data.fit import file_bits, load_hr
from xraysr.degradation import LANCZOS, Degradation, degrade_with
from xraysr.errors import BadImageError, UserError
from xraysr.evaluation.evaluate import BLANK, enlarge, require_scale
from xraysr.evaluation.metrics import crop_border, psnr
from xraysr.evaluation.report import REFERENCE, Interval, bootstrap
from xraysr.files import write_json
from xraysr.films.finder import Film, Skipped
from xraysr.io import read
from xraysr.lanczos import resize, round_to_bits
from xraysr.pair import Pair, Size
from xraysr.progress import show, track
from xraysr.upscale import Upscaler


class Way(NamedTuple):
    """How LR is made of HR (height, width) in [0, 1], and what is done to HR before."""

    degradation: Degradation = LANCZOS
    change: Callable[[np.ndarray], np.ndarray] | None = None


WAYS = {
    "Lanczos (as trained)": Way(),
    "box average (detector binning)": Way(Degradation("box")),
    "box, after a blur of 1.5 HR pixels": Way(Degradation("box", blur=0.375)),
    "the middle pixels (aliased)": Way(Degradation("point")),
    "Lanczos after a blur of 0.8 LR pixels": Way(Degradation(blur=0.8)),
    "Lanczos + noise of 1 %": Way(Degradation(noise=0.01)),
    "Lanczos + noise of 2 %": Way(Degradation(noise=0.02)),
    "Lanczos + JPEG 90": Way(Degradation(jpeg=90)),
    "Lanczos + JPEG 75": Way(Degradation(jpeg=75)),
    "Lanczos + JPEG 50": Way(Degradation(jpeg=50)),
    "box + noise 1 % + JPEG 85": Way(Degradation("box", noise=0.01, jpeg=85)),
    "inverted film": Way(change=lambda hr: 1 - hr),
    "contrast x 0.4": Way(change=lambda hr: 0.3 + 0.4 * hr),
}
REDUCED = {"as it is": 1, "halved": 2, "quartered": 4}
LEAST = 3  # LR pixels a side, so that something is left without the border

Case = tuple[str, np.ndarray, np.ndarray]  # row, LR, HR: float32 in [0, 1], (height, width)


@dataclass(frozen=True)
class FilmRows:
    """Scores of one film: `scores[row][method]` is PSNR in dB.

    `hr_size` is (height, width) of HR; where HR was reduced by row, that of the first.
    """

    name: str
    patient: str
    hr_size: Size
    scores: dict[str, dict[str, float]]


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

    def table(self) -> Table:
        """The matrix as a table for a terminal, each interval below its mean."""
        table = Table(title=Text(self.caption), title_justify="left")
        for index, name in enumerate(self._head()):
            table.add_column(Text(name), justify="right" if index else "left")
        for cells in self._cells("\n"):
            table.add_row(*map(Text, cells))
        return table

    def show(self) -> None:
        """Prints the table."""
        show(self.table())

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


def matrix(
    upscalers: Mapping[str, Upscaler], films: Sequence[Film], pair: Pair | str, fit: str = "crop"
) -> Matrix:
    """Scores `upscalers` and both interpolations on LR made in every one of `WAYS`.

    LR is always made of HR, also for films of a pair folder, whose own LR is not looked at.

    Args:
        upscalers: The models, by the name their column will have.
        films: Films to score, usually `index_films(folder).require("test")`.
        pair: LR and HR size.
        fit: How films are fitted to HR size: `crop`, `pad` or `stretch`.

    Raises:
        UserError: if a model is for another scale, or none of the films can be used.
    """
    pair = Pair.parse(pair)
    require_scale(upscalers, pair.scale, str(pair))

    def cases(film: Film) -> Iterable[Case]:
        stored, bits = load_hr(film.path, pair.hr, fit)
        hr = (stored / ((1 << bits) - 1)).astype(np.float32)
        for row, (degradation, change) in WAYS.items():
            changed = round_to_bits(change(hr), bits).astype(np.float32) if change else hr
            yield row, degrade_with(degradation, changed, pair.lr, bits), changed

    return _scored(upscalers, films, cases, pair.scale, pair)


def native(upscalers: Mapping[str, Upscaler], films: Sequence[Film], scale: int) -> Matrix:
    """Scores `upscalers` and both interpolations on films at their detector's own sampling.

    HR is the film as it is, halved and quartered, each cut to whole LR pixels; LR is HR reduced
    by `scale`, both with antialiased Lanczos and rounded to the film's bits.

    Args:
        upscalers: The models, by the name their column will have.
        films: Films as they left their detectors, of any sizes.
        scale: HR pixels per LR pixel.

    Raises:
        UserError: if a model is for another scale, or none of the films can be used.
    """
    require_scale(upscalers, scale, f"scale={scale}")

    def cases(film: Film) -> Iterable[Case]:
        whole = read(film.path)
        bits = file_bits(whole.bits)
        if min(whole.size) < LEAST * scale * max(REDUCED.values()):
            height, width = whole.size
            raise BadImageError(
                f"too small to be quartered and enlarged x{scale}: {height}x{width}"
            )
        for row, factor in REDUCED.items():
            height, width = (side // (factor * scale) for side in whole.size)
            cut = whole.pixels[: height * factor * scale, : width * factor * scale]
            hr = round_to_bits(resize(cut, (height * scale, width * scale)), bits)
            hr = hr.astype(np.float32)
            yield row, degrade_with(LANCZOS, hr, (height, width), bits), hr

    return _scored(upscalers, films, cases, scale, None)


def evenly(films: Sequence[Film], count: int) -> list[Film]:
    """At most `count` of `films`, evenly spread over the list; the first is always one of them."""
    count = min(count, len(films))
    return [films[index * len(films) // count] for index in range(count)]


def _scored(
    upscalers: Mapping[str, Upscaler],
    films: Sequence[Film],
    cases: Callable[[Film], Iterable[Case]],
    scale: int,
    pair: Pair | None,
) -> Matrix:
    """Every film by every row; what cannot be used is named, and stops nothing."""
    skipped: list[Skipped] = []
    scored: list[FilmRows] = []
    for film in track(films, "Scoring", len(films)):
        try:
            made = list(cases(film))
        except UserError as error:
            skipped.append(Skipped.because(film.path, error))
            continue
        if any(np.ptp(crop_border(hr, scale)) == 0 for _, _, hr in made):
            skipped.append(Skipped(film.path, BLANK))
            continue
        scores: dict[str, dict[str, float]] = {}
        for row, lr, hr in made:
            images = enlarge(upscalers, lr.astype(np.float32), Pair(lr.shape, hr.shape))
            scores[row] = {method: psnr(image, hr, scale) for method, image in images.items()}
        scored.append(FilmRows(film.name, film.patient, made[0][2].shape, scores))
    if not scored:
        reasons = "; ".join(map(str, skipped[:3]))
        raise UserError(
            f"None of {len(films)} films can be used for {pair or f'x{scale}'}: {reasons}"
        )
    return Matrix(scale, pair, tuple(scored), tuple(skipped))
