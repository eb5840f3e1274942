"""`matrix` and `native`: what models gain over interpolation by how LR came to be.

A model's headline score holds for LR made as in its training. `matrix` makes LR of the same films
in other ways, `native` takes films at their detector's own sampling, where the finest detail is
mostly noise; both give a `Matrix`, rows x methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from xraysr.data.fit import file_bits, load_hr
from xraysr.degradation import LANCZOS, Degradation, degrade_with
from xraysr.errors import BadImageError, UserError
from xraysr.evaluation.evaluate import BLANK, enlarge, require_scale
from xraysr.evaluation.matrix_report import FilmRows, Matrix
from xraysr.evaluation.metrics import crop_border, psnr
from xraysr.films.finder import Film, Skipped
from xraysr.io import read
from xraysr.lanczos import resize, round_to_bits
from xraysr.pair import Pair
from xraysr.progress import track
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


class Case(NamedTuple):
    """LR and HR of one row, float in [0, 1], shape (height, width)."""

    row: str
    lr: np.ndarray
    hr: np.ndarray


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

    def cases(film: Film, notices: list[str]) -> Iterable[Case]:
        stored, bits = load_hr(film.path, pair.hr, fit, notices)
        hr = (stored / ((1 << bits) - 1)).astype(np.float32)
        for row, (degradation, change) in WAYS.items():
            changed = round_to_bits(change(hr), bits).astype(np.float32) if change else hr
            yield Case(row, degrade_with(degradation, changed, pair.lr, bits), changed)

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

    def cases(film: Film, notices: list[str]) -> Iterable[Case]:
        whole = read(film.path)
        notices += [notice.code for notice in whole.notices]
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
            yield Case(row, degrade_with(LANCZOS, hr, (height, width), bits), hr)

    return _scored(upscalers, films, cases, scale, None)


def evenly(films: Sequence[Film], count: int) -> list[Film]:
    """At most `count` of `films`, evenly spread over the list; the first is always one of them."""
    count = min(count, len(films))
    return [films[index * len(films) // count] for index in range(count)]


def _scored(
    upscalers: Mapping[str, Upscaler],
    films: Sequence[Film],
    cases: Callable[[Film, list[str]], Iterable[Case]],
    scale: int,
    pair: Pair | None,
) -> Matrix:
    """Every film by every row; what cannot be used is named, and stops nothing."""
    skipped: list[Skipped] = []
    scored: list[FilmRows] = []
    for film in track(films, "Scoring", len(films)):
        notices: list[str] = []
        try:
            made = list(cases(film, notices))
        except UserError as error:
            skipped.append(Skipped.because(film.path, error))
            continue
        if any(np.ptp(crop_border(case.hr, scale)) == 0 for case in made):
            skipped.append(Skipped(film.path, BLANK))
            continue
        scores: dict[str, dict[str, float]] = {}
        for row, lr, hr in made:
            images = enlarge(upscalers, lr.astype(np.float32), Pair(lr.shape, hr.shape))
            scores[row] = {method: psnr(image, hr, scale) for method, image in images.items()}
        size = made[0].hr.shape
        scored.append(FilmRows(film.name, film.patient, size, scores, tuple(notices)))
    if not scored:
        reasons = "; ".join(map(str, skipped[:3]))
        raise UserError(
            f"None of {len(films)} films can be used for {pair or f'x{scale}'}: {reasons}"
        )
    return Matrix(scale, pair, tuple(scored), tuple(skipped))
