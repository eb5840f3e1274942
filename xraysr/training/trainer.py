"""`Trainer`: the loop of one run, the same for every strategy, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import tensorflow as tf

from xraysr import plots
from xraysr.data.batches import training_batches
from xraysr.data.pipeline import PairCache
from xraysr.io import Radiograph, write
from xraysr.models.open import save_generator
from xraysr.progress import StatusBar
from xraysr.training.build import build_srgan
from xraysr.training.checkpoints import Checkpoints
from xraysr.training.config import PLATEAU
from xraysr.training.devices import is_chief, pipelines
from xraysr.training.diagnostics import Diagnostics, DivergedError
from xraysr.training.films import used_films
from xraysr.training.initial import initialise
from xraysr.training.run import Run
from xraysr.training.tensorboard import TensorBoard
from xraysr.training.validation import Validator, flattened

LOGS_PER_VALIDATION = 10
NOT_YET = -1.0


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; everything up to its last step is saved."""


class Trainer:
    """Steps, learning rate, validation, samples and checkpoints of one run.

    Of several workers all train and validate; the first one writes.

    Args:
        run: Where results go; its config says how to train.
        films: Films to train on, for each pair.
        validation: Films to validate on, whole, for each pair.
        strategy: How the devices work together.
    """

    def __init__(
        self,
        run: Run,
        films: Sequence[PairCache],
        validation: Sequence[PairCache],
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
        self.unlogged = tf.Variable(tf.zeros([len(self.srgan.trackers), 2]))
        own = {
            "step": self.step,
            "seconds": self.seconds,
            "switched": self.switched,
            "unlogged": self.unlogged,
        }
        self.networks = self.srgan.checkpoint_parts()
        self.checkpoints = Checkpoints(
            run.path / "checkpoints", {**self.networks, **own}, self.writes
        )
        self.validator = Validator(validation, self.srgan.averaged)
        self.scores: dict[int, float] = {}
        self.watch = Diagnostics()
        self.board = TensorBoard(run.path / "tensorboard") if self.writes else None

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
        for tracker, (total, count) in zip(
            self.srgan.trackers.values(), self.unlogged.numpy(), strict=True
        ):
            tracker.total.assign(total)
            tracker.count.assign(count)
        reached = int(self.step) if self.checkpoints.paths() else -1
        if self.writes:
            with self.checkpoints.writing("metrics.jsonl"):
                self.run.forget_after(reached)
        for record in self.run.records():
            if record["step"] <= reached:
                self._remember(record)

    def train(self, bar: StatusBar, stop: Sequence[str]) -> None:
        """Runs to the end.

        Args:
            bar: Shows how far it is.
            stop: Once it holds a reason, the run saves and ends.

        Raises:
            Interrupted: after a stop.
            DivergedError: if losses, weights or validation are no longer finite.
            UserError: if the run's folder cannot be written.
        """
        config = self.config
        batches = self._batches()
        log_every = max(1, config.validate_every // LOGS_PER_VALIDATION)
        if not self.scores:
            if config.init is not None:
                initialise(self.srgan.generator, config.init)
                self.srgan.averaged.set_weights(self.srgan.generator.get_weights())
            self._validate(bar)
            self._save()
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
                self._save()
            if self._asked_to_stop(stop, step % log_every == 0):
                self._save()
                reason = stop[0] if stop else "Another worker was asked to stop"
                raise Interrupted(f"{reason}: stopped at step {step}; all of it is saved.")
        if int(self.step) not in self.scores:
            self._validate(bar)
        if self.phase == "content" and self.config.adversarial_from == PLATEAU:
            bar.line("The validation PSNR rose to the end: there was no adversarial phase.")
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

    def _asked_to_stop(self, stop: Sequence[str], ask_others: bool) -> bool:
        """Whether to end here. Several workers end together, if any of them was asked to."""
        if pipelines(self.strategy)[1] == 1:
            return bool(stop)
        if not ask_others:
            return False
        asked = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(1.0 if stop else 0.0)
        )
        return float(self.strategy.reduce(tf.distribute.ReduceOp.SUM, asked, axis=None)) > 0

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
            return flattened(list(self.scores.values()))
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
        needed = {"content"} if self.phase == "content" else {"content", "discriminator"}
        if not needed <= set(losses):  # all steps since the last record were passed over
            self._stop_diverged("The loss is")
        speed = (step - logged[0]) * self.config.batch / max(seconds - logged[1], 1e-9)
        record = {
            "step": step,
            "phase": self.phase,
            "seconds": round(seconds, 1),
            **losses,
            "learning_rate": rate,
            "images_per_second": round(speed, 1),
        }
        self._record(record, bar)
        score = list(self.scores.values())[-1]
        shown = " ".join(f"{name} {value:.4f}" for name, value in losses.items() if value)
        bar.update(
            self.progress,
            f"{self.phase} step {step}: {shown}, val {score:.2f} dB, {speed:.0f} images/s",
        )

    def _stop_diverged(self, what: str) -> NoReturn:
        step = int(self.step)
        self.checkpoints.restore()
        saved = (
            f"The last good state is that of step {int(self.step)}, in {self.checkpoints.folder}."
            if self.checkpoints.paths()
            else "No state was saved yet."
        )
        rate = "--learning-rate"
        if self.srgan.phase == "adversarial":
            rate = "--adversarial-learning-rate"
        raise DivergedError(
            f"{what} no longer finite at step {step}. {saved} Train anew with a lower {rate}, or "
            "with --clip-norm 1."
        )

    def _save(self) -> None:
        """Saves a checkpoint, which holds nothing that is not finite."""
        variables = [variable for part in self.networks.values() for variable in part]
        if not all(_is_finite(variable) for variable in variables):
            self._stop_diverged("The weights are")
        self.unlogged.assign(
            [
                [tf.convert_to_tensor(tracker.total), tf.convert_to_tensor(tracker.count)]
                for tracker in self.srgan.trackers.values()
            ]
        )
        self.checkpoints.save(int(self.step))

    def _validate(self, bar: StatusBar) -> None:
        """Scores the averaged generator; renews the history plot and the sample image."""
        step = int(self.step)
        result = self.validator.run()
        if not math.isfinite(result.psnr):
            self._stop_diverged("What the generator makes of the validation films is")
        record = {"step": step, "val_psnr": result.psnr, "drift": result.drift}
        if step == 0:
            record["lanczos_psnr"] = self.validator.lanczos()
            bar.line(f"Lanczos: val PSNR {record['lanczos_psnr']:.3f} dB")
        bar.line(f"step {step}: val PSNR {result.psnr:.3f} dB")
        self._record(record, bar)
        if self.board is not None:
            with self.checkpoints.writing("The sample image or the history plot"):
                write(self.run.sample(step), Radiograph(result.sample), overwrite=True)
                plots.history(self.run.history, self.run.records())
                self.board.image(step, "LR, SR, HR", self.run.sample(step))
                self.board.image(step, "losses and validation", self.run.history)

    def _record(self, entry: dict, bar: StatusBar) -> None:
        """Writes `entry` down and says what is wrong with it."""
        for warning in self._remember(entry):
            bar.line(f"step {entry['step']}: {warning}")
        if self.board is not None:
            with self.checkpoints.writing("metrics.jsonl"):
                self.run.record(entry)
                self.board.scalars(entry)

    def _remember(self, entry: dict) -> list[str]:
        """Takes a record into account; returns warnings that it gives rise to."""
        if "val_psnr" not in entry:
            return self.watch.losses(entry)
        self.scores[entry["step"]] = entry["val_psnr"]
        return self.watch.validation(entry["drift"])

    def _save_generator(self, path: Path) -> None:
        if self.writes:
            with self.checkpoints.writing(path.name):
                save_generator(self.srgan.averaged, path, self._training_facts())

    def _training_facts(self) -> dict[str, object]:
        """What the model's card says of its training."""
        films = used_films(self.films)
        return {
            "pairs": list(map(str, self.config.pairs)),
            "films": len(films),
            "patients": len({film.patient for film in films}),
            "steps": int(self.step),
            "minutes": round(float(self.seconds) / 60, 2),
            "batch": self.config.batch,
            "seed": self.config.seed,
            "phase": self.phase,
            "precision": self.config.precision,
        }


def _is_finite(variable: tf.Variable) -> bool:
    return not variable.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(variable)))
