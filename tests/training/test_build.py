"""Networks and optimizers as the settings describe them, in each precision."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models import Discriminator, EdgeGenerator, PatchDiscriminator, SRResNet
from xraysr.models.open import load_generator, save_generator
from xraysr.training import train
from xraysr.training.build import build_srgan, initialise

COMPUTE = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def batch(count: int = 4) -> tuple[tf.Tensor, tf.Tensor]:
    """Smooth images and their LR, which is their mean over 4 x 4 pixels."""
    random = np.random.default_rng(0)
    hr = np.cumsum(random.normal(0, 0.05, (count, 32, 32, 1)), axis=2).astype(np.float32)
    hr = np.clip(0.5 + hr, 0, 1)
    lr = hr.reshape(count, 8, 4, 8, 4, 1).mean(axis=(2, 4))
    return tf.constant(lr), tf.constant(hr)


@pytest.fixture(scope="module", params=COMPUTE)
def trained(request):
    """(srgan, content losses) after some steps of both phases, the weights not zero before."""
    from xraysr.training import TrainConfig

    keras.utils.set_random_seed(0)
    srgan = build_srgan(
        TrainConfig("16:64", steps=10, depth=1, width=8, crop=8, precision=request.param)
    )
    srgan.optimizer.learning_rate.assign(5e-3)
    losses = []
    for _ in range(15):
        losses.append(float(srgan.train_step(batch())["content"]))
        srgan.reset_metrics()
    srgan.phase = "adversarial"
    logs = {name: float(value) for name, value in srgan.train_step(batch()).items()}
    return request.param, srgan, losses, logs


def test_every_precision_trains_both_phases(trained):
    precision, srgan, losses, logs = trained
    assert losses[-1] < 0.8 * losses[0], precision
    assert all(np.isfinite(value) for value in logs.values())
    assert logs["skipped"] == 0.0
    assert int(srgan.optimizer.iterations) == 16
    assert int(srgan.discriminator_optimizer.iterations) == 1


def test_layers_compute_in_the_precision_and_keep_float32_weights(trained):
    precision, srgan, *_ = trained
    for network in (srgan.generator, srgan.discriminator):
        for variable in network.variables:
            assert variable.dtype == "float32"
    assert srgan.generator.body.compute_dtype == COMPUTE[precision]
    assert srgan.discriminator.stages[-1].convolution.compute_dtype == COMPUTE[precision]
    for last in (srgan.generator.tail, srgan.generator.skip, srgan.discriminator.verdict):
        assert last.compute_dtype == "float32"
    lr, hr = batch()
    assert srgan.generator(lr).dtype == srgan.discriminator(hr).dtype == tf.float32


def test_losses_are_scaled_in_float16_only_and_for_both_networks(trained):
    precision, srgan, *_ = trained
    for optimizer in (srgan.optimizer, srgan.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        assert (float(optimizer.dynamic_scale) > 1.0) == (precision == "mixed_float16")


def test_the_averaged_generator_is_float32_and_reloads_as_it_was_saved(trained, tmp_path):
    _, srgan, *_ = trained
    for layer in srgan.averaged._flatten_layers():
        assert layer.compute_dtype == "float32", layer.name
    save_generator(srgan.averaged, tmp_path / "generator.keras")
    loaded = load_generator(tmp_path / "generator.keras")
    lr, _ = batch()
    np.testing.assert_array_equal(loaded(lr), srgan.averaged(lr))
    assert loaded.body.compute_dtype == "float32"
    lanczos = srgan.generator.skip(lr)
    assert not np.allclose(loaded(lr), lanczos, atol=1e-4)


def test_the_policy_of_other_networks_is_left_as_it_was(trained):
    assert keras.config.dtype_policy().name == "float32"


def test_what_the_settings_say_reaches_the_networks(tiny):
    config = replace(
        tiny, discriminator="srgan", spectral_norm=True, batch_norm=True, adversarial_loss="hinge",
        content_loss="charbonnier", clip_norm=0.5, label_smoothing=0.1, r1_weight=2.0,
        average_decay=0.9,
    )  # fmt: skip
    srgan = build_srgan(config)
    assert isinstance(srgan.discriminator, Discriminator)
    assert srgan.discriminator.size == (32, 32)
    assert srgan.discriminator.spectral_norm
    assert srgan.generator.batch_norm
    assert srgan.averaged.batch_norm
    expected = {
        "adversarial_loss": "hinge", "content_loss": "charbonnier", "clip_norm": 0.5,
        "label_smoothing": 0.1, "r1_weight": 2.0, "average_decay": 0.9,
    }  # fmt: skip
    assert {name: srgan.loss_settings[name] for name in expected} == expected
    for one, other in zip(srgan.averaged.weights, srgan.generator.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_an_adversarial_phase_there_is_no_discriminator(tiny):
    srgan = build_srgan(replace(tiny, adversarial_share=0.0, clip_norm=0.0))
    assert srgan.discriminator is None
    assert srgan.discriminator_optimizer is None
    assert srgan.loss_settings["clip_norm"] is None


def test_the_patch_discriminator_is_the_usual_one(tiny):
    assert isinstance(build_srgan(tiny).discriminator, PatchDiscriminator)


def test_optimizers_have_their_state_before_the_first_step(tiny):
    """Else a checkpoint could not bring it back."""
    srgan = build_srgan(tiny)
    parts = srgan.checkpoint_parts()
    trainable = len(srgan.generator.trainable_variables)
    # Adam keeps two for each weight; steps and rate; the guard its scale and its counter twice.
    assert len(parts["optimizer"]) >= 2 * trainable + 4
    assert len(parts["discriminator_optimizer"]) >= (
        2 * len(srgan.discriminator.trainable_variables) + 4
    )


# Where a run begins that does not begin from nothing


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


def test_the_edge_generator_trains_too(film_folder, tiny, tmp_path):
    config = replace(tiny, generator="edge", steps=4, adversarial_share=0.0)
    run = train(config, film_folder, tmp_path / "run")
    assert isinstance(load_generator(run.generator), EdgeGenerator)
    assert run.lanczos() is not None
