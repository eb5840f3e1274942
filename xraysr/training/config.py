"""`TrainConfig`: every setting of a training run, checked when it is made."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from xraysr.data.fit import FITS
from xraysr.errors import UserError
from xraysr.pair import Pair

DISCRIMINATORS = ("patch", "srgan")
WARM_UP = 0.02


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run: a content phase (L1), then an adversarial phase.

    The length is given either in steps or in minutes; both phases share it.

    Args:
        pair: LR and HR size.
        steps: Optimizer steps of both phases together.
        minutes: Training time of both phases together, loading and validation not counted.
        adversarial_share: Part of the length that goes to the adversarial phase; 0 leaves a
            generator of highest fidelity, trained on content alone.
        depth: Residual blocks of the generator.
        width: Feature channels of the generator.
        batch_norm: Batch normalisation in the generator.
        discriminator: `patch`, or `srgan` for the published one, which is larger and slower.
        batch: Images in a step.
        crop: Side of the LR crops in pixels, at most the LR size.
        flips: Mirror half of the crops left to right.
        fit: How films are fitted to HR size: `crop`, `pad` or `stretch`.
        learning_rate: Peak of the content phase; warms up, then falls as a cosine.
        adversarial_learning_rate: The same for both networks of the adversarial phase.
        content_weight: Factor of the L1 loss.
        adversarial_weight: Factor of the adversarial loss of the generator.
        feature_weight: Factor of the feature loss; needs `vgg19`.
        vgg19: Weights file of the feature extractor.
        validate_every: Steps between validation, checkpoint and sample image.
        seed: Seed of initial weights and of the order of the data.
        resplit: Merge the split folders and split anew by patient.
        allow_shared_patients: Accept a train and test folder that share patients.
    """

    pair: Pair
    steps: int | None = None
    minutes: float | None = None
    adversarial_share: float = 0.25
    depth: int = 8
    width: int = 32
    batch_norm: bool = False
    discriminator: str = "patch"
    batch: int = 16
    crop: int = 24
    flips: bool = True
    fit: str = "crop"
    learning_rate: float = 1e-3
    adversarial_learning_rate: float = 2e-4
    content_weight: float = 1.0
    adversarial_weight: float = 2e-3
    feature_weight: float = 0.0
    vgg19: str | None = None
    validate_every: int = 500
    seed: int = 0
    resplit: bool = False
    allow_shared_patients: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "pair", Pair.parse(self.pair))
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
            0 <= self.adversarial_share < 1,
            "adversarial_share",
            "from 0 to below 1",
            self.adversarial_share,
        )
        smallest = math.ceil(16 / self.pair.scale)
        self._require(
            smallest <= self.crop <= min(self.pair.lr),
            "crop",
            f"from {smallest} to {min(self.pair.lr)}, the LR size of {self.pair}",
            self.crop,
        )
        self._require(self.fit in FITS, "fit", " or ".join(FITS), self.fit)
        self._require(
            self.discriminator in DISCRIMINATORS,
            "discriminator",
            " or ".join(DISCRIMINATORS),
            self.discriminator,
        )
        for name in ("learning_rate", "adversarial_learning_rate"):
            self._require(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        for name in ("content_weight", "adversarial_weight", "feature_weight", "seed"):
            self._require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        self._require(
            (self.feature_weight > 0) == (self.vgg19 is not None),
            "feature_weight and vgg19",
            "both or neither",
            (self.feature_weight, self.vgg19),
        )

    @staticmethod
    def _require(holds: bool, name: str, expected: str, received: Any) -> None:
        if not holds:
            raise UserError(f"{name} must be {expected}. Received: {name}={received}")

    @property
    def switch(self) -> float:
        """The point of the run, from 0 to 1, where the adversarial phase begins."""
        return 1.0 - self.adversarial_share

    def progress(self, step: int, seconds: float) -> float:
        """How much of the run is behind after `step` steps in `seconds` seconds, 0 to 1."""
        if self.minutes is not None:
            return min(seconds / (60 * self.minutes), 1.0)
        assert self.steps is not None
        return min(step / self.steps, 1.0)

    def phase(self, progress: float) -> str:
        """`content` or `adversarial`."""
        return "content" if progress < self.switch else "adversarial"

    def learning_rate_at(self, progress: float) -> float:
        """Warm-up over the first 2 % of each phase, then a cosine down to 1 % of the peak."""
        if self.phase(progress) == "content":
            peak, done = self.learning_rate, progress / self.switch
        else:
            peak = self.adversarial_learning_rate
            done = (progress - self.switch) / self.adversarial_share
        warm = min(1.0, (done + 1e-3) / WARM_UP)
        return peak * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def to_json(self) -> dict[str, Any]:
        """Plain types, as config.json holds them."""
        return {**asdict(self), "pair": str(self.pair)}

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Reads config.json of a run."""
        try:
            content = json.loads(path.read_text("utf-8"))
            known = {entry.name for entry in fields(cls)}
            return cls(**{key: value for key, value in content.items() if key in known})
        except (OSError, json.JSONDecodeError, TypeError, AttributeError) as error:
            raise UserError(f"Cannot read the settings of the run in {path}: {error}") from error
