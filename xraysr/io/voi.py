"""Values of interest: the window or LUT of a DICOM header, for pictures to look at.

Written out from PS3.3 C.11.2.1.2 in modality values; the inversion of MONOCHROME1 comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xraysr.errors import BadImageError
from xraysr.io.modality import frame_header, look_up_table, modality_of, number
from xraysr.io.radiograph import Notice, Radiograph
from xraysr.io.safe_decoding import decoding

if TYPE_CHECKING:
    from pydicom import Dataset

Voi = Callable[[np.ndarray], np.ndarray]


def display(radiograph: Radiograph) -> Radiograph:
    """The film as its header asks to be shown; pixels float32 in [0, 1], `bits` unchanged.

    The first window is used, else the first VOI LUT; one that breaks the standard (a width of 0,
    a LUT without its entries) counts as none, and so does one outside of which all values lie.
    The result is no longer in modality values, so it has no header. A film without header or VOI
    comes back as it is. The film may be an enlarged one with its source's header.

    Raises:
        BadImageError: if the header is damaged, or contradicts itself.
    """
    shown = viewing(radiograph)
    if shown is None:
        return radiograph
    return replace(radiograph, pixels=shown(radiograph.pixels), header=None)


def viewing(radiograph: Radiograph) -> Voi | None:
    """What `display` does to pixels of any shape, as a function; None where it does nothing.

    Raises:
        BadImageError: if the header is damaged, or contradicts itself.
    """
    if radiograph.header is None:
        return None
    with decoding(radiograph.source or Path("DICOM header")):
        header = frame_header(radiograph.header, radiograph.frame[0])
        modality = modality_of(header)
        voi, _ = voi_of(header, modality.values(_ends(radiograph)))
        if voi is None:
            return None

    def shown(pixels: np.ndarray) -> np.ndarray:
        values = voi(modality.values(pixels))
        return (1.0 - values if modality.inverted else values).astype(np.float32)

    return shown


def notices_of(radiograph: Radiograph) -> tuple[Notice, ...]:
    """Why the window of a film's header is not used, where it has one that is not."""
    assert radiograph.header is not None
    header = frame_header(radiograph.header, radiograph.frame[0])
    values = modality_of(header).values(_ends(radiograph))
    return voi_of(header, values)[1]


def voi_of(header: Dataset, ends: np.ndarray) -> tuple[Voi | None, tuple[Notice, ...]]:
    """The window of a header, else its VOI LUT, unless it shows no difference between `ends`.

    Args:
        header: Of one frame.
        ends: The least and the largest modality value of the film.
    """
    voi, notices = _window(header)
    voi = voi or _table(header)
    if voi is None or ends[0] == ends[1]:
        return voi, notices
    shown = voi(ends)
    if abs(shown[1] - shown[0]) * 256 >= 1:
        return voi, notices
    said = (
        f"The values, {ends.min():g} to {ends.max():g}, lie outside the film's window, which would "
        "show them as one grey: pictures show the full range instead."
    )
    return None, (*notices, Notice("window-outside", said))


def _ends(radiograph: Radiograph) -> np.ndarray:
    """The least and the largest pixel that is part of the film."""
    pixels, padding = radiograph.pixels, radiograph.padding
    if padding is not None and padding.shape == pixels.shape and not padding.all():
        pixels = pixels[~padding]
    return np.array([pixels.min(), pixels.max()])


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """LINEAR, PS3.3 C.11.2.1.2.1: output in [0, 1]; `width` is 1 or more."""
    ramp = (values - (center - 0.5)) / max(width - 1.0, np.finfo(float).eps)
    # With a width of 1 nothing lies on the ramp: it is the step at center - 0.5.
    return np.where(values <= center - 0.5 - (width - 1) / 2, 0.0, np.clip(ramp + 0.5, 0.0, 1.0))


def linear_exact(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """LINEAR_EXACT, PS3.3 C.11.2.1.3.2: output in [0, 1]; `width` is above 0."""
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def sigmoid(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """SIGMOID, PS3.3 C.11.2.1.3.1: output between 0 and 1; `width` is above 0."""
    return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))


FUNCTIONS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


def _window(header: Dataset) -> tuple[Voi | None, tuple[Notice, ...]]:
    try:
        center, width = (number(header, f"Window{name}") for name in ("Center", "Width"))
    except (TypeError, ValueError):
        return None, ()
    if center is None or width is None:
        return None, ()
    name = str(header.get("VOILUTFunction") or "LINEAR").strip("\0 ").upper()
    if name not in FUNCTIONS:
        said = (
            f"VOILUTFunction is {name}, which is unknown: pictures show the full range. "
            f"Expected {', '.join(FUNCTIONS)}."
        )
        return None, (Notice("voi-unknown", said),)
    narrowest = width >= 1 if name == "LINEAR" else width > 0
    if not narrowest or not np.isfinite([center, width]).all():
        return None, ()
    return lambda values: FUNCTIONS[name](values, center, width), ()


def _table(header: Dataset) -> Voi | None:
    """The VOI LUT, interpolated between its entries, because enlarged films have such values."""
    if not header.get("VOILUTSequence"):
        return None
    try:
        first, entries, bits = look_up_table(header.VOILUTSequence[0], header)
    except BadImageError:
        return None
    # Unsigned pixels have negative modality values after a rescale, and a first entry to match,
    # which an implicit encoding leaves to be read as unsigned.
    if first > 0x7FFF and modality_of(header).low < 0:
        first -= 1 << 16
    inputs = first + np.arange(len(entries))
    return lambda values: np.interp(values, inputs, entries / ((1 << bits) - 1))
