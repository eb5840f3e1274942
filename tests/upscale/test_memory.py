"""The memory ceiling of the edge runtime holds in a real process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from xraysr.errors import UserError
from xraysr.spec import ModelSpec
from xraysr.upscale.edge import EdgeUpscaler
from xraysr.upscale.memory import peak_bytes, tile_within

ENLARGE = """
import sys
import numpy as np
import ai_edge_litert.interpreter
from xraysr.upscale.edge import EdgeUpscaler
from xraysr.upscale.memory import peak_bytes

before = peak_bytes()
ceiling = float(sys.argv[2]) or None
upscaler = EdgeUpscaler(sys.argv[1], memory_mb=ceiling)
image = np.random.default_rng(0).random((400, 400), dtype=np.float32)
sr = upscaler(image)
arrays = image.nbytes + 3 * sr.nbytes  # the tiles are put together, and clipped
print((peak_bytes() - before - arrays) / 1e6)
"""


def taken(model, ceiling: float) -> float:
    """MB that a fresh process takes to enlarge 400 x 400 pixels, without the image's arrays."""
    words = [sys.executable, "-c", ENLARGE, str(model), str(ceiling)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_a_ceiling_is_kept(trained):
    free = taken(trained["tflite"], 0)
    for ceiling in (0.25 * free, 0.5 * free):
        assert taken(trained["tflite"], ceiling) <= ceiling
    assert free > 20  # else the above says nothing


def test_more_memory_gives_larger_tiles(trained):
    spec = ModelSpec.load(trained["tflite"])
    tiles = [tile_within(memory, trained["tflite"], spec, 1) for memory in (20, 40, 80)]
    assert 2 * spec.receptive_radius < tiles[0] < tiles[1] < tiles[2]


def test_a_ceiling_that_cannot_be_kept_says_what_is_needed(trained):
    with pytest.raises(UserError, match=r"needs \d+ MB for its smallest tile of \d+ pixels"):
        EdgeUpscaler(trained["tflite"], memory_mb=0.5)


def test_peak_memory_is_that_of_this_process():
    before = peak_bytes()
    held = bytearray(b"x") * 300_000_000
    assert len(held) == 300_000_000 <= peak_bytes() and before <= peak_bytes()
