"""Quality against time: every preset in Keras and TFLite, and the interpolations, at HR 512.

    python benchmarks/speed.py FILMS OUT [--films 40] [--only edge-x4 base-x4] [--markdown]

FILMS has train and test folders. Time is the median of many images of batch 1, warm, from array
to array: 8-bit pixels where a method takes them, float32 else. All methods of a scale take turns
in one process, one for each number of threads, so that their ratios hold whatever else the
machine does. Quality is PSNR over Lanczos on the first test films, with a 95 % interval over
patients; `int8` is quantised whole, its ranges from LR images of train films, and `int8 weights`
(dynamic range) is float32 between the layers. Writes OUT/speed.json and, for each scale,
OUT/speed-xN.png with the Pareto front.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from xraysr import index_films
from xraysr.files import make_folder, write_json
from xraysr.lanczos import resize
from xraysr.pair import Pair
from xraysr.progress import show, track

HR = 512
THREADS = (1, 2)
SECONDS = 15.0  # of measuring, for each scale and number of threads
TURN = 0.05  # seconds that a method repeats itself before the next one's turn
CALIBRATION_FILMS = 32
LEAST_GAIN = 0.005  # dB that count as better
MAIN_SCALE = 4
OTHER_SCALES_FILMS = 10
REFERENCE = ("Lanczos", "NumPy")
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}
FORMATS = {"TFLite": "float", "TFLite int8 weights": "weights", "TFLite int8": "int8"}

Key = tuple[str, str]  # method and what runs it
Method = Callable[[], np.ndarray]
Row = dict[str, Any]


def interpolations(lr: np.ndarray, side: int) -> dict[Key, Method]:
    """Enlargements of `lr` (height, width), uint8."""
    float_lr = lr / np.float32(255)
    images = {"Pillow 8 bit": Image.fromarray(lr), "Pillow float": Image.fromarray(float_lr)}
    methods: dict[Key, Method] = {}
    for runtime, image in images.items():
        for name, kernel in FILTERS.items():
            methods[name, runtime] = partial(_pillow, image, side, kernel)
    methods[REFERENCE] = lambda: resize(float_lr, (side, side))
    return methods


def _pillow(image: Image.Image, side: int, kernel: Image.Resampling) -> np.ndarray:
    return np.asarray(image.resize((side, side), kernel))


def write_models(model: str, folder: Path, calibration: list[np.ndarray]) -> None:
    """Writes a preset (or .keras file or run) to `folder` as TFLite in all three formats."""
    import tensorflow as tf

    from xraysr.export.saved_model import write_saved_model
    from xraysr.export.tflite import write_tflite
    from xraysr.presets.opening import open_generator

    generator, spec = open_generator(model)
    write_tflite(generator, folder / "float.tflite")
    write_tflite(generator, folder / "int8.tflite", calibration)
    write_saved_model(generator, folder / "saved")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "weights.tflite").write_bytes(converter.convert())
    for format in FORMATS.values():
        spec.save(folder / f"{format}.tflite")


def networks(models: dict[str, str], lr: np.ndarray, folder: Path, threads: int):
    """Every model in Keras and TFLite on `lr` (height, width), uint8."""
    from xraysr.upscale.keras_model import KerasRuntime

    batch = lr[None, ..., None] / np.float32(255)
    methods: dict[Key, Method] = {}
    for name, model in models.items():
        methods[name, "Keras"] = partial(KerasRuntime.open(model).run, batch)
        for runtime, format in FORMATS.items():
            path = folder / name / f"{format}.tflite"
            methods[name, runtime] = tflite(path, lr, threads)
    return methods


def tflite(path: Path, lr: np.ndarray, threads: int) -> Method:
    """A TFLite file on `lr`, given and giving what the file does: uint8 or float32."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    batch = lr[None, ..., None]
    if entry["dtype"] == np.float32:
        batch = batch / np.float32(255)
    interpreter.resize_tensor_input(entry["index"], batch.shape)
    interpreter.allocate_tensors()

    def run() -> np.ndarray:
        interpreter.set_tensor(entry["index"], batch)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return run


