"""From a folder of films to a finished run, with stops on the way."""

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from xraysr.data.batches import whole_films
from xraysr.data.pipeline import PairCache
from xraysr.errors import UserError
from xraysr.films.index import index_films
from xraysr.models.open import load_generator
from xraysr.progress import StatusBar
from xraysr.spec import ModelSpec
from xraysr.training import Interrupted, Run, resume_training, train
from xraysr.training.trainer import Trainer


def weights(run: Run):
    return load_generator(run.generator).get_weights()


def assert_equal(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def finished(film_folder, tmp_path_factory):
    from xraysr.training import TrainConfig

    config = TrainConfig(
        "16:64", steps=12, adversarial_share=0.25, depth=1, width=8, batch=2, crop=8,
        validate_every=5,
    )  # fmt: skip
    return train(config, film_folder, tmp_path_factory.mktemp("run") / "run")


def test_a_run_leaves_what_its_docstring_says(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        "config.json", "environment.json", "data.json", "metrics.jsonl", "history.png",
        "samples", "tensorboard", "checkpoints",
        "content.keras", "content.spec.json", "generator.keras", "generator.spec.json",
    }  # fmt: skip
    assert (finished.path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (finished.path / "samples").iterdir()) == [
        "step_0000000.png", "step_0000005.png", "step_0000010.png", "step_0000012.png",
    ]  # fmt: skip


def test_both_phases_were_trained_and_recorded(finished):
    records = finished.records()
    phases = [entry["phase"] for entry in records if "phase" in entry]
    assert phases == ["content"] * 9 + ["adversarial"] * 3
    adversarial = [entry for entry in records if entry.get("phase") == "adversarial"]
    assert all(entry["discriminator"] > 0 and entry["adversarial"] > 0 for entry in adversarial)
    assert [entry["step"] for entry in records if "val_psnr" in entry] == [0, 5, 10, 12]
    content = load_generator(finished.content_generator).get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(content, weights(finished), strict=True)]
    assert any(changed)


def test_the_card_says_how_it_was_trained(finished):
    spec = ModelSpec.load(finished.generator)
    assert spec.scale == 4
    assert spec.training["steps"] == 12
    assert spec.training["pairs"] == ["16:64"]
    assert spec.training["films"] == 8


def test_the_films_of_each_split_are_listed(finished, film_folder):
    data = json.loads((finished.path / "data.json").read_text())
    assert len(data["train"]) == 8
    assert len(data["val"]) == 2
    assert len(data["test"]) == 2
    assert all((film_folder / name).is_file() for name in data["train"] + data["test"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    finished, film_folder, tmp_path
):
    again = train(finished.config, film_folder, tmp_path / "again")
    assert_equal(weights(finished), weights(again))
    other = train(replace(finished.config, seed=1), film_folder, tmp_path / "other")
    assert not np.array_equal(weights(finished)[0], weights(other)[0])


class _StopAt(list):
    """A stop request that comes true at one step of a trainer."""

    def __init__(self, trainer: Trainer, step: int) -> None:
        super().__init__(["SIGINT"])
        self.trainer, self.step = trainer, step

    def __bool__(self) -> bool:
        return int(self.trainer.step) == self.step


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(3,), (5, 10), (9,)])
def test_a_run_stopped_at_any_step_and_resumed_equals_the_uninterrupted_one(
    finished, film_folder, tmp_path, monkeypatch, stops
):
    original = Trainer.train
    remaining = list(stops)

    def train_until_stop(self, bar, stop):
        if remaining:
            stop = _StopAt(self, remaining.pop(0))
        original(self, bar, stop)

    monkeypatch.setattr(Trainer, "train", train_until_stop)
    out = tmp_path / "run"
    with pytest.raises(Interrupted, match=f"step {stops[0]}"):
        train(finished.config, film_folder, out)
    for step in stops[1:]:
        with pytest.raises(Interrupted, match=f"step {step}"):
            resume_training(out)
    run = resume_training(out)
    assert_equal(weights(finished), weights(run))

    def losses(run):
        volatile = ("seconds", "images_per_second")
        return [
            {key: value for key, value in entry.items() if key not in volatile}
            for entry in run.records()
        ]

    assert losses(run) == losses(finished)


