"""Checkpoints that survive a killed process, a full disk and a damaged file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xraysr.errors import UserError
from xraysr.training.callbacks import Callback

if TYPE_CHECKING:
    from xraysr.training.trainer import Trainer

KEPT = 3
NAME = "step"


class Checkpoints:
    """The last checkpoints of a run, each written whole before an older one goes.

    Args:
        folder: Where they lie, as `step-N`.
        parts: What they hold, by name: networks, optimizers, variables.
        writes: Whether this process writes them; of several workers only the first does.
    """

    def __init__(self, folder: Path, parts: dict[str, Any], writes: bool = True) -> None:
        self.folder = folder
        self._checkpoint = tf.train.Checkpoint(**parts)
        with self._writing("The checkpoints"):
            self._manager = tf.train.CheckpointManager(
                self._checkpoint, str(folder), max_to_keep=KEPT, checkpoint_name=NAME
            )
        self._writes = writes
        self._clear_unfinished()

    def save(self, step: int) -> None:
        """Saves the state after `step` steps.

        Raises:
            UserError: if it cannot be written; the checkpoints before it are whole.
        """
        if not self._writes:
            return
        try:
            with self._writing(f"The checkpoint of step {step}"):
                self._manager.save(step)
        finally:
            self._clear_unfinished()

    def restore(self) -> list[str]:
        """Goes back to the newest checkpoint that can be read; without any, changes nothing.

        Returns:
            What was wrong with newer ones, one line each.

        Raises:
            UserError: if there are checkpoints and none of them can be read.
        """
        damaged: list[str] = []
        for path in reversed(self.paths()):
            try:
                self._checkpoint.restore(path).assert_consumed()
                return damaged
            except Exception as error:  # a damaged file makes TensorFlow raise many things
                damaged.append(f"The checkpoint {Path(path).name} is damaged: {_reason(error)}")
        if damaged:
            raise UserError(
                f"No checkpoint in {self.folder} can be read. {'. '.join(damaged)}. "
                "Put back a copy of the folder, or start again with overwrite=True."
            )
        return damaged

    def paths(self) -> list[str]:
        """The checkpoints of the folder, oldest first, as `tf.train.Checkpoint` names them.

        The manager's own list leaves out all of them once the clock was set back; a listed one
        whose files are gone is named, so that it is not skipped in silence.
        """
        found = {str(path.with_suffix("")) for path in self.folder.glob(f"{NAME}-*.index")}
        return sorted(found | set(self._manager.checkpoints), key=_step)

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Raises a `UserError` that names `what` when the block cannot write to the disk."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            written = (path.with_suffix("") for path in self.folder.glob(f"{NAME}-*.index"))
            last = max((_step(str(path)) for path in written), default=None)
            raise unwritable(what, error, last) from error

    def _clear_unfinished(self) -> None:
        """Removes what a killed process or a full disk left of a checkpoint."""
        for path in self.folder.glob("*_temp") if self._writes else ():
            shutil.rmtree(path, ignore_errors=True)


class Checkpointing(Callback):
    """Saves a run after each validation and when it is stopped, so that it can go on.

    Networks and optimizers are saved as TensorFlow does, the rest of the state as one JSON text.

    Args:
        folder: Where the checkpoints go.
        state: The run whose networks they hold.
    """

    def __init__(self, folder: Path, state: Trainer) -> None:
        self.networks = state.srgan.checkpoint_parts()
        with tf.device("CPU:0"):  # the only one that holds text
            self.text = tf.Variable("", dtype=tf.string)
        self.checkpoints = Checkpoints(folder, {**self.networks, "state": self.text}, state.writes)

    def restore(self, state: Trainer) -> None:
        """Goes back to the newest checkpoint that is whole; without one, to the beginning."""
        for damage in self.checkpoints.restore():
            state.say(f"{damage}. The one before it is taken.")
        if text := self.text.numpy():
            state.set_state(json.loads(text))
            state.saved = state.step

    def on_validation(self, state: Trainer) -> None:
        """Saves a checkpoint, which holds nothing that is not finite."""
        variables = [variable for part in self.networks.values() for variable in part]
        if not all(_is_finite(variable) for variable in variables):
            raise state.diverged("The weights are")
        self.text.assign(json.dumps(state.get_state()))
        self.checkpoints.save(state.step)
        state.saved = state.step

    def on_stop(self, state: Trainer) -> None:
        self.on_validation(state)


def unwritable(what: str, error: Exception, last: int | None) -> UserError:
    """The error that says why `what` could not be written, and what to do.

    Args:
        what: A file of the run.
        error: Why.
        last: Step of the last checkpoint.
    """
    saved = f"The last whole checkpoint is that of step {last}." if last is not None else ""
    return UserError(
        f"{what} could not be written: {_reason(error)}. {saved or 'There is no checkpoint yet.'} "
        "Free the disk or mend the folder, then resume the run."
    )


def _is_finite(variable: tf.Variable) -> bool:
    return not variable.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(variable)))


def _step(path: str) -> int:
    number = Path(path).name.removeprefix(f"{NAME}-")
    return int(number) if number.isdecimal() else -1


def _reason(error: Exception) -> str:
    """What TensorFlow or the operating system says, without the names of graph nodes."""
    said = getattr(error, "message", None) or getattr(error, "strerror", None) or error
    text = str(said).strip() or type(error).__name__
    return re.sub(r"\{\{.*?\}\} *| *\[Op:\w+\]", "", text.splitlines()[0]).rstrip(".")