def measure(threads: int, job: Path) -> None:
    """Prints milliseconds by method, as JSON; run in a process of its own."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    task = json.loads(job.read_text())
    lr = np.random.default_rng(0).integers(256, size=(task["side"],) * 2, dtype=np.uint8)
    methods = interpolations(lr, task["side"] * task["scale"])
    methods |= networks(task["models"], lr, job.parent, threads)
    for run in methods.values():
        run()
    samples: dict[Key, list[float]] = {key: [] for key in methods}
    begin = time.perf_counter()
    while time.perf_counter() - begin < SECONDS or len(samples[REFERENCE]) < 3:
        for key, run in methods.items():
            turn = time.perf_counter()
            while (started := time.perf_counter()) - turn < TURN:
                run()
                samples[key].append(1e3 * (time.perf_counter() - started))
    print(json.dumps([[*key, statistics.median(each)] for key, each in samples.items()]))


def times(threads: int, job: Path) -> dict[Key, float]:
    """`measure` in a fresh process: median milliseconds by method."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    words = [sys.executable, __file__, "measure", str(threads), str(job)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | limits)
    if done.returncode:
        sys.exit(done.stderr)
    return {(method, runtime): ms for method, runtime, ms in json.loads(done.stdout)}


def scores(models: dict[str, str], films, pair: Pair, folder: Path) -> tuple[dict, list[str]]:
    """PSNR in dB of every method on every film, and the films' patients."""
    from xraysr.data.pipeline import film_pairs
    from xraysr.evaluation.evaluate import to_float
    from xraysr.evaluation.metrics import psnr
    from xraysr.upscale import load

    upscalers = {
        (name, runtime): load(folder / name / f"{format}.tflite")
        for name in models
        for runtime, format in FORMATS.items()
    }
    found: dict[Key, list[float]] = {}
    patients = []
    for stored in track(film_pairs(films, pair, "crop", []), f"Scoring {pair}", len(films)):
        lr, hr = to_float(stored)
        images = {key: upscaler(lr) for key, upscaler in upscalers.items()}
        for key, run in interpolations(np.round(255 * lr).astype(np.uint8), pair.hr[0]).items():
            image = run()
            images[key] = image / 255 if image.dtype == np.uint8 else np.clip(image, 0, 1)
        for key, image in images.items():
            found.setdefault(key, []).append(psnr(image, hr, pair.scale))
        patients.append(stored.film.patient)
    for name in models:  # what the export is checked to compute to 1e-5
        found[name, "Keras"] = found[name, "TFLite"]
    return found, patients


