"""Quality against time, size and memory: presets in every export, and interpolations, at HR 512.

    python benchmarks/speed.py FILMS OUT [--films 40] [--only edge-x4 base-x4] [--markdown]

FILMS has train and test folders. Every artefact is written by `xraysr export`. Time is the median
of many images of batch 1, warm, from array to array: 8-bit pixels where a method takes them,
float32 else. All methods of a scale take turns in one process, one for each number of threads, so
that their ratios hold whatever else the machine does. Memory is the most that a fresh process had
in RAM that opens one artefact and enlarges three images, Python and libraries included. Quality is
PSNR over Lanczos on the first test films, with a 95 % interval over patients; `int8` is quantised
whole, its ranges from train films, and `int8 weights` (dynamic range) is float32 between the
layers. Writes OUT/speed.json and, for each scale, OUT/speed-xN.png with the Pareto front.
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
LEAST_GAIN = 0.005  # dB that count as better
MAIN_SCALE = 4
OTHER_SCALES_FILMS = 10
REFERENCE = ("Lanczos", "NumPy")
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}
KERAS = "Keras"
TFLITE = {
    "TFLite": "float32",
    "TFLite float16": "float16",
    "TFLite int8 weights": "dynamic",
    "TFLite int8": "int8",
}
EXPORTS = ("SavedModel", "ONNX", *TFLITE)

# What a device does for one film, in a process that has imported nothing yet.
DEVICE = """
import json, sys, time
begin = time.perf_counter()
from xraysr.upscale.edge import EdgeUpscaler
seconds = time.perf_counter() - begin
from xraysr.io import read, write
from xraysr.upscale.memory import peak_bytes
model, film, out = sys.argv[1:]
write(out, EdgeUpscaler(model)(read(film)))
print(json.dumps([seconds, peak_bytes()]))
"""

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


def write_exports(model: str, folder: Path, films: Path, pair: Pair) -> dict[str, str]:
    """Writes a preset (or .keras file or run) in every format to `folder`; paths by runtime."""
    from xraysr.export import export_model

    written = {
        "SavedModel": export_model(model, folder, "saved_model", name="served"),
        "ONNX": export_model(model, folder / "model.onnx", "onnx"),
    }
    for runtime, precision in TFLITE.items():
        path = folder / f"{precision}.tflite"
        quantised = precision != "float32"
        limit = float("inf") if quantised else None  # what it loses is what is measured here
        written[runtime] = export_model(
            model,
            path,
            "tflite",
            precision=precision,
            films=films if quantised else None,
            pair=pair,
            max_psnr_loss=limit,
        )
    return {KERAS: model, **{name: str(export.path) for name, export in written.items()}}


def bytes_of(path: str) -> int | None:
    """Size of a file, or of all files of a folder; None for a preset."""
    artefact = Path(path)
    if artefact.is_file():
        return artefact.stat().st_size
    files = [each for each in artefact.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) or None


def network(runtime: str, path: str, lr: np.ndarray, threads: int) -> Method:
    """An artefact on `lr` (height, width), uint8, given and giving what the file does."""
    if runtime in TFLITE:
        return tflite(path, lr, threads)
    batch = lr[None, ..., None] / np.float32(255)
    if runtime == "ONNX":
        return onnx(path, batch, threads)
    limit_tensorflow(threads)
    from xraysr.upscale import load

    return partial(load(path).runtime.run, batch)


def limit_tensorflow(threads: int) -> None:
    """Gives TensorFlow that many threads, before it does anything."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def onnx(path: str, batch: np.ndarray, threads: int) -> Method:
    """An ONNX file on `batch`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"lr": batch})[0]


def tflite(path: str, lr: np.ndarray, threads: int) -> Method:
    """A TFLite file on `lr`: uint8 or float32, as it takes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
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


def noise(side: int) -> np.ndarray:
    """What is enlarged to measure time and memory."""
    return np.random.default_rng(0).integers(256, size=(side, side), dtype=np.uint8)


def weigh(runtime: str, path: str, side: int, threads: int) -> None:
    """Prints the peak bytes of this process after three images by one artefact."""
    from xraysr.upscale.memory import peak_bytes

    run = network(runtime, path, noise(side), threads)
    for _ in range(3):
        run()
    print(json.dumps(peak_bytes()))


def measure(threads: int, job: Path) -> None:
    """Prints milliseconds by method, as JSON."""
    limit_tensorflow(threads)
    task = json.loads(job.read_text())
    lr = noise(task["side"])
    methods = interpolations(lr, task["side"] * task["scale"])
    for name, paths in task["paths"].items():
        for runtime, path in paths.items():
            methods[name, runtime] = network(runtime, path, lr, threads)
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


