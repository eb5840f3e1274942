"""How fast LR/HR pairs are made, and how long a training step waits for them.

    python benchmarks/pipeline.py [FOLDER_OF_FILMS]

Without a folder it makes phantoms. Prints one table.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from xraysr.data.batches import training_batches
from xraysr.data.pipeline import PairCache, degrade
from xraysr.films.index import index_films
from xraysr.pair import Pair
from xraysr.phantom.film import write_phantoms
from xraysr.training import TrainConfig
from xraysr.training.build import build_srgan

FILMS = 64
SECONDS = 8.0


def images_per_second(batches: tf.data.Dataset) -> float:
    """Images/s of a dataset of batches, after a warm-up."""
    iterator = iter(batches)
    for _ in range(5):
        next(iterator)
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        count += next(iterator)[0].shape[0]
    return count / elapsed


def on_the_fly(cache: PairCache) -> tf.data.Dataset:
    """Whole HR films from memory, each degraded anew by antialiased Lanczos."""

    def pair(hr, bits):
        hr = tf.cast(hr, tf.float32) / (2.0 ** tf.cast(bits, tf.float32) - 1.0)
        return degrade(hr, cache.pair.lr, bits), hr

    films = tf.data.Dataset.from_tensor_slices((cache.hr, cache.bits)).repeat()
    return films.map(pair, num_parallel_calls=tf.data.AUTOTUNE).batch(16).prefetch(2)


def waiting_share(cache: PairCache) -> float:
    """Part of the training time in which the step waits for its batch."""
    config = TrainConfig(cache.pair, steps=1)
    srgan = build_srgan(config)
    step = tf.function(srgan.train_step)
    batches = iter(training_batches([cache], batch=16, crop=24, flips=True, seed=0))
    for _ in range(5):
        step(next(batches))
    waited, started = 0.0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        step(batch)
    return waited / elapsed


def import_seconds() -> float:
    """Best of five `import xraysr` in fresh processes, the interpreter's start not counted."""
    code = "import time; t = time.perf_counter(); import xraysr; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True) for _ in range(5)]
    return min(float(run.stdout) for run in runs)


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        films = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        if len(sys.argv) == 1:
            write_phantoms(films, FILMS)
        cache = PairCache.load(index_films(films).films[:FILMS], Pair.parse("128:512"))
    crops = training_batches([cache], batch=16, crop=24, flips=True, seed=0)
    rows = [
        (
            "512->128 on the fly, whole films",
            f"{images_per_second(on_the_fly(cache)):.0f} images/s",
        ),
        ("cached crops, 24->96", f"{images_per_second(crops):.0f} images/s"),
        ("training step waits for data", f"{100 * waiting_share(cache):.2f} % of its time"),
        ("`import xraysr`", f"{import_seconds():.3f} s"),
    ]
    print(f"\n| {len(cache)} films, batch 16 | |\n|---|---|")
    for name, figure in rows:
        print(f"| {name} | {figure} |")


if __name__ == "__main__":
    main()
