"""Runs that are stopped, cannot write, diverge, or switch the phase by themselves."""

import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xraysr import plots
from xraysr.data.pipeline import PairCache
from xraysr.errors import UserError
from xraysr.films.index import index_films
from xraysr.io import Radiograph, write
from xraysr.models.open import load_generator
from xraysr.pair import Pair
from xraysr.progress import StatusBar
from xraysr.training import Interrupted, Run, TrainConfig, resume_training, train
from xraysr.training import trainer as module
from xraysr.training.diagnostics import DivergedError
from xraysr.training.trainer import Trainer
from xraysr.training.validation import Validation, Validator

VOLATILE = {"seconds", "images_per_second"}


def records(run: Run) -> list[dict]:
    return [
        {name: value for name, value in entry.items() if name not in VOLATILE}
        for entry in run.records()
    ]


def assert_same_run(one: Run, two: Run) -> None:
    weights = (load_generator(each.generator).get_weights() for each in (one, two))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert records(one) == records(two)


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    return TrainConfig(
        "16:64", steps=12, adversarial_from=9, depth=1, width=8, batch=2, crop=8, validate_every=5
    )


@pytest.fixture(scope="module")
def finished(config, film_folder, tmp_path_factory) -> Run:
    return train(config, film_folder, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def films(film_folder) -> list[list[PairCache]]:
    index = index_films(film_folder)
    return [[PairCache.load(index.of(split), Pair.parse("16:64"))] for split in ("train", "val")]


@pytest.fixture
def begin(films, tmp_path):
    """A `Trainer` of a new run, or of the one begun before."""

    def make(config: TrainConfig) -> Trainer:
        path = tmp_path / "begun"
        run = Run(path, config) if path.exists() else Run.create(path, config)
        return Trainer(run, *films, tf.distribute.get_strategy())

    return make


@pytest.fixture
def plain_plots(monkeypatch):
    """A small picture in place of the plot, which takes most of the time of a short run."""
    blank = Radiograph(np.zeros((8, 8), np.float32))
    monkeypatch.setattr(plots, "history", lambda path, records: write(path, blank, overwrite=True))


def stop_after(monkeypatch, step: int, number: int = signal.SIGTERM) -> None:
    """Sends this process a signal once a run has made `step` steps."""
    original = Trainer._log

    def log(self, *args):
        if int(self.step) == step:
            os.kill(os.getpid(), number)
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_log", log)


def test_the_phase_switches_at_the_given_step(finished):
    phases = [entry["phase"] for entry in finished.records() if "phase" in entry]
    assert phases == ["content"] * 9 + ["adversarial"] * 3


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_a_run_to_which_everything_happens_ends_as_one_to_which_nothing_did(
    finished, film_folder, tmp_path, monkeypatch, capsys, largest_file
):
    films, out = shutil.copytree(film_folder, tmp_path / "films"), tmp_path / "run"

    # Stopped before anything was saved.
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(finished.config, films, out)
    assert [entry["step"] for entry in Run.open(out).records()] == [0]
    assert Run.open(out).environment() == finished.environment()
    (out / "environment.json").write_text('{"python": "2.7"}')

    # The disk is full.
    save = Trainer._save

    def save_on_a_full_disk(self):
        with largest_file(1000 if int(self.step) == 10 else 10**9):
            save(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save", save_on_a_full_disk)
        with pytest.raises(UserError, match="checkpoint of step 10 could not") as caught:
            resume_training(out)
    assert "File too large. The last whole checkpoint is that of step 5. Free" in str(caught.value)

    # The machine is taken away, politely.
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stop_after(patch, 11)
        with pytest.raises(Interrupted, match="SIGTERM: stopped at step 11; all of it is saved"):
            resume_training(out)
    assert signal.getsignal(signal.SIGTERM) is before

    # The newest checkpoint is damaged.
    data = out / "checkpoints" / "step-11.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    run = resume_training(out)
    assert "step-11 is damaged: " in capsys.readouterr().err

    assert_same_run(run, finished)
    assert run.environment()["python"] == "2.7"
    assert run.environment()["resumed"][0]["python"].startswith("3.")


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_a_run_stopped_between_two_records_records_the_same(film_folder, tmp_path, monkeypatch):
    """Losses of steps not yet recorded are in the checkpoint too; step 12 is also the last."""
    monkeypatch.setattr(module, "LOGS_PER_VALIDATION", 1)
    config = TrainConfig(
        "16:64", steps=12, adversarial_share=0, depth=1, width=8, batch=2, crop=8, validate_every=6
    )
    whole = train(config, film_folder, tmp_path / "whole")
    original = Trainer._set_learning_rate

    def rate(self):
        if int(self.step) in (2, 11):
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_set_learning_rate", rate)
        with pytest.raises(Interrupted, match="step 3"):
            train(config, film_folder, tmp_path / "run")
        with pytest.raises(Interrupted, match="step 12"):
            resume_training(tmp_path / "run")
    run = resume_training(tmp_path / "run")
    assert [entry["step"] for entry in run.records()] == [0, 6, 6, 12, 12]
    assert_same_run(run, whole)


@pytest.mark.parametrize(
    ("size", "what"),
    [
        (10, r"^metrics\.jsonl could not be written: File too large"),
        (1000, r"step_0000000\.png: File too large"),
        (20_000, "^The sample image or the history plot could not be written: .*File too large"),
        (60_000, " could not be written: .*There is no checkpoint yet. Free the disk"),
    ],
    ids=["metrics", "sample", "history", "tensorboard or checkpoint"],
)
def test_whatever_file_the_disk_is_too_full_for_the_cause_is_said(
    begin, config, capsys, largest_file, size, what
):
    trainer = begin(config)
    with largest_file(size), pytest.raises(UserError, match=what):
        trainer.train(StatusBar(None), [])
    assert int(trainer.step) == 0


def test_a_generator_that_does_not_fit_on_the_disk_is_no_finished_run(begin, config, largest_file):
    trainer = begin(config)
    with largest_file(1000), pytest.raises(UserError, match=r"generator\.keras could not be"):
        trainer._save_generator(trainer.run.generator)
    assert not trainer.run.finished


def test_a_disk_that_is_full_from_the_start_is_said_too(
    film_folder, config, tmp_path, capsys, largest_file
):
    with largest_file(10), pytest.raises(UserError, match="could not be begun: File too large"):
        train(config, film_folder, tmp_path / "run")


def test_a_folder_that_cannot_be_written_ends_a_run_before_its_first_step(begin, config):
    trainer = begin(config)
    (trainer.run.path / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match="checkpoint of step 0 could not .*not a directory"):
        trainer.train(StatusBar(None), [])
    assert int(trainer.step) == 0


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize(
    ("phase", "hint"),
    [("content", "--learning-rate"), ("adversarial", "--adversarial-learning-rate")],
)
def test_the_last_good_state_is_restored_when_the_loss_is_not_finite(
    begin, config, monkeypatch, phase, hint
):
    original = TrainConfig.learning_rate_at
    monkeypatch.setattr(
        TrainConfig,
        "learning_rate_at",
        lambda self, progress, switched: (
            1e30 if progress > 0.55 else original(self, progress, switched)
        ),
    )
    trainer = begin(config)
    if phase == "adversarial":
        trainer.switched.assign(0.0)
    with pytest.raises(DivergedError, match="no longer finite at step [789]") as caught:
        trainer.train(StatusBar(None), [])
    assert "The last good state is that of step 5, in" in str(caught.value)
    assert f"with a lower {hint}, or with --clip-norm 1" in str(caught.value)
    assert int(trainer.step) == 5
    variables = [each for part in trainer.networks.values() for each in part]
    assert all(np.isfinite(each.numpy()).all() for each in variables)
    assert trainer.validator.run().psnr == pytest.approx(trainer.run.scores()[5], abs=1e-9)
    assert not trainer.run.finished


def test_nothing_that_is_not_finite_is_saved(begin, config, monkeypatch):
    trainer = begin(config)
    with monkeypatch.context() as patch:
        patch.setattr(
            Validator, "run", lambda self: Validation(float("nan"), 0.0, np.zeros((8, 8)))
        )
        with pytest.raises(DivergedError, match=r"finite at step 0\. No state was saved yet"):
            trainer._validate(StatusBar(None))
    trainer._save()
    trainer.step.assign(3)
    trainer.srgan.averaged.variables[0].assign(
        np.full(trainer.srgan.averaged.variables[0].shape, np.nan, np.float32)
    )
    with pytest.raises(DivergedError, match="weights are .* at step 3.* that of step 0"):
        trainer._save()
    assert np.isfinite(trainer.srgan.averaged.variables[0].numpy()).all()
    assert not list((trainer.run.path / "checkpoints").glob("step-3.*"))


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_the_phase_switches_when_validation_has_flattened(film_folder, tmp_path, monkeypatch):
    """The fifth validation without a rise is that of step 6. Stops on the way change nothing."""
    scores = [30.0, 31.0, 31.0, 31.005, 30.0, 31.0, 31.0, 31.0, 31.0]
    trainers: list[Trainer] = []

    class Scripted(Validator):
        def run(self):
            return Validation(scores[int(trainers[-1].step)], 0.0, np.zeros((8, 24), np.float32))

    original = Trainer.__init__

    def init(self, *args):
        original(self, *args)
        trainers.append(self)

    monkeypatch.setattr(module, "Validator", Scripted)
    monkeypatch.setattr(Trainer, "__init__", init)
    config = TrainConfig(
        "16:64", steps=8, adversarial_from="plateau", depth=1, width=8, batch=2, crop=8,
        validate_every=1,
    )  # fmt: skip
    whole = train(config, film_folder, tmp_path / "whole")
    phases = [entry["phase"] for entry in whole.records() if "phase" in entry]
    assert phases == ["content"] * 6 + ["adversarial"] * 2
    for step, start in ((5, lambda out: train(config, film_folder, out)), (7, resume_training)):
        with monkeypatch.context() as patch:
            stop_after(patch, step)
            with pytest.raises(Interrupted):
                start(tmp_path / "run")
    assert_same_run(resume_training(tmp_path / "run"), whole)
    assert float(trainers[-1].switched) == float(trainers[0].switched) == 6 / 8


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_every_worker_keeps_the_scores_that_the_switch_depends_on(begin, config, monkeypatch):
    plateau = replace(config, adversarial_from="plateau")
    first = begin(plateau)
    monkeypatch.setattr(module, "is_chief", lambda strategy: False)
    worker = begin(plateau)
    for trainer in (first, worker):
        for step in range(6):
            trainer.step.assign(step)
            assert not trainer._adversarial_is_due()
            trainer._validate(StatusBar(None))
        assert trainer._adversarial_is_due()
    assert worker.scores == first.scores
    resumed = begin(plateau)
    first.step.assign(5)
    first._save()
    resumed.restore(StatusBar(None))
    assert resumed.scores == first.scores


def test_a_warning_given_before_a_stop_is_not_repeated_after_it(begin, config):
    trainer = begin(config)
    trainer.run.record({"step": 0, "val_psnr": 30.0, "drift": 0.5})
    trainer._save()
    resumed = begin(config)
    resumed.restore(StatusBar(None))
    assert resumed.watch.validation(0.5) == []
    assert trainer.watch.validation(0.5) != []


def test_tensorboard_has_the_curves_and_pictures_of_the_run(finished):
    events = EventAccumulator(
        str(finished.path / "tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    tags = set(events.Tags()["tensors"])
    assert {
        "loss/content", "loss/adversarial", "loss/discriminator", "training/accuracy",
        "training/learning_rate", "validation/val_psnr", "validation/drift",
        "LR, SR, HR", "losses and validation",
    } <= tags  # fmt: skip
    scores = {each.step: float(tf.make_ndarray(each.tensor_proto))
              for each in events.Tensors("validation/val_psnr")}  # fmt: skip
    assert scores == pytest.approx(finished.scores(), rel=1e-6)
    assert [each.step for each in events.Tensors("loss/discriminator")] == [10, 11, 12]
    assert [each.step for each in events.Tensors("LR, SR, HR")] == [0, 5, 10, 12]
    *_, last = events.Tensors("losses and validation")
    png = tf.make_ndarray(last.tensor_proto)[2]
    on_disk = tf.io.decode_png(finished.history.read_bytes()).numpy()
    np.testing.assert_array_equal(tf.io.decode_png(png).numpy(), on_disk)
