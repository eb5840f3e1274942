"""Pictures. Everything drawn comes in as arrays and numbers; matplotlib is imported on use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xraysr.files import whole_file

ERROR_LIMIT = 0.1


def _figure(width: float, height: float):
    """A figure that needs no display and leaves the user's pyplot state alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


@dataclass(frozen=True)
class Panel:
    """One column of the comparison: an image and its score against HR.

    Args:
        title: Name of the method.
        image: float, shape (height, width), range [0, 1], at HR size.
        psnr: In dB; None for HR itself.
    """

    title: str
    image: np.ndarray
    psnr: float | None = None


def comparison(path: Path, panels: Sequence[Panel], hr: np.ndarray, title: str) -> None:
    """Draws each method whole with its PSNR below, zoomed where HR is richest, and its error map.

    Args:
        path: The PNG to write.
        panels: The methods, left to right.
        hr: The truth, float in [0, 1], shape (height, width).
        title: Line above the picture: size, degradation, film.
    """
    top, left, side = richest_window(hr)
    figure = _figure(2.6 * len(panels), 8.4)
    figure.suptitle(title)
    axes = figure.subplots(3, len(panels), squeeze=False)
    errors = None
    for column, panel in enumerate(panels):
        whole, zoom, error = axes[:, column]
        whole.imshow(panel.image, cmap="gray", vmin=0, vmax=1)
        whole.add_patch(_frame(left, top, side))
        whole.set_title(panel.title, fontsize=11)
        if panel.psnr is not None:
            whole.set_xlabel(f"{panel.psnr:.2f} dB", fontsize=11)
        zoom.imshow(
            panel.image[top : top + side, left : left + side],
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
        errors = error.imshow(
            np.abs(panel.image - hr),
            cmap="magma",
            vmin=0,
            vmax=ERROR_LIMIT,
            interpolation="nearest",
        )
    for row, label in zip(axes[:, 0], ("image", "zoomed", "|error|"), strict=True):
        row.set_ylabel(label)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(errors, ax=axes[2].tolist(), label="of full scale", fraction=0.02)
    _save(figure, path)


def _frame(left: int, top: int, side: int):
    from matplotlib.patches import Rectangle

    return Rectangle((left, top), side, side, fill=False, edgecolor="tab:orange", linewidth=1.2)


def richest_window(image: np.ndarray, share: float = 0.25) -> tuple[int, int, int]:
    """(top, left, side) of the square with the most gradient, away from the borders."""
    side = min(max(8, int(min(image.shape) * share)), *image.shape)
    energy = np.hypot(*np.gradient(image.astype(np.float64)))
    total = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
    sums += total[:-side, :-side]
    margin = min(side // 2, (min(sums.shape) - 1) // 2)
    inner = sums[margin : sums.shape[0] - margin, margin : sums.shape[1] - margin]
    top, left = np.unravel_index(np.argmax(inner), inner.shape)
    return int(top) + margin, int(left) + margin, side


def history(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draws the losses and the validation PSNR of a run from the lines of metrics.jsonl."""
    figure = _figure(10, 4)
    losses, quality = figure.subplots(1, 2)
    for name in ("content", "adversarial", "discriminator", "feature"):
        points = [(each["step"], each[name]) for each in records if name in each]
        if points:
            losses.plot(*zip(*points, strict=True), label=name, linewidth=1)
    losses.set(xlabel="step", ylabel="loss", yscale="log", title="Training")
    if losses.lines:
        losses.legend()
    points = [(each["step"], each["val_psnr"]) for each in records if "val_psnr" in each]
    if points:
        quality.plot(*zip(*points, strict=True), marker=".", label="generator")
        for lanczos in (each["lanczos_psnr"] for each in records if "lanczos_psnr" in each):
            quality.axhline(lanczos, color="gray", linestyle="--", label="Lanczos")
        quality.legend()
    quality.set(xlabel="step", ylabel="PSNR in dB", title="Validation films")
    switch = next((each["step"] for each in records if each.get("phase") == "adversarial"), None)
    for axis in (losses, quality) if switch is not None else ():
        axis.axvline(switch, color="tab:orange", linewidth=1)
        axis.annotate(
            "adversarial",
            (switch, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
        )
    _save(figure, path)


def heat_map(
    path: Path, rows: Sequence[str], columns: Sequence[str], values: np.ndarray, title: str
) -> None:
    """Draws PSNR over Lanczos as colours: blue above 0, red below, white at 0.

    Args:
        path: The PNG to write.
        rows: Names of the rows, from the top.
        columns: Names of the columns.
        values: In dB, finite, shape (rows, columns); written into the cells with their sign.
        title: Line above the picture: sizes, number of films.
    """
    figure = _figure(4.4 + 1.15 * len(columns), 1.8 + 0.36 * len(rows))
    axis = figure.subplots()
    figure.suptitle(title, fontsize=10)
    limit = float(np.abs(values).max()) or 1.0
    image = axis.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    for (row, column), value in np.ndenumerate(values):
        color = "white" if abs(value) > 0.6 * limit else "black"
        axis.text(column, row, f"{value:+z.2f}", ha="center", va="center", color=color)
    figure.colorbar(image, ax=axis, label="PSNR over Lanczos in dB")
    _save(figure, path)
