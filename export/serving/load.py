"""How fast a served model answers: python load.py ADDRESS [THREADS] [IMAGES] [SIDE]."""

import sys
from concurrent.futures import ThreadPoolExecutor
from timeit import default_timer, timeit

import numpy as np

import xraysr

sys.tracebacklimit = 0  # a mistake is told in its own line
numbers = [int(word) for word in sys.argv[2:]]
threads, images, side = [*numbers, *(4, 200, 64)[len(numbers) :]]
film = xraysr.make_phantom(seed=0, size=side).pixels / np.float32(4095)
upscaler, begin = xraysr.load(sys.argv[1]), default_timer()
with ThreadPoolExecutor(threads) as pool:
    asked = pool.map(lambda _: timeit(lambda: upscaler(film), number=1), range(images))
    p50, p95, p99 = np.percentile(list(asked), (50, 95, 99)) * 1000
rate = images / (default_timer() - begin)
print(f"{rate:.1f} images/s; p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms")
