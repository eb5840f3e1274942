"""Whether SR should be faithful to a noisy film: PSNR with `--faithful` and without.

    python benchmarks/faithful.py FILMS MODEL [MODEL ...] [--pair 64:256] [--films 16]

Takes test films of FILMS, evenly spread over their list, makes LR of HR in several ways, and
prints for each MODEL the mean PSNR over Lanczos interpolation of the same LR in dB: of its SR as it
is, made faithful to the film, and faithful but for the noise: brought only so near to the film
that the root mean square of what is left is the true deviation of the noise. Beside it stand the
root mean square that plain SR leaves, and what `noise_level` reads of the film, both in % of the
grey range.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.table import Table

from xraysr import index_films, load
from xraysr.data.fit import load_hr
from xraysr.degradation import LANCZOS, Degradation, degrade_with
from xraysr.evaluation.evaluate import lanczos
from xraysr.evaluation.matrix import evenly
from xraysr.evaluation.metrics import psnr
from xraysr.films.finder import Film
from xraysr.lanczos import Reduction
from xraysr.pair import Pair
from xraysr.progress import show, track
from xraysr.upscale import Upscaler
from xraysr.upscale.data_consistency import project
from xraysr.upscale.noise import noise_level

WAYS = {
    "Lanczos": LANCZOS,
    "noise of 0.5 %": Degradation(noise=0.005),
    "noise of 0.7 %": Degradation(noise=0.007),
    "noise of 1 %": Degradation(noise=0.01),
    "noise of 2 %": Degradation(noise=0.02),
    "JPEG 75": Degradation(jpeg=75),
    "box": Degradation("box"),
}
COLUMNS = ("Lanczos PSNR", "plain", "faithful", "but for the noise", "left %", "read %")


def scores(film: Film, upscaler: Upscaler, pair: Pair, degradation: Degradation) -> list[float]:
    """A row of `COLUMNS` for one film."""
    stored, bits = load_hr(film.path, pair.hr)
    hr = (stored / ((1 << bits) - 1)).astype(np.float32)
    lr = degrade_with(degradation, hr, pair.lr, bits).astype(np.float32)
    sr = upscaler(lr)
    residual = lr - np.clip(Reduction(lr.shape, pair.scale).reduce(sr), 0.0, 1.0)
    left = float(np.sqrt(np.mean(residual**2)))
    kept = min(1.0, float(degradation.noise) / left)
    images = (sr, project(sr, lr), project(sr, lr - np.float32(kept) * residual))
    base = psnr(lanczos(lr, pair.hr), hr, pair.scale)
    gains = (psnr(image, hr, pair.scale) - base for image in images)
    return [base, *gains, 100 * left, 100 * noise_level(lr)]


def main() -> None:
    """Scores and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FILMS")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--pair", default="64:256", type=Pair.parse, metavar="LR:HR")
    parser.add_argument("--films", default=16, type=int, help="at most so many, evenly spread")
    arguments = parser.parse_args()
    films = evenly(index_films(arguments.folder).require("test"), arguments.films)
    for model in arguments.models:
        upscaler = load(model)
        table = Table(title=f"{model}, {arguments.pair}, n = {len(films)}: PSNR over Lanczos in dB")
        for column in ("LR", *COLUMNS):
            table.add_column(column, justify="left" if column == "LR" else "right")
        for row, degradation in track(WAYS.items(), "Scoring", len(WAYS)):
            found = [scores(film, upscaler, arguments.pair, degradation) for film in films]
            base, *gains, left, read = np.mean(found, axis=0)
            signed = (f"{gain:+.2f}" for gain in gains)
            table.add_row(row, f"{base:.2f}", *signed, f"{left:.2f}", f"{read:.2f}")
        show(table)


if __name__ == "__main__":
    main()
