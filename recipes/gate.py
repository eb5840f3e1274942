"""Fits the gate: what tells a clean film from a noisy, blurred, enlarged, inverted or foreign one.

    python recipes/gate.py NIH KERMANY GAINS.json

Fits on LR images of the train films of both folders, made as the presets saw them and worse, and
prints how the test films fare. GAINS.json, of benchmarks/gains.py, says what base-x4 gains on
films of which headroom. Writes xraysr/presets/gate.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.table import Table

from xraysr.data.fit import fit_to
from xraysr.degradation import LANCZOS, Degradation, degrade_with
from xraysr.files import write_json
from xraysr.films.index import index_films
from xraysr.io import read
from xraysr.lanczos import round_to_bits
from xraysr.progress import show, track
from xraysr.upscale import gate

HR = {"nih_chest_xray": (128, 256, 512), "kermany_224": (128, 224)}
FILMS = {"train": (70, 40), "test": (40, 34)}  # of the two folders, evenly spread
FALSE_ALARMS = 0.003  # of clean train films, for each of the findings
NOISE_ALARMS = 0.006  # for noise, which clean films seldom look like
COMPONENTS = 24
LEAST_NOISE = 0.0015  # what 8 bits and the films themselves have
NOISE = {
    f"noise {100 * s:g} %": Degradation(noise=s) for s in (0.003, 0.005, 0.01, 0.015, 0.02, 0.03)
}
NOISE["quantum noise 1.5 %"] = Degradation(quanta=0.015)
NOISE["blur 0.6, noise 1.5 %"] = Degradation(blur=0.6, noise=0.015)
BLUR = {f"blur {s:g} px": Degradation(blur=s) for s in (0.3, 0.6, 0.8, 1.3)}
SHARP = {"clean": LANCZOS, "bicubic": Degradation("bicubic"), "box": Degradation("box")}
VIEW = "view"  # a film of which the thumbnail alone is taken
JPEG = {"JPEG 60": Degradation(jpeg=60)}
TWICE = {"twice, bicubic": Image.Resampling.BICUBIC, "twice, bilinear": Image.Resampling.BILINEAR}


class Sample(NamedTuple):
    """One LR image as the gate sees it."""

    train: bool
    pair: str
    made: str
    features: np.ndarray | None
    thumbnail: np.ndarray
    zeros: float


def samples(task: tuple[Path, int, int, bool]) -> list[Sample]:
    """What the gate sees of one film at one size, by how its LR image was made."""
    path, hr_size, lr_size, train = task
    if not lr_size:
        return [Sample(train, "", VIEW, None, gate.thumbnail(read(path).pixels), 0.0)]
    hr = fit_to(read(path).pixels, (hr_size, hr_size)).astype(np.float32)
    found = []
    for name, lr in _images(hr, lr_size):
        zeros = gate.jpeg_zeros(lr) if name in ("clean", *JPEG) else 0.0
        about = (train, f"{lr_size}:{hr_size}", name)
        found.append(Sample(*about, gate.features(lr), gate.thumbnail(lr), zeros))
    return found


def _images(hr: np.ndarray, side: int) -> Iterator[tuple[str, np.ndarray]]:
    if hr.shape[0] == side:  # a film as it is
        yield "clean", hr
        return
    size = (side, side)
    for name, degradation in {**SHARP, **NOISE, **BLUR, **JPEG}.items():
        yield name, degrade_with(degradation, hr, size, 8).astype(np.float32)
    half = Image.fromarray(degrade_with(LANCZOS, hr, (side // 2, side // 2), 8).astype(np.float32))
    for name, method in TWICE.items():
        yield name, round_to_bits(np.asarray(half.resize(size, method)), 8).astype(np.float32)


def tasks(folders: Sequence[Path]) -> list[tuple[Path, int, int, bool]]:
    """Films and sizes; those of 512 pixels also as they are, which no program enlarged."""
    found = []
    for folder, counts in zip(folders, zip(*FILMS.values(), strict=True), strict=True):
        index = index_films(folder)
        for split, count in zip(FILMS, counts, strict=True):
            films = index.of("train") + index.of("val") if split == "train" else index.of(split)
            if split == "train":
                found += [(film.path, 0, 0, True) for film in films]
            for film in films[:: max(1, len(films) // count)]:
                found += [(film.path, s, s // 4, split == "train") for s in HR[folder.name]]
                if 512 in HR[folder.name]:
                    found.append((film.path, 512, 512, split == "train"))
    return found


def ridge(x: np.ndarray, y: np.ndarray, strength: float = 1e-4) -> dict[str, Any]:
    """Weights and bias of a ridge regression."""
    a = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([*np.full(x.shape[1], strength * len(x)), 0.0])
    solution = np.linalg.solve(a.T @ a + penalty, a.T @ y)
    return {"weights": solution[:-1], "bias": float(solution[-1])}


def logistic(x: np.ndarray, y: np.ndarray, strength: float = 1e-3) -> dict[str, Any]:
    """Weights and bias of a logistic regression, both classes of equal weight (Newton's method)."""
    a = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([*np.full(x.shape[1], strength * len(x)), 0.0])
    weight = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    b = np.zeros(a.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-np.clip(a @ b, -30, 30)))
        curvature = (a * (weight * p * (1 - p))[:, None]).T @ a + penalty + 1e-9 * np.eye(len(b))
        b -= np.linalg.solve(curvature, a.T @ (weight * (p - y)) + penalty @ b)
    return {"weights": b[:-1], "bias": float(b[-1])}


