"""`Trainer`: the loop of one run, the same for every strategy, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import tensorflow as tf

from xraysr import plots
from xraysr.data.pipeline import PairCache, training_batches
from xraysr.io import Radiograph, write
from xraysr.models.storage import save_generator
from xraysr.progress import StatusBar
from xraysr.training.board import Board
from xraysr.training.build import build_srgan
from xraysr.training.checkpoints import Checkpoints
from xraysr.training.devices import is_chief, pipelines
from xraysr.training.run import Run
from xraysr.training.validation import Validator, flattened
from xraysr.training.watch import DivergedError, Watch

LOGS_PER_VALIDATION = 10
NOT_YET = -1.0


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; everything up to its last step is saved."""


class Trainer:
    """Steps, learning rate, validation, samples and checkpoints of one run.

    Of several workers all train and validate; the first one writes.

    Args:
        run: Where results go; its config says how to train.
        films: Films to train on.
        validation: Films to validate on, whole.
        strategy: How the devices work together.
    """

    def __init__(
        self,
        run: Run,
        films: PairCache,
        validation: PairCache,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.run = run
        self.config = run.config
        self.films = films
        self.strategy = strategy
        self.writes = is_chief(strategy)
        with strategy.scope():
            self.srgan = build_srgan(self.config)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)
        self.switched = tf.Variable(NOT_YET, dtype=tf.float64)
        own = {"step": self.step, "seconds": self.seconds, "switched": self.switched}
        self.checkpoints = Checkpoints(
            run.path / "checkpoints", {**self.srgan.checkpoint_parts(), **own}, self.writes
        )
        self.validator = Validator(validation, self.srgan.averaged)
        self.watch = Watch()
        self.board = Board(run.path / "tensorboard") if self.writes else None

    @property
    def progress(self) -> float:
        """How much of the run is behind, 0 to 1."""
        return self.config.progress(int(self.step), float(self.seconds))

    @property
    def phase(self) -> str:
        """`content` or `adversarial`."""
        return "content" if float(self.switched) == NOT_YET else "adversarial"

    def restore(self, bar: StatusBar) -> None:
        """Goes back to the newest checkpoint that is whole; without one, to the beginning."""
        for damage in self.checkpoints.restore():
            bar.line(f"{damage}. The one before it is taken.")
        if self.writes:
            self.run.forget_after(int(self.step))

    def train(self, bar: StatusBar, stop: Sequence[str]) -> None:
        """Runs to the end.

        Args:
            bar: Shows how far it is.
            stop: Once it holds a reason, the run saves and ends.

        Raises:
            Interrupted: after a stop.
            DivergedError: if the losses are no longer finite.
            UserError: if a checkpoint cannot be written.
        """
        config = self.config
        batches = self._batches()
        log_every = max(1, config.validate_every // LOGS_PER_VALIDATION)
        if int(self.step) == 0:
            self._validate(bar)
        self.srgan.phase = self.phase
        train_step = self._compiled_step()
        logged = int(self.step), float(self.seconds)
        while self.progress < 1.0:
            if self.phase == "content" and self._adversarial_is_due():
                self._begin_adversarial(bar)
                train_step = self._compiled_step()
            rate = self._set_learning_rate()
            started = time.perf_counter()
            train_step(next(batches))
            self.seconds.assign_add(time.perf_counter() - started)
            step = int(self.step.assign_add(1))
            if step % log_every == 0:
                self._log(bar, rate, logged)
                logged = step, float(self.seconds)
            if step % config.validate_every == 0 and self.progress < 1.0:
                self._validate(bar)
                self.checkpoints.save(step)
            if stop:
                self.checkpoints.save(step)
                raise Interrupted(f"{stop[0]}: stopped at step {step}; all of it is saved.")
        self._validate(bar)
        self._save_generator(self.run.generator)

    def _batches(self) -> Iterator:
        """Batches from where the run is, dealt out to the devices."""
        pipeline = pipelines(self.strategy)
        replicas = self.strategy.num_replicas_in_sync // pipeline[1]

        def make(_) -> tf.data.Dataset:
            return training_batches(
                self.films,
                batch=self.config.batch,
                crop=self.config.crop,
                flips=self.config.flips,
                seed=self.config.seed,
                first_step=int(self.step),
                pipeline=pipeline,
                replicas=replicas,
            )

        return iter(self.strategy.distribute_datasets_from_function(make))

    def _compiled_step(self):
        """`train_step` of the present phase on every replica, as one graph."""

        @tf.function
        def step(batch):
            self.strategy.run(self.srgan.train_step, args=(batch,))

        return step

    def _set_learning_rate(self) -> float:
        switched = None if self.phase == "content" else float(self.switched)
        rate = self.config.learning_rate_at(self.progress, switched)
        self.srgan.optimizer.learning_rate.assign(rate)
        if self.phase == "adversarial":
            self.srgan.discriminator_optimizer.learning_rate.assign(rate)
        return rate

    def _adversarial_is_due(self) -> bool:
        if not self.config.is_adversarial:
            return False
        planned = self.config.planned_switch
        if planned is None:
            return flattened(self.run.scores())
        return self.progress >= planned

    def _begin_adversarial(self, bar: StatusBar) -> None:
        self._save_generator(self.run.content_generator)
        self.switched.assign(self.progress)
        self.srgan.phase = self.phase
        self.srgan.reset_metrics()
        bar.line(f"step {int(self.step)}: the adversarial phase begins")

    def _log(self, bar: StatusBar, rate: float, logged: tuple[int, float]) -> None:
        """Records mean losses and speed since `logged`, a step and its second."""
        step, seconds = int(self.step), float(self.seconds)
        losses = {
            name: float(tracker.result())
            for name, tracker in self.srgan.trackers.items()
            if float(tf.convert_to_tensor(tracker.count))
        }
        self.srgan.reset_metrics()
        if losses["skipped"] == 1.0 or not all(map(math.isfinite, losses.values())):
            self._stop_diverged(step)
        speed = (step - logged[0]) * self.config.batch / max(seconds - logged[1], 1e-9)
        record = {
            "step": step,
            "phase": self.phase,
            "seconds": round(seconds, 1),
            **losses,
            "learning_rate": rate,
            "images_per_second": round(speed, 1),
        }
        self._record(record)
        for warning in self.watch.losses(record):
            bar.line(f"step {step}: {warning}")
        score = (self.run.scores() or [float("nan")])[-1]
        shown = " ".join(f"{name} {value:.4f}" for name, value in losses.items() if value)
        bar.update(
            self.progress,
            f"{self.phase} step {step}: {shown}, val {score:.2f} dB, {speed:.0f} images/s",
        )

    def _stop_diverged(self, step: int) -> None:
        self.checkpoints.restore()
        raise DivergedError(
            f"The loss is no longer finite at step {step}. The last good state is that of step "
            f"{int(self.step)}, in {self.run.path / 'checkpoints'}. Train anew with a lower "
            "--learning-rate, or with --clip-norm 1."
        )

    def _validate(self, bar: StatusBar) -> None:
        """Scores the averaged generator; renews the history plot and the sample image."""
        step = int(self.step)
        result = self.validator.run()
        self._record({"step": step, "val_psnr": result.psnr, "drift": result.drift})
        if self.writes:
            write(self.run.sample(step), Radiograph(result.sample), overwrite=True)
            plots.history(self.run.path / "history.png", self.run.records())
        if self.board is not None:
            self.board.image(step, result.sample)
        name = "Lanczos (the untrained generator)" if step == 0 else f"step {step}"
        bar.line(f"{name}: val PSNR {result.psnr:.3f} dB")
        for warning in self.watch.validation(result.drift):
            bar.line(f"step {step}: {warning}")

    def _record(self, entry: dict) -> None:
        if self.board is not None:
            self.run.record(entry)
            self.board.scalars(entry)

    def _save_generator(self, path) -> None:
        if self.writes:
            save_generator(self.srgan.averaged, path, self._training_facts())

    def _training_facts(self) -> dict[str, object]:
        """What the model's card says of its training."""
        return {
            "pair": str(self.config.pair),
            "films": len(self.films),
            "patients": len({film.patient for film in self.films.films}),
            "steps": int(self.step),
            "minutes": round(float(self.seconds) / 60, 2),
            "batch": self.config.batch,
            "seed": self.config.seed,
            "phase": self.phase,
            "precision": self.config.precision,
        }
