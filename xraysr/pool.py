"""Work spread over processes that end cleanly, whether by Ctrl-C or with their parent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run_all(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Generator[Result, None, None]:
    """Yields `function(job)` for every job, as each is done, from `workers` new processes.

    One worker means this process. Closing the generator, as Ctrl-C does, lets the jobs under way
    finish and drops the others.
    """
    if workers == 1:
        yield from map(function, jobs)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_worker)
    rest, waiting = iter(jobs), set[Future[Result]]()
    try:
        while True:
            # A few jobs at a time, so that Ctrl-C leaves little to drop.
            for job in islice(rest, 4 * workers - len(waiting)):
                with _starting_workers():
                    waiting.add(pool.submit(function, job))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _starting_workers() -> Iterator[None]:
    """Gives workers started in the block their surroundings.

    Ctrl-C is held back: they inherit that for life and never see it; this process sees it when
    the block ends. Each gets one thread for linear algebra, since there is a worker per core.
    """
    masks = hasattr(signal, "pthread_sigmask")
    if masks:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    environment = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent cannot stop its workers, and they would wait for work for ever.
    parent = parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