def test_a_checkpoint_brings_back_every_variable(film_folder, tiny, tmp_path):
    config = replace(tiny, batch_norm=True, steps=4, adversarial_share=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train", lambda *_: None)
        run = train(config, film_folder, tmp_path / "run")
        index = index_films(film_folder)
        films = [[PairCache.load(index.of(split), config.pair)] for split in ("train", "val")]
    before = Trainer(run, *films, tf.distribute.get_strategy())
    before.srgan.phase = "adversarial"
    before.srgan.train_step(next(iter(whole_films(films[0][0], 4))))
    before.step.assign(7)
    before.checkpoints.save(7)
    after = Trainer(run, *films, tf.distribute.get_strategy())
    after.restore(StatusBar(None))
    assert int(after.step) == 7
    for part in ("generator", "averaged", "discriminator", "optimizer", "discriminator_optimizer"):
        for old, new in zip(
            getattr(before.srgan, part).variables,
            getattr(after.srgan, part).variables,
            strict=True,
        ):
            np.testing.assert_array_equal(old.numpy(), new.numpy(), err_msg=old.path)


def test_ctrl_c_ends_between_two_steps_with_everything_saved(
    finished, film_folder, tmp_path, monkeypatch
):
    original = Trainer._validate

    def interrupt(self, bar):
        if int(self.step) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, bar)

    monkeypatch.setattr(Trainer, "_validate", interrupt)
    with pytest.raises(Interrupted, match="step 5"):
        train(finished.config, film_folder, tmp_path / "run")
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_equal(weights(finished), weights(resume_training(tmp_path / "run")))


def test_content_only_leaves_one_generator(film_folder, tiny, tmp_path):
    run = train(replace(tiny, adversarial_share=0.0, steps=3), film_folder, tmp_path / "run")
    assert run.generator.is_file()
    assert not run.content_generator.exists()


@pytest.mark.slow
def test_minutes_end_a_run_too(film_folder, tiny, tmp_path):
    run = train(replace(tiny, steps=None, minutes=0.05), film_folder, tmp_path / "run")
    before_last, last = [entry["seconds"] for entry in run.records() if "seconds" in entry][-2:]
    assert before_last < 60 * 0.05 <= last + 0.05


@pytest.mark.slow
def test_the_published_discriminator_and_batch_norm_train_too(film_folder, tiny, tmp_path):
    config = replace(tiny, discriminator="srgan", batch_norm=True, steps=4, adversarial_share=0.5)
    run = train(config, film_folder, tmp_path / "run")
    assert all(np.isfinite(weight).all() for weight in weights(run))


def test_an_existing_folder_is_never_lost(finished, film_folder, tiny, tmp_path):
    with pytest.raises(UserError, match="--resume"):
        train(tiny, film_folder, finished.path)
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="not a run"):
        train(tiny, film_folder, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_films_that_do_not_fit_leave_an_older_run_as_it_was(finished, film_folder, tmp_path):
    path = shutil.copytree(finished.path, tmp_path / "run")
    before = sorted(path.rglob("*"))
    with pytest.raises(UserError, match="None of 8 films"):
        train(replace(finished.config, pair="32:128"), film_folder, path, overwrite=True)
    assert sorted(path.rglob("*")) == before


def test_a_run_inside_the_data_folder_is_refused(film_folder, tiny):
    with pytest.raises(UserError, match="must not lie in the data folder"):
        train(tiny, film_folder, film_folder / "run")


@pytest.mark.slow
def test_overwrite_replaces_an_older_run(film_folder, tiny, tmp_path):
    short = replace(tiny, steps=2)
    train(short, film_folder, tmp_path / "run")
    run = train(replace(short, seed=3), film_folder, tmp_path / "run", overwrite=True)
    assert Run.open(run.path).config.seed == 3


def test_what_cannot_be_resumed_says_why(finished, film_folder, tiny, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="is finished"):
        resume_training(finished.path)
    with pytest.raises(UserError, match="No run in"):
        resume_training(tmp_path)
    films = tmp_path / "films"
    shutil.copytree(film_folder, films)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", lambda *_: (_ for _ in ()).throw(Interrupted("stop")))
        with pytest.raises(Interrupted):
            train(tiny, films, tmp_path / "run")
    next((films / "train").glob("*.png")).unlink()
    with pytest.raises(UserError, match="1 are gone"):
        resume_training(tmp_path / "run")


@pytest.mark.slow
def test_a_bad_film_is_skipped_and_named(film_folder, tiny, tmp_path):
    films = tmp_path / "films"
    shutil.copytree(film_folder, films)
    (films / "train" / "person99_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    run = train(replace(tiny, steps=2), films, tmp_path / "run")
    (skipped,) = run.data()["skipped"]
    assert "person99_broken.png" in skipped["path"]
    assert "truncated" in skipped["reason"]


@pytest.mark.slow
def test_a_minute_of_training_beats_lanczos_on_phantoms(tmp_path):
    from xraysr.evaluation.evaluate import evaluate
    from xraysr.phantom.film import write_phantoms
    from xraysr.training import TrainConfig
    from xraysr.upscale import load

    for split, count, seed in (("train", 24, 0), ("val", 2, 24), ("test", 6, 26)):
        write_phantoms(tmp_path / "films" / split, count, 256, seed)
    config = TrainConfig("32:128", steps=600, adversarial_share=0.1, depth=2, width=16, batch=8)
    run = train(config, tmp_path / "films", tmp_path / "run")
    films = index_films(tmp_path / "films").require("test")
    report = evaluate({"GAN": load(run.path)}, films, "32:128")
    assert report.gain("GAN").low > 0.5
