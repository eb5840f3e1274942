"""What there is to win: gain over Lanczos against the headroom that the gate sees in LR.

    python benchmarks/gains.py NIH KERMANY NATIVE OUT [--model base-x4]

Takes the val films of NIH and KERMANY, which are drawn from train by patient, and all films of
NATIVE, at several reductions each; LR is made by Lanczos. Writes OUT.json, film by film, with the
knots of the curve that recipes/gate.py puts into the gate, and OUT.png, and prints a table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.table import Table

from xraysr import index_films, load, read
from xraysr.data.fit import fit_to
from xraysr.evaluation.evaluate import lanczos
from xraysr.evaluation.metrics import psnr
from xraysr.files import write_json
from xraysr.lanczos import degrade, resize, round_to_bits
from xraysr.progress import show, track
from xraysr.upscale.gate import judge

HR = {"NIH": (128, 256, 512), "Kermany": (128, 224)}
MIDDLE = 1024  # pixels of a film at its detector's own sampling
REDUCED = (1, 2, 3, 4)
STEP, LEAST = 2.0, 5  # dB, films


def tasks(nih: Path, kermany: Path, native: Path) -> list[tuple[str, Path, int]]:
    """Group, film, and the side of HR or, at a detector's own sampling, the factor."""
    found = [
        (f"{name}, HR {side}", film.path, side)
        for name, folder in (("NIH", nih), ("Kermany", kermany))
        for film in index_films(folder).require("val")
        for side in HR[name]
    ]
    films = index_films(native).films
    return found + [(f"own sampling / {n}", film.path, n) for film in films for n in REDUCED]


def high_resolution(path: Path, size: int) -> np.ndarray:
    """HR as a file of 8 bits holds it, float32 in [0, 1]."""
    pixels = read(path).pixels
    if size in REDUCED:
        top, left = ((side - MIDDLE) // 2 for side in pixels.shape)
        pixels = pixels[top : top + MIDDLE, left : left + MIDDLE]
        pixels = resize(pixels, (MIDDLE // size // 4 * 4,) * 2)
    else:
        pixels = fit_to(pixels, (size, size))
    return round_to_bits(pixels, 8).astype(np.float32)


def knots(headroom: np.ndarray, gain: np.ndarray) -> list[list[float]]:
    """The median gain of the films of each `STEP` dB of headroom; it never falls."""
    steps = np.floor(headroom / STEP)
    parts = [steps == step for step in np.unique(steps) if (steps == step).sum() >= LEAST]
    gains = np.maximum.accumulate([np.median(gain[part]) for part in parts])
    middles = [float(headroom[part].mean()) for part in parts]
    return [[round(h, 2), round(float(g), 3)] for h, g in zip(middles, gains, strict=True)]


def main() -> None:
    """Scores, prints, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs=3)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="base-x4")
    arguments = parser.parse_args()
    upscaler = load(arguments.model)
    rows = []
    work = tasks(*arguments.folders)
    for group, path, side in track(work, "Scoring", len(work)):
        hr = high_resolution(path, side)
        size = hr.shape[0] // upscaler.scale, hr.shape[1] // upscaler.scale
        lr = degrade(hr, size, 8).astype(np.float32)
        if (judgement := judge(lr)) is None:
            continue
        before = psnr(lanczos(lr, hr.shape), hr, upscaler.scale)
        gain = psnr(upscaler(lr), hr, upscaler.scale) - before
        rows.append((group, judgement.headroom, gain, judgement.noise))
    headroom, gain = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    curve = knots(headroom, gain)
    groups = list(dict.fromkeys(row[0] for row in rows))
    table = Table(title=f"{arguments.model}: PSNR over Lanczos in dB against headroom in dB")
    for column in ("films", "n", "headroom", "gain"):
        table.add_column(column)
    for group in groups:
        own = np.array([row[0] == group for row in rows])
        table.add_row(
            group, f"{own.sum()}", f"{headroom[own].mean():.1f}", f"{gain[own].mean():+.2f}"
        )
    show(table)
    draw(arguments.out.with_suffix(".png"), rows, curve, arguments.model)
    films = [dict(zip(("group", "headroom", "gain", "noise"), row, strict=True)) for row in rows]
    write_json(
        arguments.out.with_suffix(".json"),
        {"model": arguments.model, "knots": curve, "films": films},
    )


def draw(path: Path, rows: list[tuple], curve: list[list[float]], model: str) -> None:
    """One point a film, and the curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for group in dict.fromkeys(row[0] for row in rows):
        own = [(row[1], row[2]) for row in rows if row[0] == group]
        axes.scatter(*np.transpose(own), s=9, alpha=0.6, label=group)
    axes.plot(*np.transpose(curve), "k-", lw=2, label="median of films of 2 dB")
    axes.set(
        xlabel="headroom of LR in dB: finest detail over noise", ylabel="PSNR over Lanczos in dB"
    )
    axes.set_title(f"What {model} gains, n = {len(rows)}")
    axes.set_ylim(-0.5, 5)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
