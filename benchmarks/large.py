"""Large images: megapixels a second and peak memory against size, and what options cost.

    python benchmarks/large.py [MODEL] [--largest 320] [--markdown]

Each image is enlarged from a 16-bit TIFF to a 16-bit TIFF by a fresh process, as `xraysr upscale`
does it; time is from opening the film to the file on disk, memory the most that the process had in
RAM, TensorFlow included. `tiles` is the time for each output pixel of all tiles put together, over
that of the network alone on one tile that has no neighbours. The options are timed in turns in one
process, on the second size. MODEL is a preset or a file; default edge-x4.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from rich.table import Table

from xraysr.io import Radiograph, write
from xraysr.phantom.film import make_phantom
from xraysr.progress import show

SIDES = ((250, 250), (500, 500), (1000, 1000), (2000, 2000), (4000, 5000))  # LR pixels
OPTIONS = ((), ("ensemble",), ("faithful",), ("maps",))
TURNS = 3
HEAD = ("LR pixels", "output Mpx", "s", "Mpx/s", "tiles", "peak MB")


def film(path: Path, size: tuple[int, int]) -> Path:
    """A phantom, repeated to `size`, with noise so that no two tiles are the same."""
    tile = make_phantom(0, 512).pixels.astype(np.float32) / 4095
    pixels = np.tile(tile, (size[0] // 512 + 1, size[1] // 512 + 1))[: size[0], : size[1]]
    noise = np.random.default_rng(0).normal(0, 0.01, size).astype(np.float32)
    write(path, Radiograph(np.clip(pixels + noise, 0, 1), bits=16))
    return path


def enlarge(model: str, source: Path, target: Path) -> None:
    """Prints seconds from file to file, tiles against one tile, and peak bytes, as JSON."""
    from xraysr.io import read
    from xraysr.upscale import load
    from xraysr.upscale.batch import upscale_files
    from xraysr.upscale.memory import peak_bytes

    upscaler = load(model)
    tile = np.full((1, upscaler.tile, upscaler.tile, 1), 0.5, np.float32)
    upscaler.runtime.run(tile)
    begin = time.perf_counter()
    upscale_files(upscaler, [source], target)
    seconds, peak = time.perf_counter() - begin, peak_bytes()
    alone = [passed(lambda: upscaler.runtime.run(tile)) for _ in range(TURNS)]
    pixels = read(source).pixels
    tiles = passed(lambda: deque(upscaler.strips(pixels), 0))
    ratio = tiles / pixels.size / (median(alone) / tile.size)
    print(json.dumps([seconds, ratio, peak]))


def passed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def fresh(model: str, source: Path, target: Path) -> list[float]:
    """`enlarge` in a fresh process."""
    words = [sys.executable, __file__, "enlarge", model, str(source), str(target)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def options(model: str, source: Path, folder: Path) -> dict[str, float]:
    """Median seconds with each option."""
    from xraysr.upscale import load
    from xraysr.upscale.batch import upscale_files
    from xraysr.upscale.options import UpscaleOptions

    seconds: dict[str, list[float]] = {}
    for turn in range(TURNS + 1):  # the first one is for warming up
        for chosen in OPTIONS:
            upscaler, asked = load(model), UpscaleOptions(**dict.fromkeys(chosen, True))
            begin = time.perf_counter()
            target = folder / f"{turn}-{'-'.join(chosen)}.tif"
            upscale_files(upscaler, [source], target, asked)
            seconds.setdefault(", ".join(chosen), []).append(time.perf_counter() - begin)
    return {name: median(found[1:]) for name, found in seconds.items()}


def print_rows(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]], plain: bool) -> None:
    """A table, in Markdown if `plain`."""
    if plain:
        lines = (" | ".join(line) for line in (head, ("---",) * len(head), *rows))
        print(f"\n{title}\n", *(f"| {line} |" for line in lines), sep="\n")
        return
    table = Table(title=title)
    for name in head:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    show(table)


def main() -> None:
    """Measures and prints."""
    if sys.argv[1:2] == ["enlarge"]:
        return enlarge(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="edge-x4")
    parser.add_argument("--largest", type=float, default=320.0, metavar="MPX")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    from xraysr.upscale import load

    scale = load(arguments.model).scale
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIDES:
            mpx = size[0] * size[1] * scale**2 / 1e6
            if mpx > arguments.largest:
                break
            source = film(folder / "lr.tif", size)
            seconds, ratio, peak = fresh(arguments.model, source, folder / "sr.tif")
            (folder / "sr.tif").unlink()
            source.unlink()
            cells = f"{mpx:.0f}", f"{seconds:.1f}", f"{mpx / seconds:.1f}", f"{ratio:.2f}"
            rows.append((f"{size[0]} x {size[1]}", *cells, f"{peak / 1e6:.0f}"))
        print_rows(f"{arguments.model}, TIFF to TIFF", HEAD, rows, arguments.markdown)
        found = options(arguments.model, film(folder / "lr.tif", SIDES[1]), folder)
    plain = found.pop("")
    costs = [(option, f"{100 * (s / plain - 1):+.0f} %") for option, s in found.items()]
    title = f"{arguments.model}, {SIDES[1][0]} x {SIDES[1][1]}: time beyond plain enlarging"
    print_rows(title, ("option", "costs"), costs, arguments.markdown)


if __name__ == "__main__":
    main()
