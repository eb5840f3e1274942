"""The comparison as a picture: one film by every method, whole, zoomed, and its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xraysr import plots
from xraysr.data.pipeline import degradation_text, film_pairs
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import enlarge, to_float
from xraysr.evaluation.metrics import psnr
from xraysr.films.finder import Film, Skipped
from xraysr.pair import Pair
from xraysr.upscale import Upscaler


def draw_comparison(
    path: Path,
    upscalers: Mapping[str, Upscaler],
    films: Sequence[Film],
    pair: Pair | str,
    fit: str = "crop",
) -> None:
    """Draws the first of `films` that can be used: LR, interpolations, the models, HR.

    Args:
        path: The PNG to write.
        upscalers: The models, by the name their column will have.
        films: Where to look; the others are not read.
        pair: LR and HR size.
        fit: How the film is fitted to HR size: `crop`, `pad` or `stretch`.

    Raises:
        UserError: if none of the films can be used.
    """
    pair, skipped = Pair.parse(pair), list[Skipped]()
    stored = next(iter(film_pairs(films, pair, fit, skipped)), None)
    if stored is None:
        raise UserError(f"No film can be used for {pair}: {'; '.join(map(str, skipped[:3]))}")
    lr, hr = to_float(stored)
    images = {"LR": lr.repeat(pair.scale, axis=0).repeat(pair.scale, axis=1)}
    images |= enlarge(upscalers, lr, pair)
    panels = [
        plots.Panel(name, image, psnr(image, hr, pair.scale)) for name, image in images.items()
    ]
    title = f"{pair}, {stored.film.name}; LR: {degradation_text([stored.film])}"
    plots.comparison(path, [*panels, plots.Panel("HR", hr)], hr, title)
