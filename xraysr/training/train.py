"""`train`: from a folder of films to a trained generator."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from xraysr.data.remote import is_remote
from xraysr.errors import UserError
from xraysr.files import write_json
from xraysr.progress import status_bar
from xraysr.training.config import TrainConfig
from xraysr.training.devices import choose_strategy, is_chief, pipelines
from xraysr.training.environment import environment, resumed
from xraysr.training.films import RunFilms, used_films
from xraysr.training.run import Run
from xraysr.training.trainer import Interrupted, Trainer

__all__ = ["Interrupted", "resume_training", "train"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def train(
    config: TrainConfig,
    data: str | Path,
    out: Path,
    *,
    overwrite: bool = False,
    strategy: tf.distribute.Strategy | None = None,
    cache: Path | None = None,
) -> Run:
    """Trains a generator on the films below `data` and leaves a `Run` in `out`.

    Args:
        config: The settings.
        data: Folder of films, any layout `index_films` reads; or an address on object storage.
        out: Folder of the run; several workers share it.
        overwrite: Replace an older run in `out`.
        strategy: How several devices work together; by default what `choose_strategy` finds.
        cache: Folder that keeps decoded films on disk, for sets larger than memory; by default
            they are kept in memory.

    Raises:
        UserError: for a mistake in the arguments or the data.
        DivergedError: if the losses are no longer finite; the last good state is kept.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
    """
    out = Path(out)
    if not is_remote(data) and out.resolve().is_relative_to(Path(data).resolve()):
        raise UserError(
            "The run must not lie in the data folder, where its samples would be read as films. "
            f"Received: {out} in {data}"
        )
    strategy = strategy or choose_strategy()
    _check_strategy(config, strategy)
    if is_chief(strategy):
        Run.refuse_existing(out, overwrite)
    films = RunFilms.load(config, data, cache, pipelines(strategy))
    with _beginning(out):
        run = Run.create(out, config, overwrite) if is_chief(strategy) else Run(out, config)
    return _train(run, films, strategy, resume=False)


def resume_training(
    out: Path,
    data: str | Path | None = None,
    *,
    strategy: tf.distribute.Strategy | None = None,
    cache: Path | None = None,
) -> Run:
    """Goes on with the run in `out` from its last checkpoint, with the settings it began with.

    Args:
        out: Folder of the run.
        data: Where the films are now, if they were moved.
        strategy: How several devices work together; by default what `choose_strategy` finds.
        cache: Folder that keeps decoded films on disk.

    Raises:
        UserError: if there is no run, it is finished, or its films changed.
        DivergedError: if the losses are no longer finite; the last good state is kept.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
    """
    strategy = strategy or choose_strategy()
    run = Run.open(out)
    if run.finished:
        raise UserError(f"The run in {out} is finished; there is nothing to resume.")
    _check_strategy(run.config, strategy)
    films = RunFilms.load(run.config, data or run.data_root(), cache, pipelines(strategy))
    films.require_same(run.data())
    return _train(run, films, strategy, resume=True)


def _check_strategy(config: TrainConfig, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if config.batch % replicas:
        raise UserError(
            f"The batch must be a multiple of the number of devices, {replicas}. "
            f"Received: batch={config.batch}"
        )
    if config.minutes is not None and pipelines(strategy)[1] > 1:
        raise UserError(
            "Several workers count in --steps; their clocks would part them. "
            f"Received: minutes={config.minutes}"
        )


def _train(run: Run, films: RunFilms, strategy: tf.distribute.Strategy, resume: bool) -> Run:
    keras.utils.set_random_seed(run.config.seed)
    if is_chief(strategy):
        used = used_films((*films.train, *films.val))
        now = environment(strategy, used, run.config.seed)
        with _beginning(run.path):
            write_json(run.path / "data.json", films.to_json())
            before = run.environment() if resume else now
            write_json(run.path / "environment.json", resumed(before or now, now))
    trainer = Trainer(run, films.train, films.val, strategy)
    with status_bar() as bar, _stop_request() as stop:
        if resume:
            trainer.restore(bar)
        trainer.train(bar, stop)
    return run


@contextmanager
def _beginning(out: Path) -> Iterator[None]:
    """Raises a `UserError` when the block cannot write the first files of the run in `out`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The run in {out} could not be begun: {error.strerror or error}. Free the disk, or "
            "name another folder."
        ) from error


@contextmanager
def _stop_request() -> Iterator[list[str]]:
    """Yields a list that Ctrl-C and SIGTERM fill, so that the loop can end between two steps."""
    requests: list[str] = []

    def handler(number, frame):
        if requests:
            raise KeyboardInterrupt
        requests.append(signal.Signals(number).name)

    try:
        before = {each: signal.signal(each, handler) for each in STOP_SIGNALS}
    except ValueError:  # not in the main thread: the caller keeps its own handling
        yield requests
        return
    try:
        yield requests
    finally:
        for each, previous in before.items():
            signal.signal(each, previous)
