"""Pixel data of a DICOM file to stored values, whatever its transfer syntax, within bounds.

A compressed frame is decoded as its own codestream describes it, and the header is brought into
agreement afterwards, by `xraysr.io.agreement`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from xraysr.errors import BadImageError
from xraysr.io.codestream import EXTENDED, ITEM, SYNTAXES, Claim, check_end, claim_of, frames_of
from xraysr.io.decoding_process import DESCRIBING, GDCM, decode_apart
from xraysr.io.safe_decoding import check_size

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.uid import UID

SPARE = 1 << 20  # bytes by which a compressed frame may exceed its pixels
MAKERS = (
    ("1.2.840.113619.5.2", "GE: implicit little endian, with big endian pixels"),
    ("1.2.840.113619", "GE"),
    ("1.3.46.670589", "Philips"),
    ("1.3.12.2.1107", "Siemens"),
    ("1.2.392.200036", "Canon, Fujifilm or Konica"),
    ("2.16.840.1.113709", "Agfa"),
)


@dataclass(frozen=True)
class Decoded:
    """One frame as its codec gives it.

    Args:
        values: Integers, (rows, columns), or (rows, columns, 3) of colour.
        claim: What its codestream says; None where it is native or RLE.
    """

    values: np.ndarray
    claim: Claim | None


def decode(film: FileDataset, frame: int, frames: int) -> Decoded:
    """Stored values of one frame, counted from 1; whatever is in the high bits.

    Raises:
        BadImageError: if no codec is installed for it, or it is damaged or contradicts the header.
    """
    syntax = film.file_meta.TransferSyntaxUID
    if syntax.is_private:
        maker = next((name for root, name in MAKERS if syntax.startswith(root)), "unknown maker")
        raise BadImageError(
            f"its transfer syntax {syntax} is private ({maker}). Expected one of the standard's: "
            "let the archive or viewer export it as explicit little endian"
        )
    if not syntax.is_transfer_syntax:
        raise _no_codec(syntax)
    if not _has_fragments(film):
        return Decoded(_native(film, frame, frames), None)
    data = frames_of(film.PixelData, frames, not film.original_encoding[1])[frame - 1]
    claim = claim_of(data)
    _check_claim(film, claim, data)
    single = _single(film, claim, data)
    try:
        return Decoded(_compressed(single, data, claim), claim)
    except BadImageError:
        raise
    except Exception as error:
        name = single.file_meta.TransferSyntaxUID.name
        raise BadImageError(f"its pixel data ({name}) cannot be decoded: {error}") from error


def _has_fragments(film: FileDataset) -> bool:
    """Whether pixel data is encapsulated, which some transfer syntaxes say wrongly."""
    item = ITEM if film.original_encoding[1] else ITEM[1::-1] + ITEM[:1:-1]
    return film.PixelData[:4] == item and (
        film.file_meta.TransferSyntaxUID.is_encapsulated or film["PixelData"].is_undefined_length
    )


def _native(film: FileDataset, frame: int, frames: int) -> np.ndarray:
    from pydicom.pixels import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian

    if film.file_meta.TransferSyntaxUID.is_encapsulated:  # was decompressed, and does not say so
        if len(film.PixelData) < film.Rows * film.Columns * film.BitsAllocated // 8:
            raise BadImageError("its compressed pixel data has no fragments")
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bits = film.Rows * film.Columns * film.BitsAllocated * film.SamplesPerPixel
    there = 8 * len(film.PixelData) // bits if bits else 0
    if there > frames:
        raise BadImageError(f"its pixel data is enough for {there} frames. Expected {frames}")
    try:
        return pixel_array(
            film, index=frame - 1 if frames > 1 else None, correct_unused_bits=False, raw=True
        )
    except Exception as error:
        name = film.file_meta.TransferSyntaxUID.name
        raise BadImageError(f"its pixel data ({name}) cannot be decoded: {error}") from error


def _single(film: FileDataset, claim: Claim | None, data: bytes) -> Dataset:
    """A film of this frame alone, described as its codestream does."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    single = Dataset()
    for keyword in DESCRIBING:
        setattr(single, keyword, film.get(keyword, 0))
    syntax = film.file_meta.TransferSyntaxUID
    if claim is not None:
        single.BitsStored, single.HighBit = claim.bits, claim.bits - 1
        single.BitsAllocated = 8 if claim.bits <= 8 else 16
        single.PixelRepresentation = int(claim.signed)
        if claim.components == 1:
            single.SamplesPerPixel, single.PhotometricInterpretation = 1, "MONOCHROME2"
        if claim.syntax is not None and not _agree(syntax, claim.syntax):
            syntax = UID(claim.syntax)
    single.PixelData = encapsulate([data])
    single["PixelData"].VR = "OB"
    single.file_meta = FileMetaDataset()
    single.file_meta.TransferSyntaxUID = syntax
    return single


