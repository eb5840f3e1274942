"""`SRGAN`: a generator and a discriminator that train against each other."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models import Discriminator, PatchDiscriminator, SRNetwork
from xraysr.training.losses import (
    ContentLoss,
    accuracy,
    adversarial_loss_of,
    content_loss_of,
    feature_loss,
    r1_penalty,
)
from xraysr.training.updates import apply_gradients, decay_at, guarded, update_average

PHASES = ("content", "adversarial")
PARTS = ("generator", "discriminator", "feature_extractor", "averaged")
ANY_SIZE = (None, None, None, 1)
# They can be built before their images are known.
BUILT_FOR_ANY_SIZE = (SRNetwork, Discriminator, PatchDiscriminator)


@keras.saving.register_keras_serializable("xraysr")
class SRGAN(keras.Model):
    """Super-resolution GAN with a custom `train_step` in two phases.

    In the `content` phase the generator alone learns to minimise the content loss. In the
    `adversarial` phase the discriminator learns to tell HR from SR and the generator minimises
    content + adversarial + feature loss. Assign `phase` to switch.

    Every loss is a plain mean over the replica's part of the batch, and gradients are averaged
    over all replicas before they are clipped, checked and applied: loss weights mean the same on
    any number of devices, and a batch that gives a non-finite gradient on one replica is skipped
    by all.

    `fit` logs `content` and, in the adversarial phase, `adversarial`, `feature`, `discriminator`
    and `accuracy`; validation logs `val_loss`, which is the content loss, and `val_psnr`.

    Args:
        generator: Maps LR to SR: one of ours, or any Keras model that enlarges.
        discriminator: Maps an HR-sized image to logits; needed in the adversarial phase only.
        feature_extractor: Maps an HR-sized image to features, or a list of them, for the feature
            loss.
        averaged: A generator of the same shape that follows the moving average of the first, for
            validation and export; None keeps none.

    Example:
        >>> srgan = SRGAN(SRResNet.for_pair("64:256"), PatchDiscriminator())
        >>> srgan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-4))
        >>> srgan.fit(batches, steps_per_epoch=100)
        >>> srgan.phase = "adversarial"
        >>> srgan.fit(batches, steps_per_epoch=100)

    Data: batches of (LR, HR), float32 in [0, 1], (batch, height, width, 1).

    Reference:
        [Ledig et al., 2017](https://arxiv.org/abs/1609.04802)
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model | None = None,
        feature_extractor: keras.Model | None = None,
        averaged: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator: Any = discriminator
        self.feature_extractor: Any = feature_extractor
        self.averaged: Any = averaged
        self._phase = "content"
        names = ("content", "adversarial", "feature", "discriminator", "accuracy", "skipped")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.validation = {name: keras.metrics.Mean(name=name) for name in ("loss", "psnr")}

    @property
    def phase(self) -> str:
        """`content` or `adversarial`."""
        return self._phase

    @phase.setter
    def phase(self, phase: str) -> None:
        if phase not in PHASES:
            raise ValueError(f"phase must be one of {PHASES}. Received: phase={phase!r}")
        if phase == "adversarial" and self.discriminator is None:
            raise ValueError("The adversarial phase needs a discriminator. Received: None")
        self._phase = phase
        self.train_function = None  # traced for the phase before

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        content_loss: str | ContentLoss = "l1",
        adversarial_loss: str = "bce",
        content_weight: float = 1.0,
        adversarial_weight: float = 2e-3,
        feature_weight: float = 0.0,
        r1_weight: float = 0.0,
        label_smoothing: float = 0.0,
        clip_norm: float | None = None,
        average_decay: float = 0.999,
        **kwargs: Any,
    ) -> None:
        """Sets optimizers and losses, and builds our networks for any size of image.

        Others are built by `fit`, or by `build_for`, once the size of the images is known.

        Args:
            generator_optimizer: Wrapped in a `LossScaleOptimizer`, unless it is one.
            discriminator_optimizer: The same.
            content_loss: `l1`, `charbonnier` or `mse`, or a function of (sr, hr), float32 (batch,
                height, width, 1), that returns one number.
            adversarial_loss: `bce`, `least_squares`, `hinge` or `relativistic`.
            content_weight: Factor of the content loss.
            adversarial_weight: Factor of the generator's adversarial loss.
            feature_weight: Factor of the feature loss.
            r1_weight: Factor of half the R1 penalty of the discriminator.
            label_smoothing: What is taken off the discriminator's goal for real images.
            clip_norm: Largest global norm of each network's gradient.
            average_decay: Of the averaged generator.

        Raises:
            UserError: if there is no such loss.
            ValueError: if an optimizer or the feature extractor is missing.
        """
        if self.discriminator is not None and discriminator_optimizer is None:
            raise ValueError("compile needs discriminator_optimizer. Received: None")
        if feature_weight and self.feature_extractor is None:
            raise ValueError(
                "A feature loss needs a feature_extractor. Received: "
                f"feature_weight={feature_weight}"
            )
        super().compile(optimizer=guarded(generator_optimizer), **kwargs)
        self.discriminator_optimizer: Any = guarded(discriminator_optimizer)
        self.loss_settings: dict[str, Any] = {
            "content_loss": content_loss,
            "adversarial_loss": adversarial_loss,
            "content_weight": content_weight,
            "adversarial_weight": adversarial_weight,
            "feature_weight": feature_weight,
            "r1_weight": r1_weight,
            "label_smoothing": label_smoothing,
            "clip_norm": clip_norm,
            "average_decay": average_decay,
        }
        self._content_loss = content_loss_of(content_loss)
        self._discriminator_loss, self._generator_loss = adversarial_loss_of(adversarial_loss)
        self._weights_of = {
            "content": content_weight,
            "adversarial": adversarial_weight,
            "feature": feature_weight,
        }
        self.build(ANY_SIZE)
        self._build_optimizers()

    def build(self, input_shape):
        for network in (self.generator, self.averaged, self.discriminator):
            if isinstance(network, BUILT_FOR_ANY_SIZE) and not network.built:
                network.build(ANY_SIZE)

    def build_for(self, lr_shape: Any, hr_shape: Any) -> None:
        """Builds what `compile` could not: networks that need to see an image first.

        Args:
            lr_shape: Of a batch, (batch, height, width, 1); None stands for any.
            hr_shape: The same, `scale` times as high and wide.
        """
        for network, shape in (
            (self.generator, lr_shape),
            (self.averaged, lr_shape),
            (self.discriminator, hr_shape),
        ):
            if network is not None and not network.built:
                network(tf.zeros([1, *(side or 32 for side in tuple(shape)[1:])]))
        self._build_optimizers()

    def _build_optimizers(self) -> None:
        """What is built before the first step, a checkpoint can hold."""
        for network, optimizer in (
            (self.generator, self.optimizer),
            (self.discriminator, self.discriminator_optimizer),
        ):
            if network is not None and network.built and not optimizer.built:
                optimizer.build(network.trainable_variables)
        # `tf.train.Checkpoint(model=srgan)` finds by itself neither layers kept in a Python list
        # nor the optimizer inside a `LossScaleOptimizer`.
        self.checkpoint_state = tf.train.Checkpoint(**self.checkpoint_parts())

    def fit(self, x=None, y=None, *args, **kwargs):
        self._build_for_data(x, y)
        return super().fit(x, y, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        self._build_for_data(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def _build_for_data(self, x: Any, y: Any) -> None:
        """`build_for` the sizes in a dataset, a `PyDataset` or arrays."""
        spec = getattr(x, "element_spec", None)
        if spec is None:
            spec = x[0] if y is None and hasattr(x, "__getitem__") else (x, y)
        if all(hasattr(each, "shape") for each in spec[:2]):
            self.build_for(spec[0].shape, spec[1].shape)

    def checkpoint_parts(self) -> dict[str, list[tf.Variable]]:
        """Every variable a checkpoint must hold to go on as if nothing had happened."""
        names = ("generator", "averaged", "discriminator", "optimizer", "discriminator_optimizer")
        parts = {name: getattr(self, name) for name in names}
        return {
            name: [variable.value for variable in part.variables]
            for name, part in parts.items()
            if part is not None
        }

    @property
    def metrics(self):
        return [*self.trackers.values(), *self.validation.values()]

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    def train_step(self, data):
        lr, hr = data[:2]
        state = self._forward_state()
        before = [tf.identity(variable) for variable in state]
        steps = tf.identity(self.optimizer.iterations)
        with tf.GradientTape() as tape:
            sr = self.generator(lr, training=True)
            self._require_size(lr, sr, hr)
            good = tf.constant(True)
            if self.phase == "adversarial":
                with tape.stop_recording():
                    good = self._discriminator_step(sr, hr)
            losses = self._generator_losses(sr, hr)
            total = sum(self._weights_of[name] * loss for name, loss in losses.items())
            scaled = self.optimizer.scale_loss(total)
        applied = self._apply(self.optimizer, tape, scaled, self.generator)
        good &= self._track({**losses, "total": total}, applied)
        for variable, value in zip(state, before, strict=True):
            variable.assign(tf.where(good, variable, value))
        if self.averaged is not None:
            now = tf.identity(self.optimizer.iterations)
            decay = decay_at(now, self.loss_settings["average_decay"])
            update_average(self.averaged, self.generator, decay, now > steps)
        names = [name for name in self.trackers if name in losses or name == "skipped"]
        if self.phase == "adversarial":
            names += ["discriminator", "accuracy"]
        return {name: self.trackers[name].result() for name in names}

    def _forward_state(self) -> list[tf.Variable]:
        """What the networks' forward passes change, which a bad batch must not."""
        networks = [self.generator]
        if self.phase == "adversarial":
            networks.append(self.discriminator)
        return [variable.value for each in networks for variable in each.non_trainable_variables]

    def _generator_losses(self, sr, hr) -> dict[str, tf.Tensor]:
        losses = {"content": self._content_loss(sr, hr)}
        if self.phase == "adversarial":
            real, fake = self._verdicts(hr, sr)
            losses["adversarial"] = self._generator_loss(real, fake)
            if self.feature_extractor is not None:
                losses["feature"] = feature_loss(
                    self.feature_extractor(sr), self.feature_extractor(hr)
                )
        return losses

    def _verdicts(self, hr, sr):
        """Logits of real images, where the generator's loss looks at them, and of SR."""
        fake = self.discriminator(sr, training=True)
        relative = self.loss_settings["adversarial_loss"] == "relativistic"
        return (self.discriminator(hr, training=True) if relative else fake), fake

    def _discriminator_step(self, sr, hr) -> tf.Tensor:
        r1_weight = self.loss_settings["r1_weight"]
        with tf.GradientTape() as tape:
            real = self.discriminator(hr, training=True)
            fake = self.discriminator(sr, training=True)
            loss = self._discriminator_loss(real, fake, self.loss_settings["label_smoothing"])
            if r1_weight:
                loss += 0.5 * r1_weight * r1_penalty(self.discriminator, hr)
            scaled = self.discriminator_optimizer.scale_loss(loss)
        applied = self._apply(self.discriminator_optimizer, tape, scaled, self.discriminator)
        right = accuracy(self.loss_settings["adversarial_loss"], real, fake)
        return self._track({"discriminator": loss, "accuracy": right}, applied)

    def _apply(self, optimizer, tape, loss, model) -> tf.Tensor:
        variables = [variable.value for variable in model.trainable_variables]
        # A model of the user's may have weights that it never uses.
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(loss, variables, unconnected_gradients=zero)
        clip_norm = self.loss_settings["clip_norm"]
        return apply_gradients(optimizer, gradients, model.trainable_variables, clip_norm)

    def _track(self, losses: dict[str, tf.Tensor], applied: tf.Tensor) -> tf.Tensor:
        """Notes the means of all replicas where they are finite; `skipped` counts the rest.

        Returns:
            Whether the losses are finite and the step was `applied`: the same on all replicas.
        """
        replica = tf.distribute.get_replica_context()
        means = replica.all_reduce(tf.distribute.ReduceOp.MEAN, list(losses.values()))
        good = applied & tf.reduce_all(tf.math.is_finite(tf.stack(means)))
        weight = tf.cast(good, tf.float32)
        for name, mean in zip(losses, means, strict=True):
            if name in self.trackers:
                self.trackers[name].update_state(tf.where(good, mean, 0.0), sample_weight=weight)
        self.trackers["skipped"].update_state(1.0 - weight)
        return good

    def test_step(self, data):
        lr, hr = data[:2]
        sr = (self.averaged or self.generator)(lr)
        self._require_size(lr, sr, hr)
        border = hr.shape[1] // lr.shape[1] if hr.shape[1] and lr.shape[1] else self.generator.scale
        window = slice(border, -border)
        decibels = tf.image.psnr(sr[:, window, window], hr[:, window, window], max_val=1.0)
        self.validation["loss"].update_state(self._content_loss(sr, hr))
        self.validation["psnr"].update_state(decibels)
        return {name: metric.result() for name, metric in self.validation.items()}

    @staticmethod
    def _require_size(lr: tf.Tensor, sr: tf.Tensor, hr: tf.Tensor) -> None:
        if not sr.shape[1:3].is_compatible_with(hr.shape[1:3]):
            sizes = ("x".join(map(str, each.shape[1:3])) for each in (sr, lr, hr))
            raise UserError(
                "HR must have the size of SR, {} for LR of {}. Received: HR of {}".format(*sizes)
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS},
            "phase": self.phase,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in PARTS}
        phase = config.pop("phase", "content")
        srgan = cls(**parts, **config)
        srgan.phase = phase
        return srgan

    def get_compile_config(self) -> dict[str, Any]:
        names = ("optimizer", "discriminator_optimizer")
        settings = {**self.loss_settings, **{name: getattr(self, name) for name in names}}
        return {
            name: keras.saving.serialize_keras_object(value) for name, value in settings.items()
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        settings = {
            name: keras.saving.deserialize_keras_object(value) for name, value in config.items()
        }
        self.compile(settings.pop("optimizer"), settings.pop("discriminator_optimizer"), **settings)
