"""`train`: from a folder of films to a trained generator."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf
from threadpoolctl import threadpool_limits

from xraysr.data.remote import is_remote
from xraysr.degradation import LANCZOS, Degradation, Degrade, Mixture, named
from xraysr.errors import UserError
from xraysr.files import write_json
from xraysr.progress import StatusBar, status_bar
from xraysr.training.build import OwnParts, build_srgan
from xraysr.training.callbacks import (
    Callback,
    Generators,
    Metrics,
    ProgressLines,
    Samples,
    TensorBoard,
)
from xraysr.training.checkpoints import Checkpointing
from xraysr.training.config import TrainConfig
from xraysr.training.devices import choose_strategy, is_chief, pipelines
from xraysr.training.diagnostics import Diagnostics
from xraysr.training.environment import environment, resumed
from xraysr.training.films import RunFilms, used_films
from xraysr.training.losses import ContentLoss
from xraysr.training.run import Run
from xraysr.training.srgan import SRGAN
from xraysr.training.trainer import Trainer

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Films are read and degraded many at once; BLAS threads for each would fight TensorFlow's.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


@one_blas_thread
def train(
    config: TrainConfig,
    data: str | Path,
    out: str | Path,
    *,
    generator: keras.Model | None = None,
    discriminator: keras.Model | None = None,
    content_loss: ContentLoss | None = None,
    degradation: Degrade | None = None,
    callbacks: Sequence[Callback] = (),
    overwrite: bool = False,
    strategy: tf.distribute.Strategy | None = None,
    cache: str | Path | None = None,
) -> Run:
    """Trains a generator on the films below `data` and leaves a `Run` in `out`.

    Args:
        config: The settings. Own parts take the place of what it names.
        data: Folder of films, any layout `index_films` reads; or an address on object storage.
        out: Folder of the run; several workers share it.
        generator: A Keras model of your own that maps LR (batch, height, width, 1), float32 in
            [0, 1], of any size to SR, `scale` times as large. It is trained in place; with
            several devices, make it in `strategy.scope()`.
        discriminator: A Keras model of your own that maps HR-sized images to logits.
        content_loss: A function of (sr, hr) that returns one number.
        degradation: A function of (hr, lr_size), hr float32 (height, width) in [0, 1], that
            returns LR of that size, such as an `xraysr.Degradation`, whose ranges are drawn
            anew for every crop. By default the one that `config` names.
        callbacks: Told what happens in the run, after those of xraysr.
        overwrite: Replace an older run in `out`; only files that a run writes are removed.
        strategy: How several devices work together; by default what `choose_strategy` finds.
        cache: Folder that keeps decoded films on disk, for sets larger than memory; by default
            they are kept in memory.

    Raises:
        UserError: for a mistake in the arguments or the data.
        DivergedError: if the losses are no longer finite; the last good state is kept.
        Interrupted: on Ctrl-C or SIGTERM, after saving.

    Example:
        >>> xraysr.train(TrainConfig("64:256", minutes=30), "films", "run")
    """
    out, cache = Path(out), Path(cache) if cache is not None else None
    own = OwnParts(generator, discriminator, content_loss, degradation)
    _require_apart(data, out)
    strategy = strategy or choose_strategy()
    _check_strategy(config, strategy)
    if is_chief(strategy):
        Run.refuse_existing(out, overwrite, cache)
    srgan = _networks(config, own, strategy)
    made = _degradation(config, degradation)
    films = RunFilms.load(config, data, cache, pipelines(strategy), made)
    with _beginning(out):
        run = (
            Run.create(out, config, own.describe())
            if is_chief(strategy)
            else Run(out, config, own.describe())
        )
    return _train(run, films, strategy, srgan, callbacks, made, resume=False)


@one_blas_thread
def resume_training(
    out: str | Path,
    data: str | Path | None = None,
    *,
    generator: keras.Model | None = None,
    discriminator: keras.Model | None = None,
    content_loss: ContentLoss | None = None,
    degradation: Degrade | None = None,
    callbacks: Sequence[Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    cache: str | Path | None = None,
) -> Run:
    """Goes on with the run in `out` from its last checkpoint, with the settings it began with.

    Args:
        out: Folder of the run.
        data: Where the films are now, if they were moved.
        generator: The own parts that the run was begun with, as in `train`.
        discriminator: The same.
        content_loss: The same.
        degradation: The same.
        callbacks: As in `train`.
        strategy: How several devices work together; by default what `choose_strategy` finds.
        cache: Folder that keeps decoded films on disk.

    Raises:
        UserError: if there is no run, it is finished, its films changed, or own parts are missing.
        DivergedError: if the losses are no longer finite; the last good state is kept.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
    """
    own = OwnParts(generator, discriminator, content_loss, degradation)
    run, cache = Run.open(Path(out)), Path(cache) if cache is not None else None
    if run.finished:
        raise UserError(f"The run in {out} is finished; there is nothing to resume.")
    if own.describe() != run.own_parts:
        raise UserError(
            f"The run in {out} goes on with the parts it was begun with. Expected: "
            f"{_listed(run.own_parts)}. Received: {_listed(own.describe())}"
        )
    strategy = strategy or choose_strategy()
    _check_strategy(run.config, strategy)
    srgan = _networks(run.config, own, strategy)
    made = _degradation(run.config, degradation)
    films = RunFilms.load(run.config, data or run.data_root(), cache, pipelines(strategy), made)
    films.require_same(run.data())
    return _train(run, films, strategy, srgan, callbacks, made, resume=True)


def _degradation(config: TrainConfig, own: Degrade | None) -> Degrade | None:
    """What makes LR: the user's own, or the named one; None for Lanczos alone."""
    chosen = named(config.degradation)
    return own or (None if chosen is LANCZOS else chosen)


