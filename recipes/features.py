"""Trains `RadiographFeatures`, the feature extractor that comes with the package.

    python recipes/features.py FILMS OUT --minutes 8

FILMS holds data sets with {train,test}/{NORMAL,PNEUMONIA} folders. Patients of the train folders
train it, a tenth of them (by a hash of the patient) choose the best state; test folders are never
opened. OUT receives radiograph_features.safetensors (float16) and its card.

It learns two things at once from crops of 96 x 96 pixels, cut from films at the HR sizes 128, 256
and 512: what was done to the crop and how strongly (reduced and enlarged, blurred, made noisy,
sharpened, quantised in blocks as JPEG does, or nothing), and whether the film is normal or shows
pneumonia (from crops at size 128, which show most of the film). Two further convolutions read the
label; they are not kept.

Set OPENBLAS_NUM_THREADS=1: the crops are made by small matrix products, which the threads of a
busy machine slow down tenfold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from card_texts import DATA

from xraysr.data.fit import load_hr
from xraysr.errors import BadImageError
from xraysr.films.finder import Film
from xraysr.films.index import index_films
from xraysr.lanczos import lanczos_matrix, round_to_bits
from xraysr.models.radiograph_features import RadiographFeatures, save_features, unit_channels
from xraysr.progress import status_bar

SIDE = 96
SIZES = (128, 256, 512)
BATCH = 32
LEARNING_RATE = 2e-3
KINDS = ("none", "reduced", "blurred", "noisy", "sharpened", "quantised")
LABELS = ("NORMAL", "PNEUMONIA")
SCALES = (2, 3, 4, 6, 8)

Batch = tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]


def degrade(image: np.ndarray, kind: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    """`image` (SIDE, SIDE) in [0, 1] after one degradation of `strength` 0 to 1, not clipped."""
    if kind == "none":
        return image
    if kind == "reduced":
        small = SIDE // SCALES[min(int(strength * len(SCALES)), len(SCALES) - 1)]
        both_ways = lanczos_matrix(small, SIDE) @ lanczos_matrix(SIDE, small)
        return both_ways @ image @ both_ways.T
    if kind == "blurred":
        blur = gaussian_matrix(0.5 + 2.5 * strength)
        return blur @ image @ blur.T
    if kind == "noisy":
        return image + 0.005 * 20**strength * rng.standard_normal(image.shape)
    if kind == "sharpened":
        blur = gaussian_matrix(1.0)
        return image + (0.3 + 2.7 * strength) * (image - blur @ image @ blur.T)
    step = 0.02 * 10**strength * np.tile(1 + np.add.outer(range(8), range(8)), (SIDE // 8,) * 2)
    basis = block_cosines()
    return basis.T @ (np.round(basis @ image @ basis.T / step) * step) @ basis


def gaussian_matrix(sigma: float) -> np.ndarray:
    """G such that `G @ x @ G.T` blurs a crop; rows sum to 1."""
    distance = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def block_cosines() -> np.ndarray:
    """C such that `C @ x @ C.T` is the orthonormal DCT of each 8 x 8 block."""
    k, n = np.mgrid[:8, :8]
    cosines = np.sqrt(0.25) * np.cos(np.pi * (n + 0.5) * k / 8)
    cosines[0] /= np.sqrt(2)
    return np.kron(np.eye(SIDE // 8), cosines)


def load_films(films: Sequence[Film]) -> dict[int, list[tuple[np.ndarray, int]]]:
    """(pixels, label) of the films at each HR size; films too small for a size are left out."""
    images: dict[int, list[tuple[np.ndarray, int]]] = {size: [] for size in SIZES}
    for film in films:
        if film.split not in ("train", "val") or "test" in film.path.parts:
            raise AssertionError(f"{film.path} is no training film")
        for size in SIZES:
            try:
                hr, bits = load_hr(film.path, (size, size))
            except BadImageError:
                continue
            pixels = (hr / np.float32((1 << bits) - 1)).astype(np.float32)
            images[size].append((pixels, LABELS.index(film.label or "")))
    return images


def batches(images: dict[int, list[tuple[np.ndarray, int]]], seed: int) -> Iterator[Batch]:
    """Endless (crops, targets, sample weights): the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    while True:
        yield _join([_draw(images, rng) for _ in range(BATCH)])


def _draw(images, rng: np.random.Generator) -> tuple[np.ndarray, int, float, int, bool]:
    size = int(rng.choice(SIZES))
    pixels, label = images[size][rng.integers(len(images[size]))]
    top, left = rng.integers(size - SIDE + 1, size=2)
    crop = pixels[top : top + SIDE, left : left + SIDE]
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    kind = int(rng.integers(len(KINDS)))
    strength = float(rng.random())
    crop = round_to_bits(degrade(crop.astype(np.float64), KINDS[kind], strength, rng), 8)
    return crop.astype(np.float32)[..., None], kind, strength, label, size == SIZES[0]


def _join(drawn) -> Batch:
    crops, kinds, strengths, labels, whole = (np.array(each) for each in zip(*drawn, strict=True))
    return (
        crops,
        {"kind": kinds, "strength": strengths[:, None], "label": labels},
        {
            "kind": np.ones(len(kinds)),
            "strength": (kinds > 0).astype(np.float32),
            "label": whole.astype(np.float32),
        },
    )


