"""How LR comes from HR, and what tables, cards and manifests say of it: what was used."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable

import numpy as np

from xraysr.errors import UserError
from xraysr.lanczos import round_to_bits

DEFAULT = "lanczos3, antialiased, clipped, rounded to the bits of the file"
AS_FOUND = "as found in the folder"

# HR, float32 (height, width) in [0, 1], and the LR size give LR, float (*lr_size) in [0, 1].
Degradation = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def degradation_name(degradation: Degradation | None) -> str:
    """What to call `degradation`: its attribute `text` if it has one, else its own name.

    None is the default, antialiased Lanczos.
    """
    if degradation is None:
        return DEFAULT
    text = getattr(degradation, "text", None)
    name = getattr(degradation, "__qualname__", type(degradation).__qualname__)
    return str(text or name.replace("<locals>.", ""))


def degradation_key(degradation: Degradation | None) -> str:
    """A hash of its name, its source and what it refers to, by which caches tell two apart."""
    if degradation is None:
        return DEFAULT
    function = degradation if inspect.isfunction(degradation) else type(degradation).__call__
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or compiled
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts, code.co_names) if code else degradation)
    cells = getattr(function, "__closure__", None) or ()
    parts = [
        degradation_name(degradation),
        source,
        *(repr(cell.cell_contents) for cell in cells),
        repr(getattr(function, "__defaults__", None)),
        repr(sorted(getattr(degradation, "__dict__", {}).items())),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def degrade_with(
    degradation: Degradation, hr: np.ndarray, lr_size: tuple[int, int], bits: int
) -> np.ndarray:
    """The LR twin of `hr` (h, w) in [0, 1], clipped and rounded to `bits`; float64 in [0, 1].

    Raises:
        UserError: if `degradation` gives another shape, or values that are not finite.
    """
    lr = np.asarray(degradation(hr.astype(np.float32), lr_size))
    if lr.shape != tuple(lr_size) or not np.isfinite(lr).all():
        raise UserError(
            f"degradation must give finite pixels of shape {tuple(lr_size)}. Received: shape "
            f"{lr.shape}, from {degradation_name(degradation)}"
        )
    return round_to_bits(lr.astype(np.float64), bits)
