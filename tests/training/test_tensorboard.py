"""What TensorBoard will show is read back from the event files."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xraysr.io import Radiograph, write
from xraysr.training.tensorboard import TensorBoard


def test_curves_and_pictures_come_back_from_the_event_file(tmp_path):
    board = TensorBoard(tmp_path / "tensorboard")
    for step in (50, 100):
        board.scalars(
            {"step": step, "phase": "adversarial", "content": step / 1000, "discriminator": 0.7,
             "learning_rate": 1e-3}
        )  # fmt: skip
    board.scalars({"step": 100, "val_psnr": 31.25, "drift": 0.001})
    pixels = np.linspace(0, 1, 12 * 36, dtype=np.float32).reshape(12, 36)
    write(tmp_path / "sample.png", Radiograph(pixels))
    board.image(100, "LR, SR, HR", tmp_path / "sample.png")

    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    curves = {
        name: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(name)]
        for name in events.Tags()["tensors"]
    }
    assert set(curves) == {
        "loss/content", "loss/discriminator", "training/learning_rate",
        "validation/val_psnr", "validation/drift", "LR, SR, HR",
    }  # fmt: skip
    assert curves["loss/content"] == [(50, pytest.approx(0.05)), (100, pytest.approx(0.1))]
    assert curves["validation/val_psnr"] == [(100, pytest.approx(31.25))]
    ((step, (width, height, png)),) = curves["LR, SR, HR"]
    assert (step, int(width), int(height)) == (100, 36, 12)
    np.testing.assert_array_equal(
        tf.io.decode_png(png).numpy()[..., 0], np.round(pixels * 255).astype(np.uint8)
    )