def with_heads(extractor: RadiographFeatures) -> keras.Model:
    """The extractor with its tasks on top, compiled; each depth is read for what was done."""
    crops = keras.Input((SIDE, SIDE, 1))
    activations = extractor.activations(crops)
    deeper = keras.layers.AveragePooling2D(2)(activations[-1])
    for _ in range(2):
        deeper = keras.layers.Conv2D(
            128, 3, padding="same", activation="relu", kernel_initializer="he_normal"
        )(deeper)
    maps = [unit_channels(x) for x in (*activations, deeper)]
    means = [keras.layers.GlobalAveragePooling2D(dtype="float32")(each) for each in maps]
    seen = keras.layers.Concatenate(dtype="float32")(means)
    heads = {
        "kind": keras.layers.Dense(len(KINDS), dtype="float32", name="kind")(seen),
        "strength": keras.layers.Dense(1, dtype="float32", name="strength")(
            keras.layers.Dense(32, activation="relu", dtype="float32")(seen)
        ),
        "label": keras.layers.Dense(len(LABELS), dtype="float32", name="label")(means[-1]),
    }
    model = keras.Model(crops, heads)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0),
        loss={
            "kind": cross_entropy(from_logits=True),
            "strength": "mse",
            "label": cross_entropy(from_logits=True),
        },
        loss_weights={"kind": 1.0, "strength": 4.0, "label": 1.0},
    )
    return model


def scores(model: keras.Model, held_out: Sequence[Batch]) -> dict[str, float]:
    """Accuracy of kind and label, and mean absolute error of the strength, on `held_out`.

    `label_majority` is the accuracy of always answering with the commoner label.
    """
    right = {"kind": [], "label": []}
    labels, errors = [], []
    loss = 0.0
    for crops, targets, weights in held_out:
        found = {name: np.array(x) for name, x in model.predict_on_batch(crops).items()}
        for name in right:
            hits = found[name].argmax(-1) == targets[name]
            right[name].extend(hits[weights[name] > 0])
        labels.extend(targets["label"][weights["label"] > 0])
        error = np.abs(found["strength"] - targets["strength"])[:, 0]
        errors.extend(error[weights["strength"] > 0])
        loss += model.test_on_batch(crops, targets, weights, return_dict=True)["loss"]
    return {
        "kind_accuracy": float(np.mean(right["kind"])),
        "label_accuracy": float(np.mean(right["label"])),
        "label_majority": float(max(np.mean(labels), 1 - np.mean(labels))),
        "strength_error": float(np.mean(errors)),
        "loss": float(loss) / len(held_out),
    }


def fit(
    model: keras.Model, extractor: RadiographFeatures, images, held_out, minutes: float, seed: int
) -> dict[str, Any]:
    """Trains for `minutes`, leaves the best state in the extractor and returns its scores."""
    best: dict[str, Any] = {"loss": np.inf}
    weights = extractor.get_weights()
    started = checked = time.monotonic()
    with status_bar() as bar:
        for step, batch in enumerate(batches(images, seed), 1):
            now = time.monotonic()
            share = min((now - started) / (60 * minutes), 1.0)
            if now - checked > 6 * minutes or share == 1:  # ten times in all
                checked = time.monotonic()
                found = scores(model, held_out)
                bar.line(f"{step} steps: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
                if found["loss"] < best["loss"]:
                    best, weights = {**found, "steps": step}, extractor.get_weights()
            if share == 1:
                break
            warm = min(step / 50, 1.0)
            model.optimizer.learning_rate = (
                LEARNING_RATE * warm * 0.5 * (1.02 + np.cos(np.pi * share))
            )
            bar.update(share, f"step {step}")
            model.train_on_batch(*batch)
    extractor.set_weights(weights)
    return best


def describe(root: Path, films: Sequence[Film]) -> list[dict[str, Any]]:
    """What of each data set was used, for the card."""
    sets: dict[str, list[Film]] = {}
    for film in films:
        sets.setdefault(film.path.relative_to(root).parts[0], []).append(film)
    return [
        {
            "name": name,
            **DATA.get(name, {}),
            "films": {split: sum(f.split == split for f in used) for split in ("train", "val")},
            "patients": len({film.patient for film in used}),
            "sha256_of_film_names": hashlib.sha256(
                "\n".join(sorted(str(f.path.relative_to(root)) for f in used)).encode()
            ).hexdigest(),
        }
        for name, used in sorted(sets.items())
    ]


def main() -> None:
    """Trains, and writes the weights and their card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    keras.config.set_dtype_policy("mixed_bfloat16")

    index = index_films(arguments.films)
    train, val = index.require("train"), index.require("val")
    images, choice = load_films(train), batches(load_films(val), arguments.seed + 1)
    held_out = [next(choice) for _ in range(12)]
    extractor = RadiographFeatures()
    extractor.build((None, None, None, 1))
    model = with_heads(extractor)
    best = fit(model, extractor, images, held_out, arguments.minutes, arguments.seed)
    card = {
        "name": "radiograph_features",
        "what": "feature extractor of the feature loss and of RadiographFeatureDistance",
        "tasks": ["what was done to the crop, and how strongly", "NORMAL or PNEUMONIA"],
        "parameters": extractor.count_params(),
        "data": describe(arguments.films, [*train, *val]),
        "test_films_read": 0,
        "command": f"python recipes/features.py FILMS OUT --minutes {arguments.minutes:g} "
        f"--seed {arguments.seed}",
        "precision": "mixed_bfloat16",
        "backend": f"{keras.backend.backend()}, keras {keras.__version__}, "
        f"python {platform.python_version()}",
        "val": best,
    }
    save_features(extractor, arguments.out / "radiograph_features.safetensors", card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