def fit(seen: list[Sample], gains: list[list[float]]) -> dict[str, Any]:
    """All fits, from the train films among `seen`."""
    own = [each for each in seen if each.train and each.features is not None]
    made = np.array([each.made for each in own])
    raw = np.array([each.features for each in own])
    mean, scale = raw.mean(axis=0), raw.std(axis=0)
    x = (raw - mean) / scale
    both = np.column_stack([x, x * x])
    clean = made == "clean"
    fits: dict[str, Any] = {"mean": mean, "scale": scale}

    noise = np.isin(made, [*SHARP, *NOISE, "blur 0.3 px", "blur 0.6 px", "blur 0.8 px"])
    level = np.array([np.hypot(LEAST_NOISE, _noise_of(name)) for name in made])
    fits["noise"] = ridge(both[noise], np.log10(level[noise]))
    found = both[clean] @ fits["noise"]["weights"] + fits["noise"]["bias"]
    fits["noise"]["threshold"] = float(10 ** np.quantile(found, 1 - NOISE_ALARMS))

    strong = [name for name in BLUR if BLUR[name].blur >= 0.6]
    for name, positive, others in (("blur", strong, []), ("enlarged", list(TWICE), list(BLUR))):
        some = np.isin(made, [*positive, *others, "clean", "bicubic"])
        fits[name] = logistic(x[some], np.isin(made[some], positive).astype(float))
        score = x[clean] @ fits[name]["weights"] + fits[name]["bias"]
        fits[name]["threshold"] = float(np.quantile(score, 1 - FALSE_ALARMS))
    some = np.isin(made, [*BLUR, "clean"])
    sigma = np.array([float(BLUR[name].blur) if name in BLUR else 0.1 for name in made[some]])
    fits["blur_sigma"] = ridge(both[some], sigma)

    # Half of the views for the fit, the other half for its threshold.
    views = np.array([each.thumbnail for each in seen if each.made == VIEW])
    half, others = views[::2], views[1::2]
    fits["inverted"] = logistic(
        np.concatenate([-half, half]), np.repeat([1.0, 0.0], len(half)), 1e-2
    )
    score = others @ fits["inverted"]["weights"] + fits["inverted"]["bias"]
    fits["inverted"]["threshold"] = float(max(0.0, score.max()))
    chest: dict[str, Any] = {"mean": half.mean(axis=0)}
    chest["components"] = np.linalg.svd(half - chest["mean"], full_matrices=False)[2][:COMPONENTS]
    left = [gate.unlike(view, chest) for view in others]
    chest["threshold"] = float(1.15 * np.quantile(left, 1 - FALSE_ALARMS))
    fits["chest"] = chest
    fits["gain"] = gains
    return fits


def _noise_of(name: str) -> float:
    part = NOISE.get(name, LANCZOS)
    return float(part.noise or part.quanta)


def measure(seen: list[Sample], fits: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Share of the test films with each finding in percent, by how LR was made."""
    rows: dict[str, dict[str, list[bool]]] = {}
    for each in seen:
        if each.train or each.features is None:
            continue
        size = " (as it is)" if len(set(each.pair.split(":"))) == 1 else ""
        x = (each.features - fits["mean"]) / fits["scale"]
        both = np.concatenate([x, x * x])

        def score(name: str, x: np.ndarray) -> bool:
            value = fits[name]["weights"] @ x + fits[name]["bias"]
            return bool((10**value if name == "noise" else value) > fits[name]["threshold"])

        found = {
            "noise": score("noise", both),
            "jpeg": each.zeros > gate.JPEG_SHARE,
            "blur": score("blur", x) and not score("enlarged", x),
            "enlarged-before": score("enlarged", x),
            "inverted": score("inverted", each.thumbnail),
            "unlike-training": gate.unlike(each.thumbnail, fits["chest"])
            > fits["chest"]["threshold"],
        }
        found["blur or enlarged"] = found["blur"] or found["enlarged-before"]
        found["any"] = any(found.values())
        row = rows.setdefault(each.made + size, {name: [] for name in found})
        for name, value in found.items():
            row[name].append(value)
        if each.made == "clean" and not size:
            row = rows.setdefault("inverted", {name: [] for name in found})
            for name in found:
                view = -each.thumbnail
                row[name].append(score("inverted", view) if name == "inverted" else False)
    return {
        made: {
            "n": len(row["any"]),
            **{k: round(100 * float(np.mean(v)), 1) for k, v in row.items()},
        }
        for made, row in rows.items()
    }


def _plain(content: Any) -> Any:
    """Plain types of five digits, as the file holds them."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, np.ndarray | list):
        return [_plain(each) for each in content]
    return float(f"{content:.5g}") if isinstance(content, float) else content


def main() -> None:
    """Fits, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs=2)
    parser.add_argument("gains", type=Path)
    arguments = parser.parse_args()
    work = tasks(arguments.folders)
    with ProcessPoolExecutor(2) as pool:
        seen = [
            s
            for some in track(pool.map(samples, work, chunksize=4), "Looking", len(work))
            for s in some
        ]
    gains = json.loads(arguments.gains.read_text("utf-8"))["knots"]
    fits = _plain(fit(seen, gains))
    write_json(gate.FITS, fits)
    rows = measure(seen, gate.read_fits())
    write_json(gate.FITS, {**fits, "measured": rows})
    table = Table(title="Test films with each finding, in percent")
    for column in ("LR", *next(iter(rows.values()))):
        table.add_column(column)
    for made, row in rows.items():
        table.add_row(made, *(f"{value:g}" for value in row.values()))
    show(table)


if __name__ == "__main__":
    main()
