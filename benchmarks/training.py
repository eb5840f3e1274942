"""How fast the generator and the GAN train, in each precision, on one thread and on two.

    python benchmarks/training.py

Batch 16, crops 24->96, the default networks. Prints one table; ratios are taken in one run, each
pair of precisions one after the other. `loop` is the part of a run's time that is neither the
step nor the wait for data: logging, learning rate, the progress line.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 8.0
BATCH, CROP = 16, 24
CASES = [
    (phase, precision, threads)
    for threads in (1, 2)
    for phase in ("content", "adversarial")
    for precision in ("float32", "mixed_bfloat16")
]


def measure(phase: str, precision: str, threads: int) -> dict[str, float]:
    """Images/s, share of convolutions in the step, and peak memory; run in a process of its own."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from xraysr.training import TrainConfig
    from xraysr.training.build import build_srgan

    srgan = build_srgan(TrainConfig("64:256", steps=1, precision=precision))
    srgan.phase = phase
    step = tf.function(srgan.train_step)
    random = np.random.default_rng(0)
    batch = tuple(
        tf.constant(random.random((BATCH, side, side, 1), dtype=np.float32))
        for side in (CROP, 4 * CROP)
    )
    for _ in range(5):
        step(batch)
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        step(batch)
        count += 1
    return {
        "images_per_second": count * BATCH / elapsed,
        "convolution": convolution_share(step, batch),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def convolution_share(step, batch) -> float:
    """Part of the operations' time that is convolution, by TensorFlow's profiler."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(5):
            step(batch)
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        return _share(path)


def _share(path: Path) -> float:
    """Convolution's part of all operations' time in a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    total = convolution = 0
    for plane in space.planes:
        names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            place, _, operation = names[event.metadata_id].rpartition(":")
            if "/" in place:  # an operation of the graph, not what runs it
                total += event.duration_ps
                convolution += event.duration_ps if "Conv" in operation else 0
    return convolution / total if total else float("nan")


def loop_overhead() -> float:
    """Part of a run's time that is neither step nor data, from runs of two lengths."""
    from xraysr.data.phantom import write_phantoms
    from xraysr.training import TrainConfig, train

    spent = []
    with tempfile.TemporaryDirectory() as folder:
        films = Path(folder) / "films"
        for split, count, seed in (("train", 8, 0), ("val", 1, 8)):
            write_phantoms(films / split, count, 256, seed)
        for steps in (100, 500):
            config = TrainConfig("32:128", steps=steps, adversarial_share=0.0, validate_every=1000)
            started = time.perf_counter()
            run = train(config, films, Path(folder) / f"run{steps}")
            inside = [entry["seconds"] for entry in run.records() if "seconds" in entry][-1]
            spent.append((time.perf_counter() - started, inside))
    (short_wall, short_inside), (long_wall, long_inside) = spent
    inside = long_inside - short_inside
    return 1.0 - inside / (long_wall - short_wall)


def main() -> None:
    """Prints the table."""
    if len(sys.argv) > 1:
        phase, precision, threads = sys.argv[1:]
        print(json.dumps(measure(phase, precision, int(threads))))
        return
    print(
        "| step, 24->96, batch 16 | threads | float32 images/s | bfloat16 images/s | ratio "
        "| convolutions | peak memory |"
    )
    print("|---|---|---|---|---|---|---|")
    figures = {}
    for case in CASES:
        words = [sys.executable, __file__, *map(str, case)]
        done = subprocess.run(words, capture_output=True, text=True, env=os.environ)
        if done.returncode:
            sys.exit(done.stderr)
        figures[case] = json.loads(done.stdout.splitlines()[-1])
    for threads in (1, 2):
        for phase in ("content", "adversarial"):
            single = figures[phase, "float32", threads]
            half = figures[phase, "mixed_bfloat16", threads]
            speeds = single["images_per_second"], half["images_per_second"]
            print(
                f"| {phase} | {threads} | {speeds[0]:.0f} | {speeds[1]:.0f} "
                f"| {speeds[1] / speeds[0]:.2f} | {100 * single['convolution']:.0f} % "
                f"| {single['peak_mb']:.0f} MB |"
            )
    print(f"\nThe loop itself: {100 * loop_overhead():.1f} % of a run's time")


if __name__ == "__main__":
    main()
