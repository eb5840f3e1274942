"""What presets gain over Lanczos when LR was made otherwise than in their training.

    python benchmarks/degradations.py FILMS OUT MODEL [MODEL ...] [--pair 128:512] [--films 16]
    python benchmarks/degradations.py FILMS OUT MODEL [MODEL ...] --native

Takes the first test films of FILMS at HR, makes LR by each degradation, and prints PSNR of every
MODEL over Lanczos interpolation of the same LR in dB, with bicubic beside. With --native, FILMS
holds films at their detector's own sampling; HR is the film as it is, halved and quartered, and
LR is HR reduced by the model's scale with Lanczos. Writes OUT, a JSON file, film by film.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.table import Table

from xraysr import index_films, load, read
from xraysr.data.fit import fit_to
from xraysr.degradation import LANCZOS, Degradation, degrade_with
from xraysr.evaluation.evaluate import bicubic, lanczos
from xraysr.evaluation.metrics import psnr
from xraysr.files import write_json
from xraysr.lanczos import resize, round_to_bits
from xraysr.pair import Pair
from xraysr.progress import show, track
from xraysr.upscale import Upscaler

DEGRADATIONS = {
    "Lanczos (as trained)": LANCZOS,
    "box average (detector binning)": Degradation("box"),
    "box, after a blur of 1.5 HR pixels": Degradation("box", blur=0.375),
    "the middle pixels (aliased)": Degradation("point"),
    "Lanczos after a blur of 0.8 LR pixels": Degradation(blur=0.8),
    "Lanczos + noise of 1 %": Degradation(noise=0.01),
    "Lanczos + noise of 2 %": Degradation(noise=0.02),
    "Lanczos + JPEG 90": Degradation(jpeg=90),
    "Lanczos + JPEG 75": Degradation(jpeg=75),
    "Lanczos + JPEG 50": Degradation(jpeg=50),
    "box + noise 1 % + JPEG 85": Degradation("box", noise=0.01, jpeg=85),
}
FILMS_CHANGED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverted film": lambda hr: 1 - hr,
    "contrast x 0.4": lambda hr: 0.3 + 0.4 * hr,
}
NATIVE = {"as it is": 1, "halved": 2, "quartered": 4}

Case = tuple[str, np.ndarray, np.ndarray]  # row, LR, HR


def degraded(path: Path, pair: Pair, bits: int = 8) -> Iterator[Case]:
    """A film by every degradation, and changed before the reduction."""
    hr = round_to_bits(fit_to(read(path).pixels, pair.hr), bits).astype(np.float32)
    for name, degradation in DEGRADATIONS.items():
        yield name, degrade_with(degradation, hr, pair.lr, bits), hr
    for name, change in FILMS_CHANGED.items():
        changed = round_to_bits(change(hr), bits).astype(np.float32)
        yield name, degrade_with(LANCZOS, changed, pair.lr, bits), changed


def reduced(path: Path, scale: int) -> Iterator[Case]:
    """A film as it is, halved and quartered, each as HR."""
    film = read(path)
    for name, factor in NATIVE.items():
        height, width = (side // (factor * scale) for side in film.size)
        whole = film.pixels[: height * factor * scale, : width * factor * scale]
        hr = round_to_bits(resize(whole, (height * scale, width * scale)), film.bits)
        hr = hr.astype(np.float32)
        yield name, degrade_with(LANCZOS, hr, (height, width), film.bits), hr


def score(cases: Iterator[Case], upscalers: dict[str, Upscaler], scale: int) -> dict:
    """PSNR in dB by row and method."""
    rows: dict[str, dict[str, float]] = {}
    for name, lr, hr in cases:
        lr = lr.astype(np.float32)
        images = {"Lanczos": lanczos(lr, hr.shape), "bicubic": bicubic(lr, hr.shape)}
        images |= {each: upscaler(lr) for each, upscaler in upscalers.items()}
        rows[name] = {each: psnr(image, hr, scale) for each, image in images.items()}
    return rows


def main() -> None:
    """Scores, prints the table, writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--pair", default="128:512", type=Pair.parse)
    parser.add_argument("--films", default=16, type=int)
    parser.add_argument("--native", action="store_true")
    arguments = parser.parse_args()
    upscalers = {name: load(name) for name in arguments.models}
    scales = {upscaler.scale for upscaler in upscalers.values()}
    if len(scales) > 1:
        parser.error(f"models of one scale, please. Received: {sorted(scales)}")
    (scale,) = scales
    index = index_films(arguments.folder)
    films = (index.films if arguments.native else index.require("test"))[: arguments.films]
    scores = {}
    for film in track(films, "Scoring", len(films)):
        cases = (
            reduced(film.path, scale) if arguments.native else degraded(film.path, arguments.pair)
        )
        scores[film.name] = score(cases, upscalers, scale)
    write_json(arguments.out, scores)
    what = f"x{scale}, detector's sampling" if arguments.native else str(arguments.pair)
    table = Table(title=f"{what}, n = {len(films)}: PSNR over Lanczos in dB")
    for column in ("LR", "Lanczos PSNR", "bicubic", *upscalers):
        table.add_column(column, justify="left" if column == "LR" else "right")
    for row in next(iter(scores.values())):
        means = {
            each: float(np.mean([film[row][each] for film in scores.values()]))
            for each in ("Lanczos", "bicubic", *upscalers)
        }
        gains = (f"{means[each] - means['Lanczos']:+.2f}" for each in ("bicubic", *upscalers))
        table.add_row(row, f"{means['Lanczos']:.2f}", *gains)
    show(table)


if __name__ == "__main__":
    main()