def _listed(parts: dict[str, str]) -> str:
    return ", ".join(f"{name}={part}" for name, part in parts.items()) or "none of your own"


def _require_apart(data: str | Path, out: Path) -> None:
    """Refuses a run whose samples would be read as films, or that would replace the films."""
    if is_remote(data):
        return
    films, run = Path(data).resolve(), out.resolve()
    if run.is_relative_to(films) or films.is_relative_to(run):
        raise UserError(
            f"data and out must lie in different folders, neither inside the other. Received: "
            f"data={data}, out={out}"
        )


def _check_strategy(config: TrainConfig, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if config.batch % replicas:
        raise UserError(
            f"batch must be a multiple of the number of devices, {replicas}. "
            f"Received: batch={config.batch}"
        )
    if config.minutes is not None and pipelines(strategy)[1] > 1:
        raise UserError(
            "Several workers count in steps, because their clocks differ. "
            f"Received: minutes={config.minutes}"
        )


def _networks(config: TrainConfig, own: OwnParts, strategy: tf.distribute.Strategy) -> SRGAN:
    """Made before films are decoded, so that a mistake in them costs no time."""
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        return build_srgan(config, own)


def _train(
    run: Run,
    films: RunFilms,
    strategy: tf.distribute.Strategy,
    srgan: SRGAN,
    callbacks: Sequence[Callback],
    degradation: Degrade | None,
    resume: bool,
) -> Run:
    if is_chief(strategy):
        used = used_films((*films.train, *films.val))
        now = environment(strategy, used, run.config.seed)
        with _beginning(run.path):
            write_json(run.path / "data.json", films.to_json())
            before = run.environment() if resume else now
            write_json(run.path / "environment.json", resumed(before or now, now))
    with status_bar() as bar:
        for line in films.remarks() if is_chief(strategy) else ():
            bar.line(line)
        drawn = degradation if isinstance(degradation, Degradation | Mixture) else None
        trainer = Trainer(
            run.config, srgan, films.train, films.val, strategy, say=bar.line, drawn=drawn
        )
        checkpointing = Checkpointing(run.path / "checkpoints", trainer)
        if resume:
            checkpointing.restore(trainer)
        # Checkpoints come last: what was saved was also recorded.
        trainer.callbacks = [
            *_callbacks(run, films, bar, trainer.writes),
            *callbacks,
            checkpointing,
        ]
        with _stop_on_signals(trainer):
            trainer.train()
    return run


def _callbacks(run: Run, films: RunFilms, bar: StatusBar, writes: bool) -> list[Callback]:
    """What every run does, on the worker that writes and on the others."""
    shown: list[Callback] = [ProgressLines(bar), Diagnostics(run)]
    if not writes:
        return shown
    used = used_films(films.train)
    facts = {
        "pairs": list(map(str, run.config.pairs)),
        "films": len(used),
        "patients": len({film.patient for film in used}),
        "batch": run.config.batch,
        "seed": run.config.seed,
        "precision": run.config.precision,
        **({"own_parts": run.own_parts} if run.own_parts else {}),
    }
    generators = Generators(run, facts, films.degradation)
    return [*shown, Metrics(run), Samples(run), TensorBoard(run), generators]


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
def _stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM end the loop between two steps; the second one ends it at once."""
    received: list[int] = []

    def handler(number, frame):
        if received:
            raise KeyboardInterrupt
        received.append(number)
        trainer.stop(signal.Signals(number).name)

    try:
        before = {each: signal.signal(each, handler) for each in STOP_SIGNALS}
    except ValueError:  # not in the main thread: the caller keeps its own handling
        yield
        return
    try:
        yield
    finally:
        for each, previous in before.items():
            signal.signal(each, previous)