def benchmark(models: dict[str, str], index, pair: Pair, count: int) -> dict[str, Any]:
    """All rows of one scale."""
    from xraysr.data.pipeline import film_pairs
    from xraysr.evaluation.evaluate import to_float
    from xraysr.evaluation.report import bootstrap

    films = index.require("test")[:count]
    half = Pair((pair.lr[0] // 2,) * 2, (pair.lr[0] // 2 * pair.scale,) * 2)
    train = film_pairs(index.require("train")[:CALIBRATION_FILMS], half, "crop", [])
    calibration = [to_float(stored)[0] for stored in train]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, model in models.items():
            (folder / label).mkdir()
            write_models(model, folder / label, calibration)
        job = {"side": pair.lr[0], "scale": pair.scale, "models": models}
        write_json(folder / "job.json", job)
        found, patients = scores(models, films, pair, folder)
        measured = {threads: times(threads, folder / "job.json") for threads in THREADS}
        sizes = {
            (label, runtime): (folder / label / f"{format}.tflite").stat().st_size
            for label in models
            for runtime, format in FORMATS.items()
        }

    def over(key: Key, other: Key) -> dict[str, float]:
        return asdict(bootstrap(np.subtract(found[key], found[other]), patients))

    rows = [
        {
            "method": key[0],
            "runtime": key[1],
            "bytes": sizes.get(key),
            "ms": {threads: measured[threads][key] for threads in THREADS},
            "psnr": statistics.mean(found[key]),
            "psnr_over_lanczos": over(key, REFERENCE),
            "psnr_over_float": over(key, (key[0], "TFLite")) if key in sizes else None,
        }
        for key in measured[THREADS[0]]
    ]
    return {"pair": str(pair), "n": len(patients), "patients": len(set(patients)), "rows": rows}


def front(rows: list[Row], threads: int) -> list[Row]:
    """The rows that no other one beats in both time and PSNR, fastest first."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: row["ms"][threads]):
        if not kept or row["psnr"] > kept[-1]["psnr"] + LEAST_GAIN:
            kept.append(row)
    return kept


HEAD = ("method", "runs in", "kB", "ms, 1 thread", "ms, 2 threads", "over Lanczos dB", "int8 dB")


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    gain, loss = row["psnr_over_lanczos"], row["psnr_over_float"]
    return (
        row["method"],
        row["runtime"],
        f"{row['bytes'] / 1e3:.0f}" if row["bytes"] else "",
        *(f"{row['ms'][threads]:.2f}" for threads in THREADS),
        f"{gain['mean']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]",
        f"{loss['mean']:+.3f}" if loss and row["runtime"] != "TFLite" else "",
    )


def title(result: dict[str, Any]) -> str:
    """What the rows hold for."""
    return (
        f"{result['pair']}: {result['n']} test films of {result['patients']} patients, "
        "batch 1, LR by antialiased Lanczos rounded to 8 bits"
    )


def print_table(result: dict[str, Any], markdown: bool) -> None:
    """Prints the rows, fastest on one thread first."""
    rows = [cells(row) for row in sorted(result["rows"], key=lambda row: row["ms"][THREADS[0]])]
    if markdown:
        lines = (" | ".join(line) for line in (HEAD, ("---",) * len(HEAD), *rows))
        print(f"\n{title(result)}\n", *(f"| {line} |" for line in lines), sep="\n")
        return
    table = Table(title=title(result))
    for index, name in enumerate(HEAD):
        table.add_column(name, justify="left" if index < 2 else "right")
    for row in rows:
        table.add_row(*row)
    show(table)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws PSNR over Lanczos against time, the front as a line, its points labelled."""
    from matplotlib.figure import Figure

    from xraysr.files import whole_file

    rows = result["rows"]
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    figure.suptitle(title(result))
    for axis, threads in zip(figure.subplots(1, len(THREADS), sharey=True), THREADS, strict=True):
        best = front(rows, threads)
        gains = [row["psnr_over_lanczos"]["mean"] for row in best]
        axis.step([row["ms"][threads] for row in best], gains, where="post", color="gray")
        for row in rows:
            point = row["ms"][threads], row["psnr_over_lanczos"]["mean"]
            axis.plot(
                *point,
                marker="osD^vP*X"[runtimes.index(row["runtime"])],
                color=f"C{methods.index(row['method'])}",
                linestyle="",
                label=f"{row['method']}, {row['runtime']}",
            )
            if row in best:
                axis.annotate(
                    f"{row['method']}, {row['runtime']}",
                    point,
                    (3, -3),
                    textcoords="offset points",
                    fontsize=8,
                    rotation=-25,
                    rotation_mode="anchor",
                    verticalalignment="top",
                )
        axis.set(xscale="log", xlabel="ms per image", title=f"{threads} thread{'s'[: threads - 1]}")
        axis.margins(0.15)
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("PSNR over Lanczos in dB")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def main() -> None:
    """Measures, prints, writes, draws."""
    if sys.argv[1:2] == ["measure"]:
        return measure(int(sys.argv[2]), Path(sys.argv[3]))
    from xraysr.presets.card import names
    from xraysr.upscale import load

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--films", dest="count", type=int, default=40)
    parser.add_argument("--only", nargs="+", metavar="MODEL", default=names())
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    index, out = index_films(arguments.films), make_folder(arguments.out)
    scales: dict[int, dict[str, str]] = {}
    for model in arguments.only:
        name = Path(model).stem if Path(model).exists() else model
        scales.setdefault(load(model).scale, {})[name] = model
    results = []
    for scale in sorted(scales, key=lambda scale: (scale != MAIN_SCALE, scale)):
        pair = Pair((HR // scale,) * 2, (HR // scale * scale,) * 2)
        count = arguments.count if scale == MAIN_SCALE else OTHER_SCALES_FILMS
        results.append(benchmark(scales[scale], index, pair, count))
        print_table(results[-1], arguments.markdown)
        draw(results[-1], out / f"speed-x{scale}.png")
    write_json(out / "speed.json", results)


if __name__ == "__main__":
    main()
