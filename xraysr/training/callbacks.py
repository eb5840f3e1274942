"""Callbacks: what a run does besides training. Users add theirs to those of xraysr."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xraysr import plots
from xraysr.io import Radiograph, write
from xraysr.models.open import save_generator
from xraysr.progress import StatusBar
from xraysr.training.config import PLATEAU
from xraysr.training.run import Run

if TYPE_CHECKING:
    from xraysr.training.trainer import Trainer

CURVES = {
    "content": "loss", "adversarial": "loss", "feature": "loss", "discriminator": "loss",
    "val_psnr": "validation", "drift": "validation",
}  # fmt: skip


class Callback:
    """Is told what happens in a run. Override what you need; each method does nothing.

    The trainer that is passed tells `step`, `phase`, `progress`, `scores`, the last `record` and
    `validation`, and `srgan` with its networks; `say` prints a line, and `stop` ends the run
    after the present step, saved. Several workers all call their callbacks; write only where
    `state.writes` is true.

    Example:
        >>> class GoodEnough(Callback):
        ...     def on_validation(self, state):
        ...         if state.validation.psnr > 40:
        ...             state.stop("40 dB")
        >>> train(config, films, out, callbacks=[GoodEnough()])
    """

    files = ""  # what it writes: named where the disk is full

    def on_start(self, state: Trainer) -> None:
        """Before the first step, or the first one after a stop."""

    def on_step(self, state: Trainer) -> None:
        """After each optimizer step."""

    def on_log(self, state: Trainer) -> None:
        """Ten times between validations: `state.record` holds mean losses."""

    def on_validation(self, state: Trainer) -> None:
        """`state.validation` is new; `state.record` holds its scores. A checkpoint follows."""

    def on_phase(self, state: Trainer) -> None:
        """The content phase is over; the adversarial phase begins."""

    def on_stop(self, state: Trainer) -> None:
        """The run was asked to stop; it can be resumed."""

    def on_end(self, state: Trainer) -> None:
        """The run came to its end."""


class ProgressLines(Callback):
    """Shows losses on a bar, scores and phases as lines."""

    def __init__(self, bar: StatusBar) -> None:
        self.bar = bar

    def on_log(self, state: Trainer) -> None:
        record = state.record
        losses = " ".join(
            f"{name} {record[name]:.4f}" for name in state.srgan.trackers if record.get(name)
        )
        score = list(state.scores.values())[-1]
        self.bar.update(
            state.progress,
            f"{state.phase} step {state.step}: {losses}, val {score:.2f} dB, "
            f"{record['images_per_second']:.0f} images/s",
        )

    def on_validation(self, state: Trainer) -> None:
        if "lanczos_psnr" in state.record:
            state.say(f"Lanczos: val PSNR {state.record['lanczos_psnr']:.3f} dB")
        state.say(f"step {state.step}: val PSNR {state.record['val_psnr']:.3f} dB")

    def on_phase(self, state: Trainer) -> None:
        state.say(f"step {state.step}: the adversarial phase begins")

    def on_end(self, state: Trainer) -> None:
        if state.phase == "content" and state.config.adversarial_from == PLATEAU:
            state.say("The validation PSNR rose to the end: there was no adversarial phase.")


class Metrics(Callback):
    """Writes metrics.jsonl; what lies behind the step a run resumes at is dropped."""

    files = "metrics.jsonl"

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_start(self, state: Trainer) -> None:
        self.run.forget_after(state.step if state.scores else -1)

    def on_log(self, state: Trainer) -> None:
        self.run.record(state.record)

    on_validation = on_log


class Samples(Callback):
    """Draws LR, SR and HR of a validation film, and the curves of the run."""

    files = "The sample image or the history plot"

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_validation(self, state: Trainer) -> None:
        assert state.validation is not None
        write(self.run.sample(state.step), Radiograph(state.validation.sample), overwrite=True)
        plots.history(self.run.history, self.run.records())


class TensorBoard(Callback):
    """Every number and picture of a run for TensorBoard: `tensorboard --logdir RUNS`."""

    files = "The curves for TensorBoard"

    def __init__(self, run: Run) -> None:
        self.run = run
        self.writer: Any = None

    def on_start(self, state: Trainer) -> None:
        if find_spec("tensorboard") is None:
            state.say("TensorBoard is not installed: there will be no curves for it.")
            return
        self.writer = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))

    def on_log(self, state: Trainer) -> None:
        if self.writer is None:
            return
        with self.writer.as_default(step=state.step):
            for name, value in state.record.items():
                if isinstance(value, float):
                    tf.summary.scalar(f"{CURVES.get(name, 'training')}/{name}", value)
        self.writer.flush()

    def on_validation(self, state: Trainer) -> None:
        if self.writer is None:
            return
        self.on_log(state)
        with self.writer.as_default(step=state.step):
            for name, path in (
                ("LR, SR, HR", self.run.sample(state.step)),
                ("losses and validation", self.run.history),
            ):
                tf.summary.image(name, tf.io.decode_png(path.read_bytes())[None])
        self.writer.flush()


class Generators(Callback):
    """Saves the averaged generator, with its card, after each phase.

    Args:
        run: Where they go.
        facts: What the card says of the training, besides what the trainer knows.
        degradation: How LR was made.
    """

    files = "The generator"

    def __init__(self, run: Run, facts: dict[str, Any], degradation: str) -> None:
        self.run = run
        self.facts = facts
        self.degradation = degradation

    def on_phase(self, state: Trainer) -> None:
        self._save(self.run.content_generator, state)

    def on_end(self, state: Trainer) -> None:
        self._save(self.run.generator, state)

    def _save(self, path: Path, state: Trainer) -> None:
        self.files = path.name
        facts = {
            "steps": state.step,
            "minutes": round(state.seconds / 60, 2),
            "phase": state.phase,
            **self.facts,
        }
        save_generator(state.srgan.averaged, path, facts, self.degradation)
