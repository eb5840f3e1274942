"""SRGAN's train_step: the right losses reach the right network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models import PatchDiscriminator, SRResNet
from xraysr.training import SRGAN


def batch(seed: int = 0, count: int = 4):
    random = np.random.default_rng(seed)
    hr = random.random((count, 32, 32, 1), dtype=np.float32)
    return hr[:, ::4, ::4], hr


def make(optimizer=None, extractor=None, **weights) -> SRGAN:
    keras.utils.set_random_seed(0)
    generator = SRResNet(4, depth=1, width=8)
    generator.build((None, 8, 8, 1))
    discriminator = PatchDiscriminator(stages=2, filters=8)
    discriminator.build((None, 32, 32, 1))
    random = np.random.default_rng(1)
    generator.set_weights([0.1 * random.standard_normal(w.shape) for w in generator.get_weights()])
    srgan = SRGAN(generator, discriminator, extractor)
    srgan.compile(optimizer or keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2), **weights)
    return srgan


def test_a_content_step_is_one_gradient_step_on_l1():
    srgan, (lr, hr) = make(keras.optimizers.SGD(0.1)), batch()
    generator = srgan.generator
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(hr - generator(lr, training=True)))
    gradients = tape.gradient(loss, generator.trainable_variables)
    expected = [
        v.numpy() - 0.1 * g.numpy()
        for v, g in zip(generator.trainable_variables, gradients, strict=True)
    ]
    logs = srgan.train_step((lr, hr))
    assert float(logs["content"]) == pytest.approx(float(loss), rel=1e-5)
    for variable, value in zip(generator.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-6)


def test_the_content_phase_leaves_the_discriminator_alone():
    srgan = make()
    before = srgan.discriminator.get_weights()
    srgan.train_step(batch())
    for old, new in zip(before, srgan.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_discriminator_learns_to_tell_hr_from_sr():
    srgan, data = make(keras.optimizers.SGD(0.0)), batch()
    srgan.phase = "adversarial"
    step = tf.function(srgan.train_step)
    first = float(step(data)["discriminator"])
    for _ in range(30):
        srgan.reset_metrics()
        last = float(step(data)["discriminator"])
    assert last < 0.5 * first


def test_the_adversarial_loss_teaches_the_generator_to_look_real():
    """With the discriminator held still, a step raises its verdict on SR."""
    srgan, (lr, hr) = make(content_weight=0.0, adversarial_weight=1.0), batch()
    srgan.optimizer.learning_rate = 1e-3
    srgan.discriminator_optimizer.learning_rate = 0.0
    srgan.phase = "adversarial"

    def verdict():
        sr = srgan.generator(lr, training=True)
        return float(tf.reduce_mean(srgan.discriminator(sr, training=True)))

    before = verdict()
    for _ in range(10):
        srgan.train_step((lr, hr))
    assert verdict() > before


def test_without_adversarial_weight_the_second_phase_equals_the_first():
    one, two, data = make(), make(adversarial_weight=0.0), batch()
    two.phase = "adversarial"
    for _ in range(3):
        one.train_step(data)
        two.train_step(data)
    for a, b in zip(one.generator.get_weights(), two.generator.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_feature_loss_is_the_mean_square_between_features():
    inputs = keras.Input((None, None, 1))
    extractor = keras.Model(inputs, keras.ops.square(inputs))
    srgan = make(extractor=extractor, feature_weight=1.0)
    srgan.phase = "adversarial"
    lr, hr = batch()
    sr = srgan.generator(lr, training=True).numpy()
    logs = srgan.train_step((lr, hr))
    assert float(logs["feature"]) == pytest.approx(np.mean((sr**2 - hr**2) ** 2), rel=1e-5)


def test_fit_evaluate_and_switching_the_phase_work_as_in_any_keras_model():
    srgan, data = make(), batch(count=8)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(4, drop_remainder=True)
    losses = srgan.fit(dataset, epochs=6, verbose=0).history["content"]
    assert losses[-1] < losses[0]
    srgan.phase = "adversarial"
    history = srgan.fit(dataset, epochs=1, verbose=0).history
    assert {"content", "adversarial", "discriminator"} <= set(history)
    sr = srgan.generator(data[0]).numpy()[:, 4:-4, 4:-4]
    expected = np.mean(-10 * np.log10(np.mean((sr - data[1][:, 4:-4, 4:-4]) ** 2, (1, 2, 3))))
    found = srgan.evaluate(dataset, verbose=0, return_dict=True)
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)
    content = np.mean(np.abs(srgan.generator(data[0]).numpy() - data[1]))
    assert found["loss"] == pytest.approx(content, rel=1e-4)


def test_a_saved_srgan_comes_back_with_both_networks_and_optimizers(tmp_path):
    srgan, data = make(adversarial_weight=0.25), batch()
    srgan.build((None, 8, 8, 1))
    srgan.phase = "adversarial"
    srgan.train_step(data)
    srgan.save(tmp_path / "srgan.keras")
    again = keras.saving.load_model(tmp_path / "srgan.keras")
    for part in ("generator", "discriminator"):
        old, new = getattr(srgan, part), getattr(again, part)
        for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert again.loss_settings["adversarial_weight"] == 0.25
    for name in ("optimizer", "discriminator_optimizer"):
        old, new = getattr(srgan, name), getattr(again, name)
        assert int(new.iterations) == int(old.iterations) == 1
        for a, b in zip(old.variables, new.variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_callbacks_of_keras_find_val_loss_and_val_psnr(tmp_path):
    srgan, data = make(), batch(count=8)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(4, drop_remainder=True)
    best = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.weights.h5"), monitor="val_loss", save_best_only=True,
        save_weights_only=True,
    )  # fmt: skip
    early = keras.callbacks.EarlyStopping(monitor="val_psnr", mode="max", patience=5)
    history = srgan.fit(
        dataset, validation_data=dataset, epochs=2, verbose=0, callbacks=[best, early]
    ).history
    assert {"val_loss", "val_psnr"} <= set(history)
    assert (tmp_path / "best.weights.h5").is_file()
    assert early.best == pytest.approx(max(history["val_psnr"]))


@pytest.mark.parametrize("phase", ["content", "adversarial"])
def test_the_phase_comes_back_with_a_saved_srgan(tmp_path, phase):
    srgan = make()
    srgan.phase = phase
    srgan.save(tmp_path / "srgan.keras")
    assert keras.saving.load_model(tmp_path / "srgan.keras").phase == phase


class OwnGenerator(keras.Model):
    """Built only when it is called; some of its layers lie in a list, one weight is never used."""

    def __init__(self):
        super().__init__()
        self.layers_in_a_list = [keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
        self.enlarge = keras.layers.UpSampling2D(4, interpolation="bilinear")
        self.last = keras.layers.Conv2D(1, 3, padding="same")
        self.idle = keras.layers.Conv2D(1, 1)

    def call(self, x):
        for layer in self.layers_in_a_list:
            x = layer(x)
        self.idle(x)
        return self.last(self.enlarge(x))


class OwnDiscriminator(keras.Model):
    """Knows the size of its images only when it sees one."""

    def __init__(self):
        super().__init__()
        self.stages = [keras.layers.Conv2D(4, 3, strides=2), keras.layers.Flatten()]
        self.verdict = keras.layers.Dense(1)

    def call(self, x):
        for stage in self.stages:
            x = stage(x)
        return self.verdict(x)


def own(**settings) -> SRGAN:
    keras.utils.set_random_seed(0)
    srgan = SRGAN(OwnGenerator(), OwnDiscriminator(), averaged=OwnGenerator())
    srgan.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2), **settings)
    return srgan


@pytest.mark.parametrize("kind", ["dataset", "arrays", "batch"])
def test_networks_of_the_user_need_no_call_before_fit(kind):
    srgan, data = own(), batch(count=8)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(4, drop_remainder=True)
    fit = {
        "dataset": lambda: srgan.fit(dataset, validation_data=dataset, verbose=0),
        "arrays": lambda: srgan.fit(*data, batch_size=4, verbose=0),
        "batch": lambda: srgan.train_on_batch(*data),
    }[kind]

    def moved() -> tuple[bool, ...]:
        networks = srgan.generator, srgan.discriminator
        before = [network.get_weights() for network in networks]
        fit()
        return tuple(
            any(not np.array_equal(a, b) for a, b in zip(old, network.get_weights(), strict=True))
            for old, network in zip(before, networks, strict=True)
        )

    fit()
    assert moved() == (True, False)
    srgan.phase = "adversarial"
    assert moved() == (True, True)
    assert len(srgan.optimizer.inner_optimizer.variables) >= 2 * len(
        srgan.generator.trainable_variables
    )


def test_a_checkpoint_of_tensorflow_holds_both_networks_and_optimizers(tmp_path):
    srgan, data = make(), batch()
    srgan.phase = "adversarial"
    srgan.train_step(data)
    path = tf.train.Checkpoint(model=srgan).save(str(tmp_path / "state"))
    parts = srgan.checkpoint_parts()
    kept = {name: [each.numpy() for each in some] for name, some in parts.items()}
    for each in (variable for some in parts.values() for variable in some):
        each.assign(tf.zeros_like(each))
    tf.train.Checkpoint(model=srgan).restore(path)
    assert len(kept["discriminator"]) > 4
    for name, values in kept.items():
        for value, variable in zip(values, parts[name], strict=True):
            np.testing.assert_array_equal(value, variable.numpy(), err_msg=name)


@keras.saving.register_keras_serializable("tests")
def twice_l1(sr, hr):
    return 2 * tf.reduce_mean(tf.abs(sr - hr))


def test_a_content_loss_of_the_user_is_minimised_and_comes_back_from_disk(tmp_path):
    data = batch()
    losses = [
        float(make(content_loss=each).train_step(data)["content"]) for each in ("l1", twice_l1)
    ]
    assert losses[1] == pytest.approx(2 * losses[0], rel=1e-5)
    make(content_loss=twice_l1).save(tmp_path / "srgan.keras")
    again = keras.saving.load_model(tmp_path / "srgan.keras")
    assert float(again.train_step(data)["content"]) == pytest.approx(losses[1], rel=1e-5)


def test_hr_of_another_scale_is_named_with_what_was_expected():
    srgan, (lr, hr) = make(), batch()
    words = "HR must have the size of SR, 32x32 for LR of 8x8. Received: HR of 16x16"
    for run in (srgan.fit, srgan.evaluate):
        with pytest.raises(UserError, match=words):
            run(lr, hr[:, ::2, ::2], verbose=0)


def test_mistakes_are_named():
    srgan = make()
    with pytest.raises(ValueError, match="phase='gan'"):
        srgan.phase = "gan"
    alone = SRGAN(SRResNet(2, depth=1, width=8))
    with pytest.raises(ValueError, match="needs a discriminator"):
        alone.phase = "adversarial"
    with pytest.raises(ValueError, match="feature_weight=1"):
        alone.compile(keras.optimizers.Adam(), feature_weight=1)
    with pytest.raises(ValueError, match="discriminator_optimizer"):
        srgan.compile(keras.optimizers.Adam())
    with pytest.raises(UserError, match="content_loss must be l1, charbonnier, mse"):
        alone.compile(keras.optimizers.Adam(), content_loss="l2")
    with pytest.raises(UserError, match="adversarial_loss must be bce"):
        alone.compile(keras.optimizers.Adam(), adversarial_loss="wgan")
