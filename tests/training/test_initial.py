"""A run that begins with a trained generator: all of it, or the trunk of another scale."""

from dataclasses import replace

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.models import EdgeGenerator, SRResNet
from xraysr.models.open import load_generator, save_generator
from xraysr.training import TrainConfig, resume_training, settings_of, train
from xraysr.training.families import FAMILIES
from xraysr.training.initial import initialise
from xraysr.training.trainer import Trainer


def made(kind, scale, seed=0, **settings):
    generator = kind.for_pair(f"8:{8 * scale}", **{"depth": 2, "width": 8, **settings})
    random = np.random.default_rng(seed)
    generator.set_weights([random.normal(size=w.shape) for w in generator.get_weights()])
    return generator


@pytest.fixture
def saved(tmp_path):
    def save(generator):
        save_generator(generator, tmp_path / "trained.keras")
        return str(tmp_path / "trained.keras")

    return save


@pytest.mark.parametrize("kind", [SRResNet, EdgeGenerator])
def test_all_weights_come_from_one_of_the_same_scale(kind, saved):
    source, target = made(kind, 4), made(kind, 4, seed=1)
    initialise(target, saved(source))
    for ours, theirs in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "fresh"), [(SRResNet, ("upsample", "tail")), (EdgeGenerator, ("tail",))]
)
def test_of_another_scale_only_the_trunk_is_taken(kind, fresh, saved):
    source, target, before = made(kind, 4), made(kind, 3, seed=1), made(kind, 3, seed=1)
    initialise(target, saved(source))
    trained = {weight.path.split("/", 1)[1]: weight for weight in source.weights}
    checked = set()
    for ours, old in zip(target.weights, before.weights, strict=True):
        name = ours.path.split("/", 1)[1]
        expected = old if name.startswith(fresh) else trained[name]
        np.testing.assert_array_equal(ours, expected)
        checked.add(name.startswith(fresh))
    assert checked == {True, False}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: made(SRResNet, 4, depth=3), "depth 2.*Received.*depth 3"),
        (lambda: made(SRResNet, 4, batch_norm=True), "batch_norm False.*Received.*True"),
        (lambda: made(EdgeGenerator, 4), "generator SRResNet.*Received.*EdgeGenerator"),
    ],
)
def test_one_that_is_built_otherwise_is_refused(source, words, saved):
    with pytest.raises(UserError, match=words):
        initialise(made(SRResNet, 4), saved(source()))


@pytest.mark.slow
def test_a_run_begins_where_another_ended(film_folder, tiny, tmp_path):
    content = replace(tiny, steps=2, adversarial_share=0.0)
    first = train(content, film_folder, tmp_path / "first")
    # From the first step on in the adversarial phase, so little is learned that nothing moves far.
    config = replace(tiny, steps=1, adversarial_share=1.0, init=str(first.path))
    second = train(config, film_folder, tmp_path / "second")
    begun, ended = list(first.scores().values()), list(second.scores().values())
    assert ended[0] == pytest.approx(begun[-1], abs=1e-6)
    assert [entry["phase"] for entry in second.records() if "phase" in entry] == ["adversarial"]
    for ours, theirs in zip(
        load_generator(second.content_generator).get_weights(),
        load_generator(first.generator).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_resumed_run_needs_its_beginning_no_more(film_folder, tiny, tmp_path, monkeypatch):
    source = made(SRResNet, 4, depth=1)
    save_generator(source, tmp_path / "trained.keras")
    config = replace(
        tiny, steps=4, adversarial_share=0.0, validate_every=2, init=str(tmp_path / "trained.keras")
    )
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_generator", lambda *_: None)
        train(config, film_folder, tmp_path / "run")
    (tmp_path / "trained.keras").unlink()
    assert resume_training(tmp_path / "run").finished


def test_the_edge_generator_trains_too(film_folder, tiny, tmp_path):
    config = replace(tiny, generator="edge", steps=4, adversarial_share=0.0)
    run = train(config, film_folder, tmp_path / "run")
    assert isinstance(load_generator(run.generator), EdgeGenerator)
    assert run.lanczos() is not None


def test_the_peak_is_lower_for_a_generator_that_has_learned():
    config = TrainConfig("64:256", steps=1)
    assert (
        config.learning_rate > 2 * replace(config, learning_rate=None, init="base-x4").learning_rate
    )
    assert replace(config, learning_rate=3e-3, init="base-x4").learning_rate == 3e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_a_valid_run(family):
    config = TrainConfig("64:256", steps=1, **settings_of(family))
    assert config.is_adversarial == (family == "gan")


def test_an_unknown_family_is_refused():
    with pytest.raises(UserError, match="preset must be edge, base, gan. Received: preset=large"):
        settings_of("large")


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="generator must be srresnet or edge"):
        TrainConfig("64:256", steps=1, generator="unet")
    with pytest.raises(UserError, match="batch_norm"):
        TrainConfig("64:256", steps=1, generator="edge", batch_norm=True)
