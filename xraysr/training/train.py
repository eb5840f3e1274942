"""`train`: from a folder of films to a trained generator."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from xraysr.data.index import FilmIndex, index_films
from xraysr.data.pipeline import PairCache
from xraysr.data.scan import Film
from xraysr.errors import UserError
from xraysr.files import write_json
from xraysr.progress import status_bar, track
from xraysr.training.config import TrainConfig
from xraysr.training.devices import choose_strategy, is_chief, pipelines
from xraysr.training.environment import environment, resumed
from xraysr.training.run import Run
from xraysr.training.trainer import Interrupted, Trainer

__all__ = ["Interrupted", "train"]

MAX_VALIDATION_FILMS = 64
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    overwrite: bool = False,
    strategy: tf.distribute.Strategy | None = None,
) -> Run:
    """Trains a generator on the films below `data` and leaves a `Run` in `out`.

    Args:
        config: The settings.
        data: Folder of films, any layout `index_films` reads.
        out: Folder of the run.
        overwrite: Replace an older run in `out`.
        strategy: How several devices work together; by default what `choose_strategy` finds.

    Raises:
        UserError: for a mistake in the arguments or the data.
        DivergedError: if the losses are no longer finite; the last good state is kept.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
    """
    data, out = Path(data), Path(out)
    if out.resolve().is_relative_to(data.resolve()):
        raise UserError(
            "The run must not lie in the data folder, where its samples would be read as films. "
            f"Received: {out} in {data}"
        )
    strategy = strategy or choose_strategy()
    _check_strategy(config, strategy)
    if is_chief(strategy):
        Run.refuse_existing(out, overwrite)
    index = _index(config, data)
    caches = _caches(config, index)
    with _beginning(out):
        run = Run.create(out, config, overwrite) if is_chief(strategy) else Run(out, config)
    return _train(run, index, *caches, strategy, resume=False)


def resume_training(
    out: Path, data: Path | None = None, *, strategy: tf.distribute.Strategy | None = None
) -> Run:
    """Goes on with the run in `out` from its last checkpoint, with the settings it began with.

    Args:
        out: Folder of the run.
        data: Where the films are now, if they were moved.
        strategy: How several devices work together; by default what `choose_strategy` finds.

    Raises:
        UserError: if there is no run, it is finished, or its films changed.
        DivergedError: if the losses are no longer finite; the last good state is kept.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
    """
    strategy = strategy or choose_strategy()
    run = Run.open(out)
    if run.finished:
        raise UserError(f"The run in {out} is finished; there is nothing to resume.")
    index = _index(run.config, Path(data or run.data_root()))
    films, validation = _caches(run.config, index)
    _require_same_films(run, index, films)
    _check_strategy(run.config, strategy)
    return _train(run, index, films, validation, strategy, resume=True)


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


def _index(config: TrainConfig, data: Path) -> FilmIndex:
    index = index_films(
        data, resplit=config.resplit, allow_shared_patients=config.allow_shared_patients
    )
    index.require("train")
    index.require("val")
    return index


def _caches(config: TrainConfig, index: FilmIndex) -> tuple[PairCache, PairCache]:
    """The films to train on, and those to validate on, in memory."""
    validation = index.of("val")
    validation = validation[:: -(-len(validation) // MAX_VALIDATION_FILMS)]
    return (
        _load(index.of("train"), config, "Reading train films"),
        _load(validation, config, "Reading val films"),
    )


def _train(
    run: Run,
    index: FilmIndex,
    films: PairCache,
    validation: PairCache,
    strategy: tf.distribute.Strategy,
    resume: bool,
) -> Run:
    keras.utils.set_random_seed(run.config.seed)
    if is_chief(strategy):
        now = environment(strategy, (*films.films, *validation.films), run.config.seed)
        with _beginning(run.path):
            _write_data(run, index, films, validation)
            before = run.environment() if resume else now
            write_json(run.path / "environment.json", resumed(before or now, now))
    trainer = Trainer(run, films, validation, strategy)
    with status_bar() as bar, _stop_request() as stop:
        if resume:
            trainer.restore(bar)
        trainer.train(bar, stop)
    return run


def _load(films: Sequence[Film], config: TrainConfig, description: str) -> PairCache:
    return PairCache.load(
        films, config.pair, config.fit, lambda pairs: track(pairs, description, len(films))
    )


def _write_data(run: Run, index: FilmIndex, films: PairCache, val: PairCache) -> None:
    """data.json: the films by split, and every file that was skipped, with the reason."""
    skipped = (*index.skipped, *films.skipped, *val.skipped)
    write_json(
        run.path / "data.json",
        {
            "root": str(index.root),
            "train": _names(index, films.films),
            "val": _names(index, val.films),
            "test": _names(index, index.of("test")),
            "skipped": [{"path": str(each.path), "reason": each.reason} for each in skipped],
        },
    )


def _names(index: FilmIndex, films: Sequence[Film]) -> list[str]:
    return [str(film.path.relative_to(index.root)) for film in films]


def _require_same_films(run: Run, index: FilmIndex, cache: PairCache) -> None:
    """A run resumed on other films would silently draw other batches."""
    before, now = set(run.data()["train"]), set(_names(index, cache.films))
    if before != now:
        raise UserError(
            f"The films under {index.root} changed since the run in {run.path} began: "
            f"{len(now - before)} are new, {len(before - now)} are gone. Restore them, or start "
            "a new run."
        )


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
