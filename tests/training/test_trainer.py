"""The loop: what it tells its callbacks, when it switches the phase, stops or diverges."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from xraysr.data.batches import whole_films
from xraysr.data.pipeline import PairCache
from xraysr.errors import UserError
from xraysr.films.index import index_films
from xraysr.pair import Pair
from xraysr.training import Callback, Interrupted, Run, TrainConfig
from xraysr.training import trainer as module
from xraysr.training.build import build_srgan
from xraysr.training.callbacks import Generators, Metrics, Samples, TensorBoard
from xraysr.training.checkpoints import Checkpointing
from xraysr.training.diagnostics import Diagnostics
from xraysr.training.trainer import DivergedError, Trainer
from xraysr.training.validation import Validation, Validator

EVENTS = ("start", "step", "log", "validation", "phase", "stop", "end")


@pytest.fixture(scope="module")
def films(film_folder) -> list[list[PairCache]]:
    index = index_films(film_folder)
    return [[PairCache.load(index.of(split), Pair.parse("16:64"))] for split in ("train", "val")]


@pytest.fixture
def run(tiny, tmp_path) -> Run:
    return Run.create(tmp_path / "run", tiny)


@pytest.fixture
def begin(films, run):
    """A `Trainer` of `run` that also writes what a run does."""

    def make(config: TrainConfig = run.config, *callbacks: Callback) -> Trainer:
        trainer = Trainer(config, build_srgan(config), *films, tf.distribute.get_strategy())
        checkpointing = Checkpointing(run.path / "checkpoints", trainer)
        trainer.callbacks = [
            Diagnostics(run), Metrics(run), Samples(run), TensorBoard(run),
            Generators(run, {}, "Lanczos"), *callbacks, checkpointing,
        ]  # fmt: skip
        return trainer

    return make


def saving(trainer: Trainer) -> Checkpointing:
    return trainer.callbacks[-1]


class Recorder(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        for event in EVENTS:
            setattr(self, f"on_{event}", self._note(event))

    def _note(self, event: str):
        return lambda state: self.told.append((event, state.step))


@pytest.mark.usefixtures("plain_plots")
def test_callbacks_are_told_everything_in_order(films, tiny):
    recorder = Recorder()
    config = replace(tiny, steps=4, adversarial_share=0.25, validate_every=2)
    Trainer(config, build_srgan(config), *films, tf.distribute.get_strategy(), [recorder]).train()
    assert recorder.told == [
        ("start", 0), ("validation", 0),
        ("step", 1), ("log", 1),
        ("step", 2), ("log", 2), ("validation", 2),
        ("step", 3), ("log", 3), ("phase", 3),
        ("step", 4), ("log", 4), ("validation", 4), ("end", 4),
    ]  # fmt: skip


def test_a_callback_may_end_the_run(films, tiny):
    class Enough(Callback):
        def on_validation(self, state):
            if state.validation.psnr > 0:
                state.stop(f"{state.record['val_psnr']:.0f} dB is enough")

    recorder = Recorder()
    srgan = build_srgan(tiny)
    trainer = Trainer(tiny, srgan, *films, tf.distribute.get_strategy(), [Enough(), recorder])
    with pytest.raises(Interrupted, match="dB is enough: stopped at step 1;"):
        trainer.train()
    assert recorder.told[-1] == ("stop", 1)


def test_what_goes_wrong_in_a_callback_of_the_user_is_not_taken_for_a_full_disk(films, tiny):
    class Broken(Callback):
        def on_start(self, state):
            raise ConnectionError("no such host")

    srgan = build_srgan(tiny)
    with pytest.raises(ConnectionError, match="no such host"):
        Trainer(tiny, srgan, *films, tf.distribute.get_strategy(), [Broken()]).train()


@pytest.mark.parametrize(
    ("size", "what"),
    [
        (10, r"^(metrics\.jsonl|The curves for TensorBoard) could not be written: .*too large"),
        (1000, r"step_0000000\.png: File too large"),
        (20_000, "^The sample image or the history plot could not be written: .*File too large"),
        (60_000, " could not be written: .*There is no checkpoint yet. Free the disk"),
    ],
    ids=["metrics or curves", "sample", "history", "tensorboard or checkpoint"],
)
def test_whatever_file_the_disk_is_too_full_for_the_cause_is_said(
    begin, largest_file, capsys, size, what
):
    trainer = begin()
    with largest_file(size), pytest.raises(UserError, match=what):
        trainer.train()
    assert trainer.step == 0


def test_a_generator_that_does_not_fit_on_the_disk_is_no_finished_run(
    begin, run, largest_file, capsys
):
    trainer = begin()
    trainer.saved = 10
    words = r"generator\.keras could not be .* that of step 10"
    with largest_file(1000), pytest.raises(UserError, match=words):
        trainer._tell("on_end")
    assert not run.finished


@pytest.mark.usefixtures("plain_plots")
def test_a_folder_that_cannot_be_written_ends_a_run_before_its_first_step(begin, run):
    trainer = begin()
    (run.path / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match="checkpoint of step 0 could not .*not a directory"):
        trainer.train()
    assert trainer.step == 0


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize(
    ("phase", "hint"),
    [("content", "learning_rate"), ("adversarial", "adversarial_learning_rate")],
)
def test_a_loss_that_is_not_finite_ends_the_run_and_the_last_good_state_is_kept(
    begin, run, monkeypatch, phase, hint
):
    original = TrainConfig.learning_rate_at
    monkeypatch.setattr(
        TrainConfig,
        "learning_rate_at",
        lambda self, progress, switched: (
            1e30 if progress > 0.55 else original(self, progress, switched)
        ),
    )
    trainer = begin()
    trainer.switched = 0.0 if phase == "adversarial" else None
    with pytest.raises(DivergedError, match="no longer finite at step [789]") as caught:
        trainer.train()
    assert "The last good checkpoint is that of step 5." in str(caught.value)
    assert f"with a lower {hint}, or with clip_norm=1" in str(caught.value)
    assert not run.finished
    saving(trainer).restore(trainer)
    assert trainer.step == 5
    variables = [each for part in saving(trainer).networks.values() for each in part]
    assert all(np.isfinite(each.numpy()).all() for each in variables)
    assert trainer.validator.run().psnr == pytest.approx(run.scores()[5], abs=1e-9)


def test_nothing_that_is_not_finite_is_saved(begin, run, monkeypatch):
    trainer = begin()
    with monkeypatch.context() as patch:
        patch.setattr(
            Validator, "run", lambda self: Validation(float("nan"), 0.0, np.zeros((8, 8)))
        )
        with pytest.raises(DivergedError, match=r"finite at step 0\. No state was saved yet"):
            trainer._validate()
    saving(trainer).on_stop(trainer)
    trainer.step = 3
    trainer.srgan.averaged.variables[0].assign(
        np.full(trainer.srgan.averaged.variables[0].shape, np.nan, np.float32)
    )
    with pytest.raises(DivergedError, match="weights are .* at step 3.* that of step 0"):
        saving(trainer).on_stop(trainer)
    saving(trainer).restore(trainer)
    assert np.isfinite(trainer.srgan.averaged.variables[0].numpy()).all()
    assert not list((run.path / "checkpoints").glob("step-3.*"))


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_the_phase_switches_when_validation_has_flattened(begin, tiny, run, monkeypatch, stop_at):
    """The fifth validation without a rise is that of step 6. Stops on the way change nothing."""
    scores = iter([30.0, 31.0, 31.0, 31.005, 30.0, 31.0, 31.0, 31.0, 31.0])

    class Scripted(Validator):
        def run(self):
            return Validation(next(scores), 0.0, np.zeros((8, 24), np.float32))

        def lanczos(self):
            return 29.0

    monkeypatch.setattr(module, "Validator", Scripted)
    config = replace(tiny, steps=8, adversarial_from="plateau", validate_every=1)
    for step in (3, 7):
        trainer = begin(config, stop_at(step))
        saving(trainer).restore(trainer)
        with pytest.raises(Interrupted, match=f"at step {step}"):
            trainer.train()
        (run.path / "metrics.jsonl").unlink()  # the scores are in the checkpoint
    trainer = begin(config)
    saving(trainer).restore(trainer)
    trainer.train()
    assert trainer.switched == 6 / 8
    assert list(trainer.scores) == list(range(9))


@pytest.mark.usefixtures("plain_plots")
def test_every_worker_keeps_the_scores_that_the_switch_depends_on(films, tiny, monkeypatch):
    plateau = replace(tiny, adversarial_from="plateau")
    srgan, strategy = build_srgan(plateau), tf.distribute.get_strategy()
    first = Trainer(plateau, srgan, *films, strategy)
    monkeypatch.setattr(module, "is_chief", lambda strategy: False)
    worker = Trainer(plateau, srgan, *films, strategy)
    for trainer in (first, worker):
        for step in range(6):
            trainer.step = step
            assert not trainer._adversarial_is_due()
            trainer._validate()
        assert trainer._adversarial_is_due()
    assert worker.scores == first.scores


@pytest.mark.usefixtures("plain_plots")
def test_a_checkpoint_brings_back_every_variable_and_the_rest_of_the_state(begin, films, tiny):
    config = replace(tiny, batch_norm=True)
    before = begin(config)
    before.srgan.phase = "adversarial"
    before.srgan.train_step(next(iter(whole_films(films[0][0], 4))))
    before.step, before.seconds, before.switched = 7, 1.1, 1 / 3
    before.scores = {0: 30.1, 5: 1 / 7}
    saving(before).on_stop(before)
    after = begin(config)
    saving(after).restore(after)
    assert after.get_state() == before.get_state()
    assert (after.step, after.saved, after.phase) == (7, 7, "adversarial")
    assert after.scores == before.scores
    for part in ("generator", "averaged", "discriminator", "optimizer", "discriminator_optimizer"):
        for old, new in zip(
            getattr(before.srgan, part).variables,
            getattr(after.srgan, part).variables,
            strict=True,
        ):
            np.testing.assert_array_equal(old.numpy(), new.numpy(), err_msg=old.path)
