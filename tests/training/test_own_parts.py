"""Parts of the user's own: a generator of twenty lines from films to a loaded upscaler."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import xraysr
from xraysr.errors import UserError
from xraysr.models.open import load_generator
from xraysr.spec import ModelSpec
from xraysr.training import Callback, Interrupted, Run, resume_training, train


@keras.saving.register_keras_serializable("tests")
class Tiny(keras.Model):
    """A generator as anybody would write it: plain Keras, twenty lines."""

    def __init__(self, width: int = 8, scale: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.width, self.scale_up = width, scale
        self.head = keras.layers.Conv2D(width, 3, padding="same", activation="relu")
        self.body = [keras.layers.Conv2D(width, 3, padding="same") for _ in range(2)]
        self.enlarge = keras.layers.UpSampling2D(scale)
        self.tail = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")

    def call(self, lr):
        x = self.head(lr)
        for layer in self.body:
            x = x + keras.ops.relu(layer(x))
        return self.enlarge(lr) + self.tail(self.enlarge(x))

    def get_config(self):
        return {**super().get_config(), "width": self.width, "scale": self.scale_up}


def critic() -> keras.Model:
    """A discriminator as anybody would write it."""
    return keras.Sequential(
        [keras.layers.Conv2D(4, 3, strides=2, activation="relu"), keras.layers.Conv2D(1, 3)]
    )


def huber(sr, hr):
    return tf.reduce_mean(keras.losses.huber(hr, sr, delta=0.1))


@pytest.fixture(scope="module")
def own_run(tiny, film_folder, tmp_path_factory) -> tuple[Run, keras.Model, list]:
    """A run of own parts in both phases, stopped and resumed; its generator; steps seen."""
    steps = []

    class Steps(Callback):
        def on_step(self, state):
            steps.append(state.step)
            if state.step == 2 and len(steps) == 2:
                state.stop("Lunch")

    config = replace(tiny, steps=4, adversarial_share=0.5, validate_every=2)
    out = tmp_path_factory.mktemp("own") / "run"
    with pytest.raises(Interrupted, match="Lunch"):
        train(
            config, film_folder, out, generator=Tiny(), discriminator=critic(),
            content_loss=huber, callbacks=[Steps()],
        )  # fmt: skip
    generator = Tiny()
    run = resume_training(
        out, generator=generator, discriminator=critic(), content_loss=huber, callbacks=[Steps()]
    )
    return run, generator, steps


def test_it_trains_validates_and_is_saved(own_run):
    run, generator, steps = own_run
    assert steps == [1, 2, 3, 4]
    assert list(run.scores()) == [0, 2, 4]
    assert [entry["phase"] for entry in run.records() if "phase" in entry] == [
        "content", "content", "adversarial", "adversarial",
    ]  # fmt: skip
    saved = load_generator(run.generator)
    assert isinstance(saved, Tiny)
    assert any(weight.any() for weight in saved.tail.get_weights()), "it began at zero"
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(saved.get_weights(), generator.get_weights(), strict=True)
    ), "what is saved is the average"


def test_the_run_loads_as_any_other(own_run):
    run, *_ = own_run
    upscaler = xraysr.load(run.path)
    lr = np.random.default_rng(0).random((17, 40), dtype=np.float32)
    sr = upscaler(lr)
    expected = load_generator(run.generator)(lr[None, ..., None])
    np.testing.assert_allclose(sr, np.clip(expected, 0, 1)[0, ..., 0], atol=1e-5)


def test_the_card_says_what_was_used(own_run):
    run, *_ = own_run
    spec = ModelSpec.load(run.generator)
    own = spec.training["own_parts"]
    assert own == Run.open(run.path).own_parts
    assert own["generator"].endswith("Tiny")
    assert own["discriminator"].endswith("Sequential")
    assert own["content_loss"].endswith("huber")
    assert spec.scale == 4


def blocks(hr, lr_size):
    """LR as the mean of blocks of pixels."""
    return hr.reshape(lr_size[0], -1, lr_size[1], hr.shape[1] // lr_size[1]).mean(axis=(1, 3))


@pytest.mark.usefixtures("plain_plots")
def test_the_degradation_that_was_used_is_the_one_the_card_states(film_folder, tiny, tmp_path):
    config = replace(tiny, steps=1, adversarial_share=0.0)
    plain = train(config, film_folder, tmp_path / "plain")
    own = train(config, film_folder, tmp_path / "own", degradation=blocks)
    said = [ModelSpec.load(run.generator).degradation for run in (plain, own)]
    assert said[0].startswith("lanczos3, antialias")
    assert said[1] == "blocks"
    assert own.lanczos() != plain.lanczos()
    assert own.own_parts["degradation"].endswith("blocks")


def test_a_run_goes_on_only_with_the_parts_it_was_begun_with(own_run, tmp_path):
    run, *_ = own_run
    begun = Run.create(tmp_path / "run", run.config, run.own_parts)
    with pytest.raises(UserError, match="Expected: generator=.*Tiny.* Received: none"):
        resume_training(begun.path)
    with pytest.raises(UserError, match="Received: generator=.*Sequential"):
        resume_training(begun.path, generator=critic())


@pytest.mark.parametrize(
    ("parts", "change", "words"),
    [
        ({"generator": Tiny(scale=2)}, {}, r"must map LR of shape \(1, 8.* to \(1, 32, 32, 1\)"),
        ({"generator": keras.Sequential([keras.layers.Dense(2), keras.layers.Reshape((7,))])}, {},
         "generator must be a Keras model that get_config can copy"),
        ({"discriminator": critic()}, {"adversarial_share": 0.0}, "discriminator has no use"),
        ({"generator": Tiny()}, {"init": "base-x4"}, "init loads weights into a generator of"),
    ],
    ids=["scale", "shape", "phase", "init"],
)  # fmt: skip
def test_a_part_that_does_not_fit_is_refused(film_folder, tiny, tmp_path, parts, change, words):
    with pytest.raises(UserError, match=words):
        train(replace(tiny, **change), film_folder, tmp_path / "run", **parts)
    assert not (tmp_path / "run").exists()
