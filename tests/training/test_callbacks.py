"""What callbacks leave behind: curves for TensorBoard, and nothing where it is not installed."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xraysr.training import callbacks


def test_tensorboard_has_the_curves_and_pictures_of_the_run(finished):
    events = EventAccumulator(
        str(finished.path / "tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    tags = set(events.Tags()["tensors"])
    assert tags == {
        "loss/content", "loss/adversarial", "loss/discriminator", "training/accuracy",
        "training/learning_rate", "training/images_per_second", "training/seconds",
        "training/skipped", "training/lanczos_psnr", "validation/val_psnr", "validation/drift",
        "LR, SR, HR", "losses and validation",
    }  # fmt: skip
    scores = {each.step: float(tf.make_ndarray(each.tensor_proto))
              for each in events.Tensors("validation/val_psnr")}  # fmt: skip
    assert scores == pytest.approx(finished.scores(), rel=1e-6)
    assert [each.step for each in events.Tensors("loss/discriminator")] == [10, 11, 12]
    assert [each.step for each in events.Tensors("LR, SR, HR")] == [0, 5, 10, 12]
    for name, path in (
        ("LR, SR, HR", finished.sample(12)),
        ("losses and validation", finished.history),
    ):
        *_, last = events.Tensors(name)
        png = tf.make_ndarray(last.tensor_proto)[2]
        on_disk = tf.io.decode_png(path.read_bytes()).numpy()
        np.testing.assert_array_equal(tf.io.decode_png(png).numpy(), on_disk)


def test_without_tensorboard_there_is_a_sentence_and_no_curves(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "find_spec", lambda name: None)
    said = []

    class State:
        say, step, record = said.append, 5, {"content": 0.5}

    board = callbacks.TensorBoard(callbacks.Run(tmp_path, finished.config))
    for event in (board.on_start, board.on_log, board.on_validation):
        event(State)
    assert said == ["TensorBoard is not installed: there will be no curves for it."]
    assert not list(tmp_path.iterdir())
