"""Work in new processes: results, surroundings, failure, and an early end."""

from __future__ import annotations

import math
import os
import signal
from contextlib import closing

import pytest

from xraysr.pool import run_all


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_gives_its_result(workers):
    assert sorted(run_all(math.factorial, range(30), workers)) == [
        math.factorial(n) for n in range(30)
    ]


def test_workers_use_one_thread_each_and_this_process_is_as_before():
    before = dict(os.environ)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert set(run_all(os.getenv, ["OPENBLAS_NUM_THREADS"] * 8, 2)) == {"1"}
    assert dict(os.environ) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_an_error_in_a_worker_arrives_here():
    with pytest.raises(ValueError, match="negative"):
        list(run_all(math.factorial, [3, -1, 4], 2))


def test_closing_early_ends_the_workers():
    with closing(run_all(math.factorial, range(10_000), 2)) as results:
        next(results)
    with pytest.raises(StopIteration):
        next(results)