def fresh(threads: int, *words: object) -> Any:
    """What Python prints as JSON when run with `words` in a fresh process."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | limits)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def scores(paths: dict[str, dict[str, str]], films, pair: Pair) -> tuple[dict, list[str]]:
    """PSNR in dB of every method on every film, and the films' patients."""
    from xraysr.data.pipeline import film_pairs
    from xraysr.evaluation.evaluate import to_float
    from xraysr.evaluation.metrics import psnr
    from xraysr.upscale import load

    upscalers = {
        (name, runtime): load(path)
        for name, written in paths.items()
        for runtime, path in written.items()
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
    return found, patients


def benchmark(models: dict[str, str], index, pair: Pair, count: int) -> dict[str, Any]:
    """All rows of one scale."""
    from xraysr.evaluation.report import bootstrap

    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: write_exports(model, make_folder(Path(folder) / name), index.root, pair)
            for name, model in models.items()
        }
        side = pair.lr[0]
        job = Path(folder) / "job.json"
        write_json(job, {"side": side, "scale": pair.scale, "paths": paths})
        found, patients = scores(paths, index.require("test")[:count], pair)
        ms = {
            threads: {
                (*key,): value for *key, value in fresh(threads, __file__, "measure", threads, job)
            }
            for threads in THREADS
        }
        artefacts = {
            (name, runtime): path
            for name, written in paths.items()
            for runtime, path in written.items()
        }
        peaks = {
            key: {n: fresh(n, __file__, "weigh", key[1], path, side, n) for n in THREADS}
            for key, path in track(artefacts.items(), "Weighing", len(artefacts))
        }
        film = Path(folder) / "film.png"
        Image.fromarray(noise(side)).save(film)
        smallest = next(
            path for (_, runtime), path in artefacts.items() if runtime == "TFLite int8"
        )
        seconds, peak = fresh(2, "-c", DEVICE, smallest, film, film.with_suffix(".sr.png"))
        sizes = {key: bytes_of(path) for key, path in artefacts.items()}

    def over(key: Key, other: Key) -> dict[str, float]:
        return asdict(bootstrap(np.subtract(found[key], found[other]), patients))

    rows = [
        {
            "method": key[0],
            "runtime": key[1],
            "bytes": sizes.get(key),
            "peak_bytes": peaks.get(key),
            "ms": {threads: ms[threads][key] for threads in THREADS},
            "psnr": statistics.mean(found[key]),
            "psnr_over_lanczos": over(key, REFERENCE),
            "psnr_over_keras": over(key, (key[0], KERAS)) if key[1] in EXPORTS else None,
        }
        for key in ms[THREADS[0]]
    ]
    return {
        "pair": str(pair),
        "n": len(patients),
        "patients": len(set(patients)),
        "rows": rows,
        "edge": {"import_seconds": seconds, "peak_bytes": peak},
    }


def front(rows: list[Row], threads: int) -> list[Row]:
    """The rows that no other one beats in both time and PSNR, fastest first."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: row["ms"][threads]):
        if not kept or row["psnr"] > kept[-1]["psnr"] + LEAST_GAIN:
            kept.append(row)
    return kept


HEAD = (
    "method",
    "runs in",
    "kB",
    "ms, 1 thread",
    "ms, 2 threads",
    "peak MB, 1 thread",
    "peak MB, 2 threads",
    "over Lanczos dB",
    "over Keras dB",
)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    gain, change, peaks = row["psnr_over_lanczos"], row["psnr_over_keras"], row["peak_bytes"]
    return (
        row["method"],
        row["runtime"],
        f"{row['bytes'] / 1e3:.0f}" if row["bytes"] else "",
        *(f"{row['ms'][threads]:.2f}" for threads in THREADS),
        *(f"{peaks[threads] / 1e6:.0f}" if peaks else "" for threads in THREADS),
        f"{gain['mean']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]",
        f"{round(change['mean'], 3) + 0.0:+.3f}" if change else "",
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
                marker="osD^vP*Xph<"[runtimes.index(row["runtime"])],
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
    if sys.argv[1:2] == ["weigh"]:
        return weigh(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
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
        device = results[-1]["edge"]
        print(
            f"\nA device that reads one film, enlarges it in int8 and writes it: peak "
            f"{device['peak_bytes'] / 1e6:.0f} MB; import xraysr.upscale.edge: "
            f"{device['import_seconds']:.2f} s"
        )
        draw(results[-1], out / f"speed-x{scale}.png")
    write_json(out / "speed.json", results)


if __name__ == "__main__":
    main()
