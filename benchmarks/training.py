"""How fast the generator and the GAN train, in each precision, on one thread and on two.

    python benchmarks/training.py

Batch 16, crops 24->96, the default networks. Prints one table; ratios are taken in one run, each
pair of precisions one after the other. `loop` is the part of a run's time that is neither the
step nor the wait for data: logging, learning rate, the progress line.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 8.0
BATCH, CROP = 16, 24
WAYS = ("float32", "mixed_bfloat16", "float32 XLA")


def measure(phase: str, way: str, threads: int) -> dict[str, float]:
    """Images/s, share of convolutions in the step, and peak memory; run in a process of its own."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from xraysr.training import TrainConfig
    from xraysr.training.build import build_srgan

    precision, _, xla = way.partition(" ")
    srgan = build_srgan(TrainConfig("64:256", steps=1, precision=precision))
    srgan.phase = phase
    step = tf.function(srgan.train_step, jit_compile=bool(xla))
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
        "convolution": float("nan") if xla else convolution_share(step, batch),
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
    from xraysr.phantom.film import write_phantoms
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


def run_alone(phase: str, way: str, threads: int) -> dict[str, float]:
    """`measure` in a fresh process."""
    words = [sys.executable, __file__, phase, way, str(threads)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the table."""
    if len(sys.argv) > 1:
        phase, way, threads = sys.argv[1:]
        print(json.dumps(measure(phase, way, int(threads))))
        return
    print(
        "| step, 24->96, batch 16 | threads | float32 images/s | bfloat16 | XLA |"
        " convolutions, of float32 | peak memory, float32 |"
    )
    print("|---|---|---|---|---|---|---|")
    for threads in (1, 2):
        for phase in ("content", "adversarial"):
            plain, half, xla = (run_alone(phase, way, threads) for way in WAYS)
            speed = plain["images_per_second"]
            ratios = [each["images_per_second"] / speed for each in (half, xla)]
            print(
                f"| {phase} | {threads} | {speed:.0f} | x{ratios[0]:.2f} | x{ratios[1]:.2f} "
                f"| {100 * plain['convolution']:.0f} % | {plain['peak_mb']:.0f} MB |",
                flush=True,
            )
    print(f"\nThe loop itself: {100 * loop_overhead():.1f} % of a run's time")


if __name__ == "__main__":
    main()
