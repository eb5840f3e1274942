"""The curves and pictures of a run for TensorBoard: `tensorboard --logdir RUNS`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

GROUPS = {
    "content": "loss", "adversarial": "loss", "feature": "loss", "discriminator": "loss",
    "val_psnr": "validation", "drift": "validation",
}  # fmt: skip


class TensorBoard:
    """Writes TensorBoard's event files.

    Args:
        folder: Where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, record: dict[str, Any]) -> None:
        """Every number of a line of metrics.jsonl, as a curve: `loss/content` and so on."""
        with self._writer.as_default(step=record["step"]):
            for name, value in record.items():
                if isinstance(value, float):
                    tf.summary.scalar(f"{GROUPS.get(name, 'training')}/{name}", value)
        self._writer.flush()

    def image(self, step: int, name: str, path: Path) -> None:
        """The PNG file at `path`, of 8 bits."""
        with self._writer.as_default(step=step):
            tf.summary.image(name, tf.io.decode_png(path.read_bytes())[None])
        self._writer.flush()
