"""`evaluate`: how good generators are on films, beside bicubic and Lanczos interpolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from xraysr.data.pipeline import StoredPair, degradation_text, film_pairs
from xraysr.degradation import Degrade
from xraysr.errors import UserError
from xraysr.evaluation.metrics import added_detail, crop_border, lr_consistency, psnr, ssim
from xraysr.evaluation.report import REFERENCE, FilmScores, Report
from xraysr.films.finder import Film, Skipped
from xraysr.lanczos import resize
from xraysr.pair import Pair, Size
from xraysr.progress import track
from xraysr.upscale import Upscaler

BLANK = "blank: every pixel has the same value"


def evaluate(
    upscalers: Mapping[str, Upscaler],
    films: Sequence[Film],
    pair: Pair | str,
    fit: str = "crop",
    *,
    degradation: Degrade | None = None,
) -> Report:
    """Scores `upscalers` and both interpolations on `films`.

    Args:
        upscalers: The models, by the name their row will have.
        films: Films to score, usually `index_films(folder).require("test")`.
        pair: LR and HR size.
        fit: How films are fitted to HR size: `crop`, `pad` or `stretch`.
        degradation: Makes LR from HR and the LR size; by default antialiased Lanczos. Films of a
            pair folder have the LR found there. The report says what was used.

    Raises:
        UserError: if a model is for another scale, or none of the films can be used.
    """
    pair = Pair.parse(pair)
    require_scale(upscalers, pair.scale, str(pair))
    skipped: list[Skipped] = []
    scored, used = [], []
    pairs = film_pairs(films, pair, fit, skipped, degradation)
    for stored in track(pairs, "Evaluating", len(films)):
        lr, hr = to_float(stored)
        if np.ptp(crop_border(hr, pair.scale)) == 0:
            skipped.append(Skipped(stored.film.path, BLANK))
            continue
        used.append(stored.film)
        scored.append(_score(stored, lr, hr, enlarge(upscalers, lr, pair), pair.scale))
    if not scored:
        reasons = "; ".join(map(str, skipped[:3]))
        raise UserError(f"None of {len(films)} films can be used for {pair}: {reasons}")
    return Report(pair, degradation_text(used, degradation), tuple(scored), tuple(skipped))


def require_scale(upscalers: Mapping[str, Upscaler], scale: int, asked: str) -> None:
    """Raises `UserError` for a model that does not enlarge by `scale`, which `asked` asks for."""
    for name, upscaler in upscalers.items():
        if upscaler.scale != scale:
            raise UserError(
                f"The model {name} enlarges x{upscaler.scale}, but {asked} asks for x{scale}. "
                "Take a model of that scale, or a pair that fits the model."
            )


def to_float(stored: StoredPair) -> tuple[np.ndarray, np.ndarray]:
    """LR and HR of one film: float32 in [0, 1], shape (height, width)."""
    levels = np.float32((1 << stored.bits) - 1)
    return stored.lr[..., 0] / levels, stored.hr[..., 0] / levels


def bicubic(lr: np.ndarray, size: Size) -> np.ndarray:
    """Bicubic (Keys, a = -0.5) enlargement of `lr` (height, width), clipped to [0, 1]."""
    image = Image.fromarray(lr.astype(np.float32))
    return np.clip(np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC)), 0, 1)


def lanczos(lr: np.ndarray, size: Size) -> np.ndarray:
    """Lanczos enlargement of `lr` (height, width), clipped to [0, 1]."""
    return np.clip(resize(lr, size), 0, 1)


def enlarge(upscalers: Mapping[str, Upscaler], lr: np.ndarray, pair: Pair) -> dict[str, np.ndarray]:
    """`lr` (height, width) at HR size by every method, interpolations first."""
    return {
        "bicubic": bicubic(lr, pair.hr),
        REFERENCE: lanczos(lr, pair.hr),
        **{name: upscaler(lr) for name, upscaler in upscalers.items()},
    }


def _score(
    stored: StoredPair, lr: np.ndarray, hr: np.ndarray, images: dict[str, np.ndarray], scale: int
) -> FilmScores:
    return FilmScores(
        stored.film.name,
        stored.film.patient,
        stored.film.label,
        stored.bits,
        {
            method: {
                "psnr": psnr(image, hr, scale),
                "ssim": ssim(image, hr, scale),
                "lr_consistency": lr_consistency(image, lr),
                "added_detail": added_detail(image, scale),
            }
            for method, image in images.items()
        },
        stored.notices,
    )
