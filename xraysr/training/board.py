"""The curves and sample images of a run for TensorBoard: `tensorboard --logdir RUNS`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


class Board:
    """Writes TensorBoard's event files.

    Args:
        folder: Where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, record: dict[str, Any]) -> None:
        """Every number of a line of metrics.jsonl, as a curve of its name."""
        with self._writer.as_default(step=record["step"]):
            for name, value in record.items():
                if name != "step" and isinstance(value, float):
                    group = "validation" if name in ("val_psnr", "drift") else "training"
                    tf.summary.scalar(f"{group}/{name}", value)
        self._writer.flush()

    def image(self, step: int, image: np.ndarray) -> None:
        """LR, SR and HR side by side: float32 in [0, 1], shape (height, width)."""
        with self._writer.as_default(step=step):
            tf.summary.image("LR, SR, HR", image[None, ..., None])
        self._writer.flush()
