"""Checkpoints that survive a killed process, a full disk and a damaged file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from xraysr.errors import UserError

KEPT = 3


class Checkpoints:
    """The last checkpoints of a run, each written whole before an older one goes.

    Args:
        folder: Where they lie.
        parts: What they hold, by name: networks, optimizers, variables.
        writes: Whether this process writes them; of several workers only the first does.
    """

    def __init__(self, folder: Path, parts: dict[str, Any], writes: bool = True) -> None:
        self._checkpoint = tf.train.Checkpoint(**parts)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=KEPT)
        self._writes = writes

    def save(self, step: int) -> None:
        """Saves the state after `step` steps.

        Raises:
            UserError: if it cannot be written; the checkpoints before it are whole.
        """
        if not self._writes:
            return
        try:
            self._manager.save(step)
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "message", None) or str(error)
            raise UserError(
                f"The checkpoint of step {step} could not be written: {reason}. "
                f"{self._last()} Free the disk or mend the folder, then go on with --resume."
            ) from error

    def restore(self) -> list[str]:
        """Goes back to the newest checkpoint that can be read; to the beginning without any.

        Returns:
            What was wrong with newer ones, one line each.

        Raises:
            UserError: if there are checkpoints and none of them can be read.
        """
        damaged: list[str] = []
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_consumed()
                return damaged
            except (tf.errors.OpError, AssertionError, ValueError) as error:
                reason = str(getattr(error, "message", None) or error).splitlines()[0]
                damaged.append(f"The checkpoint {Path(path).name} is damaged: {reason}")
        if damaged:
            raise UserError("No checkpoint of the run can be read. " + " ".join(damaged))
        return damaged

    def _last(self) -> str:
        latest = self._manager.latest_checkpoint
        return f"The last whole one is {Path(latest).name}." if latest else "There is none yet."
