"""Prints what a `.tflite` model takes; run in a process of its own by `xraysr.upscale.memory`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from xraysr.upscale.edge import EdgeRuntime
from xraysr.upscale.memory import PROBES, peak_bytes


def probe(path: Path, threads: int) -> list[int]:
    """Peak bytes before the model is opened, and after one image of each side in `PROBES`."""
    import ai_edge_litert.interpreter  # noqa: F401  its own memory does not count

    peaks = [peak_bytes()]
    runtime = EdgeRuntime(path, threads)
    for side in PROBES:
        runtime.run(np.zeros((1, side, side, 1), np.float32))
        peaks.append(peak_bytes())
    return peaks


if __name__ == "__main__":
    print(json.dumps(probe(Path(sys.argv[1]), int(sys.argv[2]))))
