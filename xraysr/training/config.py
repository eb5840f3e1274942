"""`TrainConfig`: every setting of a training run, checked when it is made."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from xraysr.data.fit import FITS
from xraysr.errors import UserError
from xraysr.models import GENERATORS
from xraysr.pair import Pair
from xraysr.training.losses import ADVERSARIAL_LOSSES, CONTENT_LOSSES

DISCRIMINATORS = ("patch", "srgan")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
PLATEAU = "plateau"
WARM_UP = 0.02


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run: a content phase (L1), then an adversarial phase.

    The length is given either in steps or in minutes; both phases share it.

    Args:
        pair: LR and HR size.
        mix: Further pairs of the same scale, whose crops are mixed in.
        steps: Optimizer steps of both phases together.
        minutes: Training time of both phases together, loading and validation not counted.
        adversarial_share: Part of the length that goes to the adversarial phase; 0 leaves a
            generator of highest fidelity, trained on content alone.
        adversarial_from: Instead of the share, a step at which the adversarial phase begins, or
            `plateau`: when the validation PSNR no longer rises.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`; weights are float32 in each.
        generator: `srresnet`, or `edge`, the small one of plain convolutions.
        init: A trained generator to begin with: a preset's name, a run or a `.keras` file. It
            has the same depth and width; of another scale, only its trunk is taken.
        depth: Residual blocks of the generator; convolutions of the edge generator.
        width: Feature channels of the generator.
        batch_norm: Batch normalisation in the generator.
        discriminator: `patch`, or `srgan` for the published one, which is larger and slower.
        batch: Images in a step.
        crop: Side of the LR crops in pixels, at most the LR size.
        flips: Mirror half of the crops left to right.
        fit: How films are fitted to HR size: `crop`, `pad` or `stretch`.
        learning_rate: Peak of the content phase; warms up, then falls as a cosine. By default
            1e-3, or 2e-4 with `init`.
        adversarial_learning_rate: The same for both networks of the adversarial phase.
        content_loss: `l1`, `charbonnier` or `mse`.
        adversarial_loss: `bce`, `least_squares`, `hinge` or `relativistic`.
        content_weight: Factor of the content loss.
        adversarial_weight: Factor of the adversarial loss of the generator.
        feature_weight: Factor of the feature loss.
        vgg19: Weights file of VGG19 for the feature loss; by default the features are those that
            xraysr learned on radiographs.
        r1_weight: Factor of half the R1 penalty of the discriminator.
        spectral_norm: Hold the discriminator's convolutions at spectral norm 1.
        label_smoothing: What is taken off the discriminator's goal for real images.
        clip_norm: Largest global norm of each network's gradient; 0 does not clip.
        average_decay: Decay of the averaged generator, which validates and is exported.
        validate_every: Steps between validation, checkpoint and sample image.
        seed: Seed of initial weights and of the order of the data.
        resplit: Merge the split folders and split anew by patient.
        allow_shared_patients: Accept a train and test folder that share patients.
    """

    pair: Pair
    mix: tuple[Pair, ...] = ()
    steps: int | None = None
    minutes: float | None = None
    adversarial_share: float = 0.25
    adversarial_from: int | str | None = None
    precision: str = "float32"
    generator: str = "srresnet"
    init: str | None = None
    depth: int = 8
    width: int = 32
    batch_norm: bool = False
    discriminator: str = "patch"
    batch: int = 16
    crop: int = 24
    flips: bool = True
    fit: str = "crop"
    learning_rate: float | None = None
    adversarial_learning_rate: float = 2e-4
    content_loss: str = "l1"
    adversarial_loss: str = "bce"
    content_weight: float = 1.0
    adversarial_weight: float = 2e-3
    feature_weight: float = 0.0
    vgg19: str | None = None
    r1_weight: float = 0.0
    spectral_norm: bool = False
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    average_decay: float = 0.999
    validate_every: int = 500
    seed: int = 0
    resplit: bool = False
    allow_shared_patients: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "pair", Pair.parse(self.pair))
        object.__setattr__(self, "mix", tuple(map(Pair.parse, self.mix)))
        self._require(
            len({*self.pairs}) == len(self.pairs)
            and {pair.scale for pair in self.mix} <= {self.pair.scale},
            "mix", f"other pairs of scale {self.pair.scale}", list(map(str, self.mix)),
        )  # fmt: skip
        self._require(
            (self.steps is None) != (self.minutes is None),
            "steps or minutes",
            "one of them",
            (self.steps, self.minutes),
        )
        length = self.steps if self.minutes is None else self.minutes
        self._require(length is not None and length > 0, "steps or minutes", "more than 0", length)
        for name in ("depth", "batch", "validate_every"):
            self._require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        self._require(self.width >= 8, "width", "at least 8", self.width)
        self._require(
            0 <= self.adversarial_share <= 1,
            "adversarial_share",
            "from 0 to 1",
            self.adversarial_share,
        )
        smallest = math.ceil(16 / self.pair.scale)
        least = min(self.pairs, key=lambda pair: min(pair.lr))
        self._require(
            smallest <= self.crop <= min(least.lr),
            "crop",
            f"from {smallest} to {min(least.lr)}, the LR size of {least}",
            self.crop,
        )
        self._require(self.fit in FITS, "fit", " or ".join(FITS), self.fit)
        self._require(
            self.discriminator in DISCRIMINATORS,
            "discriminator",
            " or ".join(DISCRIMINATORS),
            self.discriminator,
        )
        for name, choices in (
            ("precision", PRECISIONS),
            ("generator", tuple(GENERATORS)),
            ("content_loss", tuple(CONTENT_LOSSES)),
            ("adversarial_loss", tuple(ADVERSARIAL_LOSSES)),
        ):
            value = getattr(self, name)
            self._require(value in choices, name, " or ".join(choices), value)
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", 1e-3 if self.init is None else 2e-4)
        for name in ("learning_rate", "adversarial_learning_rate"):
            self._require(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        for name in (
            "content_weight", "adversarial_weight", "feature_weight", "r1_weight", "clip_norm",
            "seed",
        ):  # fmt: skip
            self._require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("label_smoothing", "average_decay"):
            value = getattr(self, name)
            self._require(0 <= value < 1, name, "from 0 to below 1", value)
        self._require(
            self.vgg19 is None or self.feature_weight > 0,
            "feature_weight", "more than 0 with vgg19", self.feature_weight,
        )  # fmt: skip
        self._require(
            not self.batch_norm or self.generator == "srresnet",
            "batch_norm", "off for the edge generator", self.batch_norm,
        )  # fmt: skip
        start = self.adversarial_from
        self._require(
            start in (None, PLATEAU) or (isinstance(start, int) and start > 0),
            "adversarial_from", f"a step above 0 or {PLATEAU!r}", start,
        )  # fmt: skip
        self._require(
            not isinstance(start, int) or (self.steps is not None and start < self.steps),
            "adversarial_from", "a step below steps", start,
        )  # fmt: skip

    @staticmethod
    def _require(holds: bool, name: str, expected: str, received: Any) -> None:
        if not holds:
            raise UserError(f"{name} must be {expected}. Received: {name}={received}")

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of the run, the first being `pair`."""
        return (self.pair, *self.mix)

    @property
    def is_adversarial(self) -> bool:
        """Whether there is an adversarial phase at all."""
        return self.adversarial_from is not None or self.adversarial_share > 0

    @property
    def planned_switch(self) -> float | None:
        """Progress at which the adversarial phase will begin; None if validation decides."""
        if self.adversarial_from == PLATEAU:
            return None
        if isinstance(self.adversarial_from, int):
            assert self.steps is not None
            return self.adversarial_from / self.steps
        return 1.0 - self.adversarial_share

    def progress(self, step: int, seconds: float) -> float:
        """How much of the run is behind after `step` steps in `seconds` seconds, 0 to 1."""
        if self.minutes is not None:
            return min(seconds / (60 * self.minutes), 1.0)
        assert self.steps is not None
        return min(step / self.steps, 1.0)

    def learning_rate_at(self, progress: float, switched: float | None) -> float:
        """Warm-up over the first 2 % of each phase, then a cosine down to 1 % of the peak.

        A content phase whose end nobody knows yet stays at the peak.

        Args:
            progress: How much of the run is behind, 0 to 1.
            switched: Progress at which the adversarial phase began; None before that.
        """
        assert self.learning_rate is not None
        if switched is not None:
            peak, done = self.adversarial_learning_rate, (progress - switched) / (1.0 - switched)
        elif self.planned_switch is not None:
            peak, done = self.learning_rate, progress / self.planned_switch
        else:
            return self.learning_rate * min(1.0, (progress + 1e-3) / WARM_UP)
        warm = min(1.0, (done + 1e-3) / WARM_UP)
        return peak * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))

    def to_json(self) -> dict[str, Any]:
        """Plain types, as config.json holds them."""
        return {**asdict(self), "pair": str(self.pair), "mix": list(map(str, self.mix))}

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Reads config.json of a run."""
        try:
            content = json.loads(path.read_text("utf-8"))
            known = {entry.name for entry in fields(cls)}
            return cls(**{key: value for key, value in content.items() if key in known})
        except (OSError, json.JSONDecodeError, TypeError, AttributeError) as error:
            raise UserError(f"Cannot read the settings of the run in {path}: {error}") from error
