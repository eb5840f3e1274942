"""The families of presets: the settings of `TrainConfig` that make a generator one of them.

`benchmarks/architectures.py` compared the kinds of network; how each preset was trained stands in
recipes/.
"""

from __future__ import annotations

from typing import Any

from xraysr.errors import UserError

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
    """The settings of a family; `UserError` names the families if there is none of that name."""
    if family not in FAMILIES:
        raise UserError(f"preset must be {', '.join(FAMILIES)}. Received: preset={family}")
    return FAMILIES[family]
