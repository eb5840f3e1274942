"""A run watches itself: each thing that goes wrong is said once, with what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xraysr.training.callbacks import Callback
from xraysr.training.run import Run

if TYPE_CHECKING:
    from xraysr.training.trainer import Trainer

PATIENCE = 20
WON, LOST = 0.98, 0.52
GREY_LEVELS_OF_DRIFT = 2 / 255


class Diagnostics(Callback):
    """Looks at what a run records and says what a person would notice in the curves.

    Args:
        run: A resumed one; what was said before it stopped is not said again.
    """

    def __init__(self, run: Run | None = None) -> None:
        self._run = run
        self._counts = {"won": 0, "lost": 0}
        self._said: set[str] = set()

    def on_start(self, state: Trainer) -> None:
        for record in self._run.records() if self._run else ():
            if record["step"] <= state.step:
                self.warnings(record)

    def on_log(self, state: Trainer) -> None:
        for warning in self.warnings(state.record):
            state.say(f"step {state.step}: {warning}")

    on_validation = on_log

    def warnings(self, record: dict[str, Any]) -> list[str]:
        """Warnings that a line of metrics.jsonl gives rise to."""
        return self.validation(record["drift"]) if "drift" in record else self.losses(record)

    def losses(self, record: dict[str, Any]) -> list[str]:
        """Warnings that one record of mean losses gives rise to.

        Args:
            record: As in metrics.jsonl; `accuracy` is the discriminator's, 0 to 1.
        """
        warnings = []
        if "accuracy" in record:
            warnings += self._after(
                "won", record["accuracy"] > WON,
                "the discriminator tells real from generated nearly always and teaches the "
                "generator little. Lower adversarial_learning_rate, or try r1_weight=1, "
                "spectral_norm or label_smoothing=0.1",
            )  # fmt: skip
            warnings += self._after(
                "lost", record["accuracy"] < LOST,
                "the discriminator does no better than guessing; the adversarial loss is noise. "
                "Raise adversarial_learning_rate or lengthen the adversarial phase",
            )  # fmt: skip
        if record.get("skipped"):
            warnings += self._once(
                "skipped",
                "some steps gave a loss that is not finite and were skipped. "
                "Lower learning_rate, or set clip_norm=1",
            )
        return warnings

    def validation(self, drift: float) -> list[str]:
        """Warnings that a validation gives rise to; `drift` as in `Validation`."""
        if drift <= GREY_LEVELS_OF_DRIFT:
            return []
        return self._once(
            "drift",
            f"SR differs from LR in mean brightness by {drift * 255:.1f} of 255 grey levels. "
            "Lower adversarial_weight or feature_weight",
        )

    def _after(self, name: str, holds: bool, text: str) -> list[str]:
        """`text`, once `holds` was true `PATIENCE` times in a row."""
        self._counts[name] = self._counts[name] + 1 if holds else 0
        return self._once(name, text) if self._counts[name] >= PATIENCE else []

    def _once(self, name: str, text: str) -> list[str]:
        if name in self._said:
            return []
        self._said.add(name)
        return [f"Warning: {text}."]
