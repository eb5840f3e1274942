"""From a folder of films to a finished run, with stops on the way."""

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from xraysr.degradation import NAMED
from xraysr.errors import UserError
from xraysr.films.index import index_films
from xraysr.models.open import load_generator
from xraysr.spec import ModelSpec
from xraysr.training import Interrupted, Run, resume_training, train


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


def test_both_phases_were_trained_and_recorded(finished, weights):
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
    assert spec.training["phase"] == "adversarial"
    assert spec.training["pairs"] == ["16:64"]
    assert spec.training["films"] == 8
    assert "own_parts" not in spec.training


def test_a_named_degradation_is_used_and_the_card_says_so(finished, film_folder, tiny, tmp_path):
    config = replace(tiny, steps=1, adversarial_share=0.0, degradation="photo")
    run = train(config, film_folder, tmp_path / "run")
    assert ModelSpec.load(run.generator).degradation == NAMED["photo"].text
    assert run.lanczos() < finished.lanczos() - 0.5  # it counts in validation too


def test_the_films_of_each_split_are_listed(finished, film_folder):
    data = json.loads((finished.path / "data.json").read_text())
    assert len(data["train"]) == 8
    assert len(data["val"]) == 2
    assert len(data["test"]) == 2
    assert all((film_folder / name).is_file() for name in data["train"] + data["test"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    finished, film_folder, tmp_path, weights, assert_same_run
):
    assert_same_run(train(finished.config, film_folder, tmp_path / "again"), finished)
    other = train(replace(finished.config, seed=1), film_folder, tmp_path / "other")
    assert not np.array_equal(weights(finished)[0], weights(other)[0])


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(3,), (5, 10), (9,)])
def test_a_run_stopped_at_any_step_and_resumed_equals_the_uninterrupted_one(
    finished, film_folder, tmp_path, stops, stop_at, assert_same_run
):
    out = tmp_path / "run"
    with pytest.raises(Interrupted, match=f"Enough: stopped at step {stops[0]}"):
        train(finished.config, film_folder, out, callbacks=[stop_at(stops[0])])
    for step in stops[1:]:
        with pytest.raises(Interrupted, match=f"step {step}"):
            resume_training(out, callbacks=[stop_at(step)])
    assert_same_run(resume_training(out), finished)


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_a_run_to_which_everything_happens_ends_as_one_to_which_nothing_did(
    finished, film_folder, tmp_path, at, capsys, largest_file, assert_same_run
):
    films, out = shutil.copytree(film_folder, tmp_path / "films"), tmp_path / "run"

    # Stopped before anything was saved.
    def ctrl_c(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(finished.config, films, out, callbacks=[at(0, ctrl_c, "on_validation")])
    assert [entry["step"] for entry in Run.open(out).records()] == [0]
    assert Run.open(out).environment() == finished.environment()
    (out / "environment.json").write_text('{"python": "2.7"}')

    # The disk is full.
    full = largest_file(1000)
    with pytest.raises(UserError, match="checkpoint of step 10 could not") as caught:
        try:
            resume_training(out, callbacks=[at(10, lambda _: full.__enter__(), "on_validation")])
        finally:
            full.__exit__(None, None, None)
    assert "File too large. The last whole checkpoint is that of step 5. Free" in str(caught.value)

    # The machine is taken away, politely.
    before = signal.getsignal(signal.SIGTERM)
    terminate = at(11, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="SIGTERM: stopped at step 11; all of it is saved"):
        resume_training(out, callbacks=[terminate])
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


@pytest.mark.usefixtures("plain_plots")
def test_ctrl_c_ends_between_two_steps_with_everything_saved(tiny, film_folder, tmp_path, at):
    interrupt = at(5, lambda _: os.kill(os.getpid(), signal.SIGINT), "on_validation")
    with pytest.raises(Interrupted, match="SIGINT: stopped at step 5"):
        train(tiny, film_folder, tmp_path / "run", callbacks=[interrupt])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not Run.open(tmp_path / "run").finished
    assert list((tmp_path / "run" / "checkpoints").glob("step-5.index"))


@pytest.mark.slow
@pytest.mark.usefixtures("plain_plots")
def test_losses_of_steps_not_yet_recorded_survive_a_stop(
    film_folder, tiny, tmp_path, monkeypatch, stop_at, records, assert_same_run
):
    monkeypatch.setattr("xraysr.training.trainer.LOGS_PER_VALIDATION", 1)
    config = replace(tiny, adversarial_share=0.0, validate_every=6)
    whole = train(config, film_folder, tmp_path / "whole")
    with pytest.raises(Interrupted, match="step 3"):
        train(config, film_folder, tmp_path / "run", callbacks=[stop_at(3)])
    with pytest.raises(Interrupted, match="step 12"):  # the last one
        resume_training(tmp_path / "run", callbacks=[stop_at(12)])
    run = resume_training(tmp_path / "run")
    assert [entry["step"] for entry in run.records()] == [0, 6, 6, 12, 12]
    assert_same_run(run, whole)


@pytest.mark.usefixtures("plain_plots")
@pytest.mark.parametrize("lost", ["metrics.jsonl", "nothing"])
def test_init_is_not_loaded_over_trained_weights(
    film_folder, tiny, tmp_path, monkeypatch, stop_at, lost
):
    """A checkpoint says that there was a beginning, whatever became of metrics.jsonl."""
    begun = []
    monkeypatch.setattr(
        "xraysr.training.trainer.initialise", lambda generator, init: begun.append(init)
    )
    config = replace(tiny, steps=4, adversarial_share=0.0, init="trained.keras")
    with pytest.raises(Interrupted):
        train(config, film_folder, tmp_path / "run", callbacks=[stop_at(2)])
    (tmp_path / "run" / lost).unlink(missing_ok=True)
    run = resume_training(tmp_path / "run")
    assert run.finished
    assert begun == ["trained.keras"]
    assert 0 in run.scores() or lost == "metrics.jsonl"
    assert 4 in run.scores()


@pytest.mark.usefixtures("plain_plots")
def test_content_only_leaves_one_generator(film_folder, tiny, tmp_path):
    run = train(replace(tiny, adversarial_share=0.0, steps=3), film_folder, tmp_path / "run")
    assert run.generator.is_file()
    assert not run.content_generator.exists()


@pytest.mark.slow
def test_minutes_end_a_run_too(film_folder, tiny, tmp_path):
    run = train(replace(tiny, steps=None, minutes=0.05), film_folder, tmp_path / "run")
    *before, last = [entry["seconds"] for entry in run.records() if "seconds" in entry]
    assert all(seconds < 60 * 0.05 for seconds in before) and last + 0.05 >= 60 * 0.05


@pytest.mark.slow
def test_the_published_discriminator_and_batch_norm_train_too(film_folder, tiny, tmp_path, weights):
    config = replace(tiny, discriminator="srgan", batch_norm=True, steps=4, adversarial_share=0.5)
    run = train(config, film_folder, tmp_path / "run")
    assert all(np.isfinite(weight).all() for weight in weights(run))


def test_an_existing_folder_is_never_lost(finished, film_folder, tiny, tmp_path):
    with pytest.raises(UserError, match="exists. Resume .* overwrite=True"):
        train(tiny, film_folder, finished.path)
    (tmp_path / "thesis.txt").write_text("precious")
    (tmp_path / "config.json").write_text('{"model": "of something else"}')
    with pytest.raises(UserError, match="not a run"):
        train(tiny, film_folder, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("out", ["P", "P/films", "P/films/run"])
def test_films_and_run_lie_apart_or_nothing_is_touched(finished, film_folder, tmp_path, out):
    """`overwrite` once deleted the films of a folder that held any config.json."""
    films = shutil.copytree(film_folder, tmp_path / "P" / "films")
    for folder in (tmp_path / "P", films):
        shutil.copy(finished.path / "config.json", folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="data and out must lie in different folders"):
        train(finished.config, films, tmp_path / out, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_films_that_do_not_fit_leave_an_older_run_as_it_was(finished, film_folder, tmp_path):
    path = shutil.copytree(finished.path, tmp_path / "run")
    before = sorted(path.rglob("*"))
    with pytest.raises(UserError, match="None of 8 films"):
        train(replace(finished.config, pair="32:128"), film_folder, path, overwrite=True)
    assert sorted(path.rglob("*")) == before


@pytest.mark.usefixtures("plain_plots")
def test_overwrite_replaces_an_older_run_and_no_other_file(finished, film_folder, tmp_path):
    path = shutil.copytree(finished.path, tmp_path / "run")
    for name in ("thesis.txt", "samples/mine.png", "checkpoints/notes.txt"):
        (path / name).write_text("precious")
    config = replace(finished.config, steps=1, adversarial_share=0.0, seed=3)
    run = train(config, film_folder, path, overwrite=True)
    assert Run.open(run.path).config.seed == 3
    assert not run.content_generator.exists()
    assert not list(path.glob("samples/step_0000005.png"))
    assert not list(path.glob("checkpoints/step-12*"))
    assert len(list(path.glob("tensorboard/*"))) == 1
    for name in ("thesis.txt", "samples/mine.png", "checkpoints/notes.txt"):
        assert (path / name).read_text() == "precious"


@pytest.mark.usefixtures("plain_plots")
def test_the_cache_may_lie_in_the_folder_of_the_run(film_folder, tiny, tmp_path):
    config, out = replace(tiny, steps=1, adversarial_share=0.0), tmp_path / "run"
    for overwrite in (False, True):
        assert train(config, film_folder, out, cache=out / "cache", overwrite=overwrite).finished
    with pytest.raises(UserError, match="exists"):
        train(config, film_folder, out, cache=out / "cache")


@pytest.mark.usefixtures("plain_plots")
def test_what_cannot_be_resumed_says_why(finished, film_folder, tiny, tmp_path, stop_at):
    with pytest.raises(UserError, match="is finished"):
        resume_training(finished.path)
    with pytest.raises(UserError, match="No run in"):
        resume_training(tmp_path)
    films = tmp_path / "films"
    shutil.copytree(film_folder, films)
    with pytest.raises(Interrupted):
        train(tiny, films, tmp_path / "run", callbacks=[stop_at(1)])
    next((films / "train").glob("*.png")).unlink()
    with pytest.raises(UserError, match="1 are gone"):
        resume_training(tmp_path / "run")


@pytest.mark.usefixtures("plain_plots")
def test_a_bad_film_is_skipped_and_named(film_folder, tiny, tmp_path):
    films = tmp_path / "films"
    shutil.copytree(film_folder, films)
    (films / "train" / "person99_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    run = train(replace(tiny, steps=1, adversarial_share=0.0), films, tmp_path / "run")
    (skipped,) = run.data()["skipped"]
    assert "person99_broken.png" in skipped["path"]
    assert "truncated" in skipped["reason"]


def test_a_disk_that_is_full_from_the_start_is_said(
    film_folder, tiny, tmp_path, largest_file, capsys
):
    with largest_file(10), pytest.raises(UserError, match="could not be begun: File too large"):
        train(tiny, film_folder, tmp_path / "run")


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