def _agree(said: UID, found: str) -> bool:
    """Whether a codec of the transfer syntax that was said reads what was found."""
    groups = (
        (SYNTAXES[0xC0], SYNTAXES[EXTENDED]),
        (SYNTAXES[0xC3], "1.2.840.10008.1.2.4.70"),
        (SYNTAXES[0xF7], "1.2.840.10008.1.2.4.81"),
        tuple(f"1.2.840.10008.1.2.4.{end}" for end in (90, 91, 92, 93, 201, 202, 203)),
    )
    return any(said in group and found in group for group in groups)


def _compressed(single: Dataset, data: bytes, claim: Claim | None) -> np.ndarray:
    """What the first codec that can gives; GDCM in a process of its own, and when none else is."""
    from pydicom.pixels import get_decoder, pixel_array

    if claim is not None and claim.syntax == SYNTAXES[EXTENDED] and claim.bits > 8:
        return _extended(data)
    syntax = single.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
        available, plugins = decoder.is_available, decoder.available_plugins
    except NotImplementedError:
        available, plugins = False, ()
    if not available:
        raise _no_codec(syntax)
    others = [plugin for plugin in plugins if plugin != GDCM]
    failure: Exception | None = None
    for plugin in others:
        try:
            return pixel_array(single, correct_unused_bits=False, decoding_plugin=plugin)
        except Exception as error:
            failure = failure or error
    if failure is not None and GDCM not in plugins:
        raise failure
    return decode_apart(single)


def _no_codec(syntax: UID) -> BadImageError:
    return BadImageError(
        f"no installed codec decodes its pixel data ({syntax.name}). "
        "pip install xraysr[dicom] adds the codecs"
    )


def _extended(data: bytes) -> np.ndarray:
    try:
        from imagecodecs import jpeg_decode
    except ImportError as error:
        raise BadImageError(
            "its pixel data is JPEG Extended of 12 bits, which needs imagecodecs, and that is not "
            "installed here. pip install xraysr[dicom]"
        ) from error
    return jpeg_decode(data)


def _check_claim(film: FileDataset, claim: Claim | None, data: bytes) -> None:
    """Refuses a compressed frame that is too large to open, cut, or of another size than said."""
    rows, columns, samples = film.Rows, film.Columns, film.SamplesPerPixel
    expected = ceil(rows * columns * samples * film.BitsAllocated / 8)
    check_size(columns, rows, samples * film.BitsAllocated / 8, len(data))
    if len(data) > 2 * expected + SPARE:
        raise BadImageError(
            f"its compressed pixel data has {len(data)} bytes for {rows * columns} pixels"
        )
    if claim is None:
        return
    if (claim.rows, claim.columns, claim.components) != (rows, columns, samples):
        raise BadImageError(
            f"its compressed image is {claim.columns} x {claim.rows} with {claim.components} "
            f"components, but its header says {columns} x {rows} with {samples}"
        )
    if not 1 <= claim.bits <= 16:
        raise BadImageError(f"its compressed image has {claim.bits} bits. Expected 1 to 16")
    check_end(data)
