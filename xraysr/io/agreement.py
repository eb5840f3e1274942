"""Header and pixels of a DICOM film brought into agreement, since two programs wrote them.

The header says which bits are pixels. Where codestream or values contradict it, the values count,
and a notice tells; where bits beyond those lie that do not vary as pixels do, they are overlays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xraysr.errors import BadImageError
from xraysr.io.codestream import JPEG_2000, Claim
from xraysr.io.modality import bits_stored
from xraysr.io.pixel_data import Decoded
from xraysr.io.radiograph import Notice

if TYPE_CHECKING:
    from pydicom import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT",
           "YBR_RCT")  # fmt: skip
PALETTE_TAGS = tuple(
    f"{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for part in ("Data", "Descriptor")
)
LOSS = 2  # levels by which equal channels of 8 bits may differ after a loss
# Share of the neighbours that decides between two readings. Overlays reach 0, noise of bits that
# are no pixels 0.06, and pixels nearly 1.
CONVINCING = 0.25


@dataclass(frozen=True)
class Agreement:
    """What a frame holds.

    Args:
        values: Stored values, integers of shape (rows, columns).
        changes: Header elements that are otherwise than the file says; None for those that go.
        notices: What was found.
    """

    values: np.ndarray
    changes: dict[str, Any]
    notices: tuple[Notice, ...]


def agree(header: Dataset, decoded: Decoded) -> Agreement:
    """What a decoded frame holds, and the header that says so.

    Raises:
        BadImageError: if its channels are not equal, or its bits make no sense.
    """
    values, bits = decoded.values, bits_stored(header)
    changes: dict[str, Any] = {}
    notices: list[Notice] = []
    if header.PhotometricInterpretation == PALETTE:
        values, bits = _looked_up(header, values)
    elif values.ndim == 3:
        values = _one_channel(values, header.PhotometricInterpretation)
    if header.PhotometricInterpretation not in GREY:
        changes = dict.fromkeys((*PALETTE_TAGS, "PlanarConfiguration"))
        changes |= {
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 8 if bits <= 8 else 16,
        }
        signed = False
    else:
        signed = header.PixelRepresentation == 1
        settle = _native if decoded.claim is None else _coded
        values, bits, signed, notices = settle(header, values, bits, signed, decoded.claim)
    changes |= {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(signed)}
    changes = {name: value for name, value in changes.items() if header.get(name) != value}
    return Agreement(values, changes, tuple(notices))


Settled = tuple[np.ndarray, int, bool, list[Notice]]


def _native(
    header: Dataset, values: np.ndarray, bits: int, signed: bool, _: Claim | None
) -> Settled:
    """Values with all bits allocated, of which HighBit and BitsStored name some."""
    allocated, high = header.BitsAllocated, header.get("HighBit", bits - 1)
    shift = high + 1 - bits if isinstance(high, int) and bits <= high + 1 <= allocated else 0
    notices = []
    if shift and _fits(values, bits, signed) and (values & ((1 << shift) - 1)).any():
        shift = 0
        said = f"HighBit is {high}, but the values lie in the low {bits} bits, and were read there."
        notices.append(Notice("high-bit", said))
    if shift:
        return _low(values.astype(np.int64) >> shift, bits, signed), bits, signed, notices
    if _fits(values, bits, signed):
        return values, bits, signed, notices
    low = _low(values, bits, signed)
    spare = allocated - bits
    empty = _fits(values, bits, False)  # nothing above, not even a sign
    if not empty and not _has_overlays(header, bits):
        if not (values & ((1 << spare) - 1)).any():
            said = (
                f"HighBit is {high}, but the low {spare} bits are empty and the high ones are not: "
                f"the high {bits} bits were read."
            )
            return values >> spare, bits, signed, [Notice("high-bit", said)]
        readings = {sign: _low(values, allocated, sign) for sign in (signed, not signed)}
        shares = {sign: _share(low, reading) for sign, reading in readings.items()}
        sign = max(shares, key=lambda each: shares[each])
        if shares[sign] >= CONVINCING and header.get("ModalityLUTSequence"):
            said = (
                f"BitsStored is {bits}, and the bits above vary as pixels do, but the modality LUT "
                f"takes {bits}: they were left out."
            )
            notices.append(Notice("bits-above-stored", said))
        elif shares[sign] >= CONVINCING:
            used = _used(readings[sign], sign)
            said = (
                f"BitsStored is {bits}, but the bits above vary as pixels do: {used} "
                f"{'signed ' if sign else ''}bits were read."
            )
            return readings[sign], used, sign, [*notices, Notice("bits-above-stored", said)]
    return low, bits, signed, notices


def _coded(
    header: Dataset, values: np.ndarray, bits: int, signed: bool, claim: Claim | None
) -> Settled:
    """Values of a codestream, which knows its own bits."""
    assert claim is not None
    notices = []
    found = values
    if claim.signed != signed:
        found = _low(values, claim.bits, signed)
        if claim.syntax == JPEG_2000 and _share(found, values) >= CONVINCING:
            found, signed = values, claim.signed
            words = [f"{'' if sign else 'un'}signed" for sign in (signed, not signed)]
            said = f"The codestream holds {words[0]} values, and its header says {words[1]}."
            notices.append(Notice("codestream-sign", f"{said} They were read as the former."))
    there = f"The codestream has {claim.bits} bits, and its header says BitsStored {bits}"
    if claim.bits < bits:
        said = f"{there}: the {claim.bits} bits of the codestream were read as the full range."
        return found, claim.bits, signed, [*notices, Notice("codestream-precision", said)]
    if _fits(found, bits, signed):
        return found, bits, signed, notices
    if _has_overlays(header, bits):
        return _low(found, bits, signed), bits, signed, notices
    spare = claim.bits - bits
    if not (found & ((1 << spare) - 1)).any():
        said = f"{there}: the high {bits} bits were read, as the low {spare} are empty."
        found, used = found >> spare, bits
    else:
        said, used = f"{there}: {claim.bits} bits were read.", claim.bits
    return found, used, signed, [*notices, Notice("codestream-precision", said)]


def _fits(values: np.ndarray, bits: int, signed: bool) -> bool:
    least = -(1 << (bits - 1)) if signed else 0
    return least <= int(values.min()) and int(values.max()) < least + (1 << bits)


def _low(values: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """The low `bits` of each value, with a sign or without."""
    values = values.astype(np.int64) & ((1 << bits) - 1)
    return values - ((values >> (bits - 1)) << bits) if signed else values


def _used(values: np.ndarray, signed: bool) -> int:
    """Bits that hold all of `values`."""
    low, high = int(values.min()), int(values.max())
    return max(high, ~low if low < 0 else 0).bit_length() + signed


def _share(one: np.ndarray, other: np.ndarray) -> float:
    """Of neighbours that differ otherwise in two readings, the share that differ less in `other`.

    Where a reading wraps, neighbours that are alike become far apart.
    """
    better = unlike = 0
    for axis in (0, 1):
        steps = [abs(np.diff(each.astype(np.int64), axis=axis)) for each in (one, other)]
        better += int((steps[1] < steps[0]).sum())
        unlike += int((steps[1] != steps[0]).sum())
    return better / unlike if unlike else 0.0


def _has_overlays(header: Dataset, bits: int) -> bool:
    """Whether a group 60xx says that its bits lie above those of the pixels."""
    for group in range(0x6000, 0x6020, 2):
        element = header.get((group, 0x0102))  # OverlayBitPosition
        if element is not None and isinstance(element.value, int) and element.value >= bits:
            return True
    return False


def _one_channel(values: np.ndarray, photometric: str) -> np.ndarray:
    """The grey film in three channels, by RGB or by luma and empty chroma.

    Raises:
        BadImageError: if there is colour.
    """
    near = LOSS if values.dtype.itemsize == 1 else 0
    wide = values.astype(np.int64)
    first, second, third = (wide[..., at] for at in range(3))
    if max(abs(first - second).max(), abs(first - third).max()) <= near:
        return values[..., 1]
    middle = 1 << (8 * values.dtype.itemsize - 1)
    if max(abs(second - middle).max(), abs(third - middle).max()) <= near:
        return values[..., 0]
    raise BadImageError(
        f"PhotometricInterpretation is {photometric}, and its three channels are not equal. "
        "Expected a grey film"
    )


def _looked_up(header: Dataset, values: np.ndarray) -> tuple[np.ndarray, int]:
    """A palette of greys: what its entries say, and their bits."""
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(values, header)
    bits = int(header.RedPaletteColorLookupTableDescriptor[2])
    if bits == 16 and colours.dtype == np.uint16 and not (colours & 0xFF).any():
        colours, bits = (colours >> 8).astype(np.uint8), 8  # entries of 8 bits in the high byte
    return _one_channel(colours, PALETTE), bits
