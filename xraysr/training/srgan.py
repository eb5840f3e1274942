"""`SRGAN`: a generator and a discriminator that train against each other."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from xraysr.models import Generator

PHASES = ("content", "adversarial")


@keras.saving.register_keras_serializable("xraysr")
class SRGAN(keras.Model):
    """Super-resolution GAN with a custom `train_step` in two phases.

    In the `content` phase the generator alone learns to minimise the L1 distance to HR. In the
    `adversarial` phase the discriminator learns to tell HR from SR and the generator minimises
    content + adversarial + feature loss. Assign `phase` to switch.

    Every loss is a plain mean over the replica's part of the batch; gradients are averaged over
    all replicas before the optimizers see them, so loss weights mean the same on any number of
    devices.

    Args:
        generator: Maps LR to SR.
        discriminator: Maps an HR-sized image to logits; needed in the adversarial phase only.
        feature_extractor: Maps an HR-sized image to features, for the feature loss.

    Example:
        >>> srgan = SRGAN(Generator.for_pair("64:256"), PatchDiscriminator())
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
        generator: Generator,
        discriminator: keras.Model | None = None,
        feature_extractor: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator: Any = discriminator
        self.feature_extractor: Any = feature_extractor
        self._phase = "content"
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ("content", "adversarial", "feature", "discriminator")
        }
        self.psnr = keras.metrics.Mean(name="psnr")

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
        content_weight: float = 1.0,
        adversarial_weight: float = 1e-3,
        feature_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Sets the optimizers and the weights of the generator's losses."""
        if self.discriminator is not None and discriminator_optimizer is None:
            raise ValueError("compile needs discriminator_optimizer. Received: None")
        if feature_weight and self.feature_extractor is None:
            raise ValueError(
                f"A feature loss needs a feature_extractor. Received: "
                f"feature_weight={feature_weight}"
            )
        super().compile(optimizer=generator_optimizer, **kwargs)
        self.discriminator_optimizer: Any = discriminator_optimizer
        self.content_weight = content_weight
        self.adversarial_weight = adversarial_weight
        self.feature_weight = feature_weight

    def build_optimizers(self) -> None:
        """Creates the optimizers' state, so that a checkpoint can hold it from the first step."""
        self.optimizer.build(self.generator.trainable_variables)
        if self.discriminator is not None:
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def checkpoint_parts(self) -> dict[str, list[tf.Variable]]:
        """Every variable a `tf.train.Checkpoint` must hold to go on as if nothing had happened.

        They are listed, because a checkpoint of the models themselves leaves out layers that are
        kept in a Python list.
        """
        names = ("generator", "discriminator", "optimizer", "discriminator_optimizer")
        parts = {name: getattr(self, name) for name in names}
        return {
            name: [variable.value for variable in part.variables]
            for name, part in parts.items()
            if part is not None
        }

    @property
    def metrics(self):
        return [*self.trackers.values(), self.psnr]

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    def train_step(self, data):
        lr, hr = data
        with tf.GradientTape() as tape:
            sr = self.generator(lr, training=True)
            if self.phase == "adversarial":
                with tape.stop_recording():
                    self._discriminator_step(sr, hr)
            losses = self._generator_losses(sr, hr)
            weights = {
                "content": self.content_weight,
                "adversarial": self.adversarial_weight,
                "feature": self.feature_weight,
            }
            total = sum(weights[name] * loss for name, loss in losses.items())
        self._apply(self.optimizer, tape, total, self.generator)
        for name, loss in losses.items():
            self.trackers[name].update_state(loss)
        shown = self.trackers if self.phase == "adversarial" else ("content",)
        return {name: self.trackers[name].result() for name in shown}

    def _generator_losses(self, sr, hr) -> dict[str, tf.Tensor]:
        losses = {"content": ops.mean(ops.abs(sr - hr))}
        if self.phase == "adversarial":
            losses["adversarial"] = _verdict_loss(self.discriminator(sr, training=True), 1.0)
            if self.feature_extractor is not None:
                difference = self.feature_extractor(sr) - self.feature_extractor(hr)
                losses["feature"] = ops.mean(ops.square(difference))
        return losses

    def _discriminator_step(self, sr, hr) -> None:
        with tf.GradientTape() as tape:
            real = self.discriminator(hr, training=True)
            fake = self.discriminator(sr, training=True)
            loss = 0.5 * (_verdict_loss(real, 1.0) + _verdict_loss(fake, 0.0))
        self._apply(self.discriminator_optimizer, tape, loss, self.discriminator)
        self.trackers["discriminator"].update_state(loss)

    @staticmethod
    def _apply(optimizer, tape, loss, model) -> None:
        """One optimizer step with the mean of all replicas' gradients."""
        replica = tf.distribute.get_replica_context()
        count = replica.num_replicas_in_sync
        variables = model.trainable_variables
        gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, tape.gradient(loss, variables))
        # `apply` sums over the replicas once more.
        optimizer.apply([gradient / count for gradient in gradients], variables)

    def test_step(self, data):
        lr, hr = data
        border = self.generator.scale
        window = slice(border, -border)
        sr = self.generator(lr)[:, window, window]
        self.psnr.update_state(tf.image.psnr(sr, hr[:, window, window], max_val=1.0))
        return {"psnr": self.psnr.result()}

    def get_config(self) -> dict[str, Any]:
        parts = ("generator", "discriminator", "feature_extractor")
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in parts},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("generator", "discriminator", "feature_extractor")
        }
        return cls(**parts, **config)

    def get_compile_config(self) -> dict[str, Any]:
        optimizers = ("optimizer", "discriminator_optimizer")
        weights = ("content_weight", "adversarial_weight", "feature_weight")
        return {
            **{n: keras.saving.serialize_keras_object(getattr(self, n)) for n in optimizers},
            **{name: getattr(self, name) for name in weights},
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        optimizer = keras.saving.deserialize_keras_object(config.pop("optimizer"))
        discriminator_optimizer = keras.saving.deserialize_keras_object(
            config.pop("discriminator_optimizer")
        )
        self.compile(optimizer, discriminator_optimizer, **config)
        self.build_optimizers()


def _verdict_loss(logits, target: float):
    """Mean binary cross-entropy of logits against one target for all."""
    return ops.mean(
        ops.binary_crossentropy(ops.full_like(logits, target), logits, from_logits=True)
    )
