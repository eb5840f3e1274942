"""How large a tile a device has memory for; what a model takes is measured, not guessed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.spec import ModelSpec
from xraysr.upscale.tiles import least_tile

# Runs in a process of its own, without the current folder among the places to import from.
PROBE = "import sys; from xraysr.upscale.memory import probe; probe(*sys.argv[1:])"
PROBES = (64, 160)  # sides in LR pixels at which memory is measured
PROBE_SECONDS = 120
MARGIN = 0.9  # of the ceiling is planned with; the rest is for the image's own arrays


def tile_within(memory_mb: float, path: Path, spec: ModelSpec, threads: int) -> int:
    """Largest tile side in LR pixels for which a `.tflite` model takes at most `memory_mb` MB.

    Two sides are measured in a process of its own, which needs a second or so; memory grows with
    the square of the side.

    Raises:
        UserError: if the smallest tile takes more.
    """
    words = [sys.executable, "-P", "-c", PROBE, str(path), str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PROBE_SECONDS)
    if done.returncode:
        raise UserError(f"The memory of {path} cannot be measured: {done.stderr[-300:]}")
    before, *peaks = json.loads(done.stdout)
    small, large = (peak - before for peak in peaks)
    growth = (large - small) / (PROBES[1] ** 2 - PROBES[0] ** 2)
    fixed = small - growth * PROBES[0] ** 2
    least = least_tile(spec.receptive_radius)
    tile = math.isqrt(max(0, int((MARGIN * memory_mb * 1e6 - fixed) / growth)))
    if tile < least:
        needed = math.ceil((fixed + growth * least**2) / 1e6 / MARGIN)
        raise UserError(
            f"{spec.name} needs {needed} MB for its smallest tile of {least} pixels. "
            f"Received: memory_mb={memory_mb:g}"
        )
    return tile


def probe(path: str, threads: str) -> None:
    """Prints peak bytes before a model is opened, and after one image of each of `PROBES`."""
    import ai_edge_litert.interpreter  # noqa: F401  its own memory does not count

    from xraysr.upscale.edge import EdgeRuntime

    peaks = [peak_bytes()]
    runtime = EdgeRuntime(Path(path), int(threads))
    for side in PROBES:
        runtime.run(np.zeros((1, side, side, 1), np.float32))
        peaks.append(peak_bytes())
    print(json.dumps(peaks))


def peak_bytes() -> int:
    """The most memory that this process ever had in RAM, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(peak)
