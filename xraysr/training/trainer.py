"""`Trainer`: the loop of one run, which can be stopped and resumed at any step."""

from __future__ import annotations

import time

import keras
import numpy as np
import tensorflow as tf

from xraysr import plots
from xraysr.data.pipeline import PairCache, training_batches
from xraysr.io import Radiograph, write
from xraysr.lanczos import resize
from xraysr.models import Discriminator, Generator, PatchDiscriminator, VGG19Features
from xraysr.models.storage import save_generator
from xraysr.progress import StatusBar
from xraysr.training.config import TrainConfig
from xraysr.training.run import Run
from xraysr.training.srgan import SRGAN

LOGS_PER_VALIDATION = 10


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; everything up to its last step is saved."""


def build_srgan(config: TrainConfig) -> SRGAN:
    """The networks and optimizers that `config` describes, built and compiled."""
    generator = Generator.for_pair(
        config.pair, depth=config.depth, width=config.width, batch_norm=config.batch_norm
    )
    discriminator = None
    if config.adversarial_share:
        side = config.crop * config.pair.scale
        discriminator = (
            Discriminator((side, side)) if config.discriminator == "srgan" else PatchDiscriminator()
        )
        discriminator.build((None, side, side, 1))
    srgan = SRGAN(generator, discriminator, VGG19Features(config.vgg19) if config.vgg19 else None)
    srgan.compile(
        keras.optimizers.Adam(config.learning_rate),
        keras.optimizers.Adam(config.adversarial_learning_rate) if discriminator else None,
        content_weight=config.content_weight,
        adversarial_weight=config.adversarial_weight,
        feature_weight=config.feature_weight,
    )
    srgan.build_optimizers()
    return srgan


class Trainer:
    """The loop of one run: steps, learning rate, validation, samples and checkpoints.

    Args:
        run: Where results go; its config says how to train.
        films: Films to train on.
        validation: Films to validate on, whole.
    """

    def __init__(self, run: Run, films: PairCache, validation: PairCache) -> None:
        self.run = run
        self.config = run.config
        self.films = films
        self.validation = validation
        self.strategy = tf.distribute.get_strategy()
        with self.strategy.scope():
            self.srgan = build_srgan(self.config)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)
        parts = {**self.srgan.checkpoint_parts(), "step": self.step, "seconds": self.seconds}
        self.checkpoints = tf.train.CheckpointManager(
            tf.train.Checkpoint(**parts), str(run.path / "checkpoints"), max_to_keep=3
        )

    @property
    def progress(self) -> float:
        """How much of the run is behind, 0 to 1."""
        return self.config.progress(int(self.step), float(self.seconds))

    def restore(self) -> None:
        """Goes back to the last checkpoint; without one, to the beginning."""
        if self.checkpoints.latest_checkpoint:
            self.checkpoints.checkpoint.restore(
                self.checkpoints.latest_checkpoint
            ).assert_consumed()
        self.run.forget_after(int(self.step))

    def train(self, bar: StatusBar, stop: list[int]) -> None:
        """Runs to the end, or until `stop` is no longer empty."""
        config, run = self.config, self.run
        batches = iter(
            training_batches(
                self.films,
                batch=config.batch,
                crop=config.crop,
                flips=config.flips,
                seed=config.seed,
                first_step=int(self.step),
            )
        )
        log_every = max(1, config.validate_every // LOGS_PER_VALIDATION)
        score = self._validate(bar) if int(self.step) == 0 else self._last_score()
        train_step, phase = self._compiled_step(), "content"
        logged_step, logged_seconds = int(self.step), float(self.seconds)
        while self.progress < 1.0:
            if config.phase(self.progress) != phase:
                phase = config.phase(self.progress)
                self._begin_adversarial(bar)
                train_step = self._compiled_step()
            rate = config.learning_rate_at(self.progress)
            self.srgan.optimizer.learning_rate.assign(rate)
            if phase == "adversarial":
                self.srgan.discriminator_optimizer.learning_rate.assign(rate)
            started = time.perf_counter()
            train_step(next(batches))
            self.seconds.assign_add(time.perf_counter() - started)
            step = int(self.step.assign_add(1))
            if step % log_every == 0:
                seconds = float(self.seconds)
                speed = (step - logged_step) * config.batch / max(seconds - logged_seconds, 1e-9)
                logged_step, logged_seconds = step, seconds
                losses = self._losses()
                run.record(
                    {
                        "step": step,
                        "phase": phase,
                        "seconds": round(seconds, 1),
                        **losses,
                        "learning_rate": rate,
                        "images_per_second": round(speed, 1),
                    }
                )
                shown = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
                bar.update(
                    self.progress,
                    f"{phase} step {step}: {shown}, val {score:.2f} dB, {speed:.0f} images/s",
                )
            if step % config.validate_every == 0 and self.progress < 1.0:
                score = self._validate(bar)
                self.checkpoints.save(step)
            if stop:
                self.checkpoints.save(step)
                raise Interrupted(f"Stopped at step {step}; all of it is saved.")
        self._validate(bar)
        save_generator(self.srgan.generator, run.generator, self._training_facts())

    def _compiled_step(self):
        """`train_step` of the present phase on every replica, as one graph."""

        @tf.function
        def step(batch):
            self.strategy.run(self.srgan.train_step, args=(batch,))

        return step

    def _begin_adversarial(self, bar: StatusBar) -> None:
        if not self.run.content_generator.exists():
            save_generator(self.srgan.generator, self.run.content_generator, self._training_facts())
        self.srgan.phase = "adversarial"
        self.srgan.reset_metrics()
        bar.line(f"step {int(self.step)}: the adversarial phase begins")

    def _losses(self) -> dict[str, float]:
        """Mean losses since the last call."""
        losses = {
            name: float(tracker.result())
            for name, tracker in self.srgan.trackers.items()
            if float(tracker.count)
        }
        self.srgan.reset_metrics()
        return losses

    def _last_score(self) -> float:
        scores = [entry["val_psnr"] for entry in self.run.records() if "val_psnr" in entry]
        return scores[-1] if scores else float("nan")

    def _validate(self, bar: StatusBar) -> float:
        """PSNR on whole validation films; also renews the history plot and the sample image."""
        step = int(self.step)
        scores: list[float] = []
        for lr, hr in self.validation.frames(batch=4):
            sr = self.srgan.generator(lr).numpy()
            if not scores:
                self._write_sample(step, lr.numpy()[0], sr[0], hr.numpy()[0])
            border = slice(self.config.pair.scale, -self.config.pair.scale)
            error = (sr - hr.numpy())[:, border, border].astype(np.float64)
            scores += (-10 * np.log10(np.mean(error**2, axis=(1, 2, 3)) + 1e-12)).tolist()
        score = float(np.mean(scores))
        self.run.record({"step": step, "val_psnr": score})
        plots.history(self.run.path / "history.png", self.run.records())
        name = "Lanczos (the untrained generator)" if step == 0 else f"step {step}"
        bar.line(f"{name}: val PSNR {score:.3f} dB on {len(self.validation)} films")
        return score

    def _write_sample(self, step: int, lr: np.ndarray, sr: np.ndarray, hr: np.ndarray) -> None:
        """LR (enlarged by Lanczos), SR and HR side by side."""
        enlarged = np.clip(resize(lr[..., 0], self.config.pair.hr), 0, 1)
        row = np.concatenate([enlarged, sr[..., 0], hr[..., 0]], axis=1).astype(np.float32)
        write(self.run.sample(step), Radiograph(row), overwrite=True)

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
            "phase": self.srgan.phase,
        }
