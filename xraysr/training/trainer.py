"""`Trainer`: the loop of one run, the same for every strategy, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from xraysr.data.batches import training_batches
from xraysr.data.pipeline import PairCache
from xraysr.degradation import Degradation, Mixture
from xraysr.errors import UserError
from xraysr.training.build import initialise
from xraysr.training.callbacks import Callback
from xraysr.training.checkpoints import unwritable
from xraysr.training.config import TrainConfig
from xraysr.training.devices import is_chief, pipelines
from xraysr.training.srgan import SRGAN
from xraysr.training.validation import Validation, Validator, flattened

LOGS_PER_VALIDATION = 10


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; everything up to its last step is saved."""


class DivergedError(UserError):
    """Losses, weights or SR are no longer finite; the last good checkpoint is kept."""


class Trainer:
    """The loop: steps, learning rate, phases, validation. All else is done by its callbacks.

    Callbacks get the trainer itself and may read everything here. Of several workers all train
    and validate; only the first one `writes`.

    Args:
        config: How to train.
        srgan: The networks, compiled; made in the scope of `strategy`.
        films: Films to train on, for each pair.
        validation: Films to validate on, whole, for each pair.
        strategy: How the devices work together.
        callbacks: Called in this order.
        say: Prints a line for people.
        drawn: Makes LR of every crop anew; None takes it from `films`.

    Attributes:
        step: Optimizer steps taken.
        seconds: Time spent in them.
        switched: Progress at which the adversarial phase began; None before that.
        learning_rate: Of the last step.
        scores: Validation PSNR in dB by step.
        record: The last line for metrics.jsonl: mean losses, or scores of a validation.
        validation: What the last validation found, with a picture.
        saved: Step of the last checkpoint; None where there is none.
    """

    def __init__(
        self,
        config: TrainConfig,
        srgan: SRGAN,
        films: Sequence[PairCache],
        validation: Sequence[PairCache],
        strategy: tf.distribute.Strategy,
        callbacks: Sequence[Callback] = (),
        say: Callable[[str], None] = print,
        drawn: Degradation | Mixture | None = None,
    ) -> None:
        self.config = config
        self.srgan = srgan
        self.films = films
        self.validator = Validator(validation, srgan.averaged)
        self.strategy = strategy
        self.callbacks = callbacks
        self.say = say
        self.drawn = drawn
        self.writes = is_chief(strategy)
        self.step = 0
        self.seconds = 0.0
        self.switched: float | None = None
        self.learning_rate = 0.0
        self.scores: dict[int, float] = {}
        self.record: dict[str, Any] = {}
        self.validation: Validation | None = None
        self.saved: int | None = None
        self._stop_reason: str | None = None
        self._recorded = 0, 0.0  # step and seconds of the last record of losses

    def train(self) -> None:
        """Runs to the end.

        Raises:
            Interrupted: after a stop.
            DivergedError: if losses, weights or SR are no longer finite.
            UserError: if a callback cannot write.
        """
        self._recorded = self.step, self.seconds
        self.srgan.phase = self.phase
        self._tell("on_start")
        if not self.scores:  # nothing was restored
            self._initialise()
            self._validate()
        batches, train_step = self._batches(), self._compiled_step()
        log_every = max(1, self.config.validate_every // LOGS_PER_VALIDATION)
        while self.progress < 1.0:
            if self.phase == "content" and self._adversarial_is_due():
                self._begin_adversarial()
                train_step = self._compiled_step()
            self._set_learning_rate()
            started = time.perf_counter()
            train_step(next(batches))
            self.seconds += time.perf_counter() - started
            self.step += 1
            self._tell("on_step")
            if self.step % log_every == 0:
                self._log()
            if self.step % self.config.validate_every == 0 and self.progress < 1.0:
                self._validate()
            if reason := self._reason_to_stop(ask_others=self.step % log_every == 0):
                self._tell("on_stop")
                raise Interrupted(f"{reason}: stopped at step {self.step}; all of it is saved.")
        if self.step not in self.scores:
            self._validate()
        self._tell("on_end")

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        return self.config.progress(self.step, self.seconds)

    @property
    def phase(self) -> str:
        """`content` or `adversarial`."""
        return "content" if self.switched is None else "adversarial"

    def stop(self, reason: str) -> None:
        """Asks the run to save and end after this step."""
        self._stop_reason = self._stop_reason or reason

    def diverged(self, what: str) -> DivergedError:
        """The error to raise when `what` is no longer finite."""
        saved = (
            f"The last good checkpoint is that of step {self.saved}."
            if self.saved is not None
            else "No state was saved yet."
        )
        rate = "learning_rate" if self.phase == "content" else "adversarial_learning_rate"
        return DivergedError(
            f"{what} no longer finite at step {self.step}. {saved} Train again with a lower "
            f"{rate}, or with clip_norm=1."
        )

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            try:
                getattr(callback, event)(self)
            except (OSError, tf.errors.OpError) as error:
                if not callback.files:
                    raise
                raise unwritable(callback.files, error, self.saved) from error

    def get_state(self) -> dict[str, Any]:
        """Everything a checkpoint must hold besides the networks, as plain types."""
        losses = [
            [float(tf.convert_to_tensor(each)) for each in (tracker.total, tracker.count)]
            for tracker in self.srgan.trackers.values()
        ]
        return {
            "step": self.step,
            "seconds": self.seconds,
            "switched": self.switched,
            "scores": list(self.scores.items()),
            "losses": losses,  # summed since the last record
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where `get_state` was called."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.switched, self.scores = state["switched"], dict(map(tuple, state["scores"]))
        for tracker, (total, count) in zip(
            self.srgan.trackers.values(), state["losses"], strict=True
        ):
            tracker.total.assign(total)
            tracker.count.assign(count)

    def _initialise(self) -> None:
        if self.config.init is not None:
            initialise(self.srgan.generator, self.config.init)
            self.srgan.averaged.set_weights(self.srgan.generator.get_weights())

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
                first_step=self.step,
                pipeline=pipeline,
                replicas=replicas,
                drawn=self.drawn,
            )

        return iter(self.strategy.distribute_datasets_from_function(make))

    def _compiled_step(self):
        """`train_step` of the present phase on every replica, as one graph."""

        @tf.function(autograph=False)
        def step(batch):
            self.strategy.run(self.srgan.train_step, args=(batch,))

        return step

    def _adversarial_is_due(self) -> bool:
        planned = self.config.planned_switch
        if not self.config.is_adversarial:
            return False
        if planned is None:
            return flattened(list(self.scores.values()))
        return self.progress >= planned

    def _begin_adversarial(self) -> None:
        self._tell("on_phase")
        self.switched = self.progress
        self.srgan.phase = self.phase
        self.srgan.reset_metrics()

    def _set_learning_rate(self) -> None:
        self.learning_rate = self.config.learning_rate_at(self.progress, self.switched)
        self.srgan.optimizer.learning_rate.assign(self.learning_rate)
        if self.phase == "adversarial":
            self.srgan.discriminator_optimizer.learning_rate.assign(self.learning_rate)

    def _log(self) -> None:
        """Makes a record of mean losses and speed since the last one."""
        losses = {
            name: float(tracker.result())
            for name, tracker in self.srgan.trackers.items()
            if float(tf.convert_to_tensor(tracker.count))
        }
        self.srgan.reset_metrics()
        needed = {"content"} if self.phase == "content" else {"content", "discriminator"}
        if not needed <= set(losses):  # all steps since the last record were skipped
            raise self.diverged("The loss is")
        steps, seconds = self.step - self._recorded[0], self.seconds - self._recorded[1]
        self._recorded = self.step, self.seconds
        self.record = {
            "step": self.step,
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            **losses,
            "learning_rate": self.learning_rate,
            "images_per_second": round(steps * self.config.batch / max(seconds, 1e-9), 1),
        }
        self._tell("on_log")

    def _validate(self) -> None:
        """Scores the averaged generator."""
        self.validation = self.validator.run()
        if not math.isfinite(self.validation.psnr):
            raise self.diverged("What the generator makes of the validation films is")
        self.scores[self.step] = self.validation.psnr
        self.record = {
            "step": self.step,
            "val_psnr": self.validation.psnr,
            "drift": self.validation.drift,
        }
        if self.step == 0:
            self.record["lanczos_psnr"] = self.validator.lanczos()
        self._tell("on_validation")

    def _reason_to_stop(self, ask_others: bool) -> str | None:
        """Why to end here, if so. Several workers end together, if any of them was asked to."""
        if pipelines(self.strategy)[1] == 1:
            return self._stop_reason
        if not ask_others:
            return None
        asked = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(1.0 if self._stop_reason else 0.0)
        )
        if not float(self.strategy.reduce(tf.distribute.ReduceOp.SUM, asked, axis=None)):
            return None
        return self._stop_reason or "Another worker was asked to stop"
