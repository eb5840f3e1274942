"""`TrainConfig`: every setting of a training run.

What a field says of itself (default, help, what is allowed) is said here once: the flags of
`xraysr train`, their help, the checks and the table in the docs all follow from it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from xraysr.errors import UserError
from xraysr.pair import Pair

PLATEAU = "plateau"
WARM_UP = 0.02
DEFAULT_MINUTES = 10.0
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}


@dataclass(frozen=True)
class Allowed:
    """The values a setting may have: one of `choices`, or a number within bounds."""

    choices: tuple[str, ...] = ()
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        return self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        if self.choices:
            *others, last = self.choices
            return f"{', '.join(others)} or {last}" if others else last
        if self.most < math.inf:
            return f"from {self.least:g} to {self.most:g}"
        if self.below < math.inf:
            return f"from {self.least:g} to below {self.below:g}"
        if self.above > -math.inf:
            return f"more than {self.above:g}"
        return f"at least {self.least:g}" if self.least > -math.inf else ""


def setting(default: Any, help: str, *choices: str, **bounds: float) -> Any:
    """A field of `TrainConfig`.

    Args:
        default: Its value where none is given.
        help: One sentence for the command line and the docs.
        choices: The words it may be.
        bounds: `least`, `most`, `above` or `below` of a number.
    """
    metadata = {"help": help, "allowed": Allowed(choices, **bounds)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run: a content phase, then an adversarial phase.

    The length is given either in steps or in minutes; both phases share it. `settings_table`
    prints all settings with their defaults.

    Raises:
        UserError: for a value that is not allowed, or that contradicts another.

    Example:
        >>> TrainConfig("64:256", minutes=30, depth=16, width=64)
    """

    pair: Pair = setting("64:256", "LR and HR size.")
    mix: tuple[Pair, ...] = setting(
        (), "A further pair of the same scale, whose crops are mixed in."
    )
    steps: int | None = setting(
        None, "Length in optimizer steps, of both phases together.", above=0
    )
    minutes: float | None = setting(
        None, "Length in minutes, loading and validation not counted. Without steps: 10.", above=0
    )
    adversarial_share: float = setting(
        0.25, "Part of the length for the adversarial phase; 0 for highest fidelity.",
        least=0, most=1,
    )  # fmt: skip
    adversarial_from: int | str | None = setting(
        None, "Instead of the share: the step it begins at, or plateau: when the validation PSNR "
        "no longer rises."
    )  # fmt: skip
    generator: str = setting(
        "srresnet", "Generator: residual blocks, or the small one of plain convolutions.",
        "srresnet", "edge",
    )  # fmt: skip
    init: str | None = setting(
        None, "Trained generator to begin with, of the same depth and width: a preset, a run or a "
        ".keras file. Of another scale, only its trunk is taken."
    )  # fmt: skip
    depth: int = setting(8, "Residual blocks, or convolutions of the edge generator.", least=1)
    width: int = setting(32, "Feature channels of the generator.", least=8)
    batch_norm: bool = setting(False, "Batch normalisation in the generator.")
    discriminator: str = setting(
        "patch", "Discriminator: PatchGAN, or the published one, larger and slower.",
        "patch", "srgan",
    )  # fmt: skip
    spectral_norm: bool = setting(False, "Hold the discriminator's layers at spectral norm 1.")
    precision: str = setting(
        "float32", "What the layers compute in.", "float32", "mixed_bfloat16", "mixed_float16"
    )
    batch: int = setting(16, "Images in a step, on all devices together.", least=1)
    crop: int = setting(24, "Side of the LR crops in pixels, at most the LR size.", least=1)
    flips: bool = setting(True, "Mirror half of the crops; leave off where laterality matters.")
    degradation: str = setting(
        "lanczos", "How LR is made of HR; robust draws anew for every crop.",
        "lanczos", "cr", "dr-binned", "photo", "chat-jpeg", "robust",
    )  # fmt: skip
    fit: str = setting("crop", "How films are fitted to HR size.", "crop", "pad", "stretch")
    learning_rate: float | None = setting(
        None, "Peak in the content phase. Default: 1e-3, with init 2e-4.", above=0
    )
    adversarial_learning_rate: float = setting(2e-4, "Peak in the adversarial phase.", above=0)
    content_loss: str = setting(
        "l1", "Loss between SR and HR, pixel by pixel.", "l1", "charbonnier", "mse"
    )
    adversarial_loss: str = setting(
        "bce", "Loss on the discriminator's verdict.",
        "bce", "least_squares", "hinge", "relativistic",
    )  # fmt: skip
    content_weight: float = setting(1.0, "Factor of the content loss.", least=0)
    adversarial_weight: float = setting(2e-3, "Factor of the adversarial loss.", least=0)
    feature_weight: float = setting(0.0, "Factor of the feature loss.", least=0)
    vgg19: str | None = setting(
        None,
        "Weights of VGG19 for the feature loss. Default: features learned on radiographs.",
    )
    r1_weight: float = setting(0.0, "Factor of half the discriminator's R1 penalty.", least=0)
    label_smoothing: float = setting(
        0.0, "What is taken off the discriminator's goal for real images.", least=0, below=1
    )
    clip_norm: float = setting(0.0, "Largest global norm of a gradient; 0 does not clip.", least=0)
    average_decay: float = setting(
        0.999, "Decay of the averaged generator, which is validated and exported.",
        least=0, below=1,
    )  # fmt: skip
    validate_every: int = setting(
        500, "Steps between validation, checkpoint and sample image.", least=1
    )
    seed: int = setting(0, "Seed of initial weights and of the order of the data.", least=0)
    resplit: bool = setting(False, "Merge the split folders and split anew by patient.")
    allow_shared_patients: bool = setting(False, "Accept patients in both train and test.")
    patients: str | None = setting(None, "CSV file that says whose each film is.")
    patient_column: str | None = setting(
        None, "Its column of patients. Default: found by its name."
    )
    path_column: str | None = setting(
        None, "Its column of paths of films. Default: found by its name."
    )

    def __post_init__(self) -> None:
        self._set("pair", Pair.parse(self.pair))
        self._set("mix", tuple(map(Pair.parse, self.mix)))
        if self.steps is None and self.minutes is None:
            self._set("minutes", DEFAULT_MINUTES)
        self._check_each()
        self._check_together()
        if self.learning_rate is None:
            self._set("learning_rate", 1e-3 if self.init is None else 2e-4)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_each(self) -> None:
        """Each setting by its type and by what its field allows."""
        hints = get_type_hints(type(self))
        for each in fields(self):
            value, kinds = getattr(self, each.name), kinds_of(hints[each.name])
            if value is None and type(None) in kinds:
                continue
            wanted = [KINDS[kind] for kind in kinds if kind in KINDS]
            right = (float in kinds and type(value) is int) or any(type(value) is k for k in kinds)
            self._require(right or not wanted, each.name, " or ".join(wanted), value)
            if wanted and str(each.metadata["allowed"]):
                allowed = each.metadata["allowed"]
                self._require(value in allowed, each.name, str(allowed), value)

    def _check_together(self) -> None:
        """What settings ask of each other."""
        self._require(
            len({*self.pairs}) == len(self.pairs)
            and {pair.scale for pair in self.mix} <= {self.pair.scale},
            "mix", f"other pairs of scale {self.pair.scale}", list(map(str, self.mix)),
        )  # fmt: skip
        self._require(
            (self.steps is None) != (self.minutes is None),
            "steps or minutes", "one of them", (self.steps, self.minutes),
        )  # fmt: skip
        smallest = math.ceil(16 / self.pair.scale)
        least = min(self.pairs, key=lambda pair: min(pair.lr))
        self._require(
            smallest <= self.crop <= min(least.lr),
            "crop", f"from {smallest} to {min(least.lr)}, the LR size of {least}", self.crop,
        )  # fmt: skip
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
        """How much of the run is done after `step` steps in `seconds` seconds, 0 to 1."""
        if self.minutes is not None:
            return min(seconds / (60 * self.minutes), 1.0)
        assert self.steps is not None
        return min(step / self.steps, 1.0)

    def learning_rate_at(self, progress: float, switched: float | None) -> float:
        """Warm-up over the first 2 % of each phase, then a cosine down to 1 % of the peak.

        A content phase whose end nobody knows yet stays at the peak.

        Args:
            progress: How much of the run is done, 0 to 1.
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
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"Cannot read the settings of the run in {path}: {error}") from error


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """The types that a field of this annotation takes."""
    return get_args(hint) if get_origin(hint) is UnionType else (hint,)


def settings_table() -> str:
    """Every setting with its default and what it may be, as a table in Markdown for the docs."""
    rows = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    for each in fields(TrainConfig):
        default = each.default if each.default not in (None, ()) else ""
        help, allowed = each.metadata["help"], each.metadata["allowed"]
        rows.append(f"| `{each.name}` | {default} | {allowed} | {help} |")
    return "\n".join(rows)


FAMILIES: dict[str, dict[str, Any]] = {
    # At most 60 thousand parameters, for small devices.
    "edge": {"generator": "edge", "depth": 5, "width": 32, "adversarial_share": 0.0},
    # Highest fidelity.
    "base": {"depth": 16, "width": 64, "adversarial_share": 0.0},
    # A base generator, trained on against a discriminator and by its features: use with `init`.
    "gan": {
        "depth": 16,
        "width": 64,
        "adversarial_share": 1.0,
        "adversarial_weight": 0.01,
        "feature_weight": 0.01,
    },
}


def settings_of(family: str) -> dict[str, Any]:
    """The settings that make a generator one of a family of presets: `edge`, `base` or `gan`.

    `benchmarks/architectures.py` compared the kinds of network; how each preset was trained
    stands in recipes/.

    Raises:
        UserError: if there is no family of that name.
    """
    if family not in FAMILIES:
        raise UserError(f"preset must be {', '.join(FAMILIES)}. Received: preset={family}")
    return FAMILIES[family]


if __name__ == "__main__":
    print(settings_table())
