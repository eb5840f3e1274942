"""What is done to a film: bytes are damaged, tags contradict each other."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from films import Film
from hypothesis import strategies as st

PNG = b"\x89PNG\r\n\x1a\n"
SYNTAXES = (
    "", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.102", "1.2.3",
    "nonsense", "1" * 64, "\xff\xfe",
)  # fmt: skip
SHORTS = (0, 1, 2, 7, 8, 9, 12, 15, 16, 17, 32, 64, 99, 255, 256, 32768, 65535)
DECIMALS = (
    b"", b"0", b"-0", b"1", b"-1", b"nan", b"inf", b"-inf", b"1e300", b"-1e300", b"1e-300",
    b"1e999", b"abc", b"1\\2\\3", b"\\", b" ", b"9" * 200, b"1,5", b"\xff\xfe", b"-2",
)  # fmt: skip
INTEGERS = (b"", b"0", b"1", b"2", b"-1", b"3", b"65536", b"2147483647", b"9" * 30, b"x", b"1.5")
TEXTS = (
    b"", b"MONOCHROME1", b"RGB", b"PALETTE COLOR", b"YBR_FULL_422", b"\x1b[31mred", b"A" * 9000,
    "Тест^胸部".encode(), b"\xff\xfe\x00", b"a\\b\\c", b"\n\r\t", b"SIGMOID", b"01", b"US", b"\x00",
)  # fmt: skip
SETS = (
    b"",
    b"ISO_IR 192",
    b"ISO 2022 IR 87",
    b"GB18030",
    b"nonsense",
    b"\\ISO 2022 IR 87",
    b"\xff",
)
DATES = (b"20010101", b"99999999", b"x", b"\xff" * 8)
UIDS = (b"", b"1.2.840.10008.5.1.4.1.1.7.3", b"1.2.840.10008.5.1.4.1.1.12.1", b"x", b"1." * 200)
ZONES = (b"+0100", b"+9999", b"x", b"")

# Tag, VR and the values it is given; numbers are packed in the order of the film.
TAGS: tuple[tuple[int, str, tuple[bytes | int, ...]], ...] = (
    (0x0028_0010, "US", (*SHORTS, b"", b"\1\0\2\0")),  # Rows
    (0x0028_0011, "US", (*SHORTS, b"", b"\1\0\2\0")),  # Columns
    (0x0028_0100, "US", (*SHORTS, b"", b"\1\0\2\0")),  # BitsAllocated
    (0x0028_0101, "US", (*SHORTS, b"", b"\1\0\2\0")),  # BitsStored
    (0x0028_0102, "US", (*SHORTS, b"", b"\1\0\2\0")),  # HighBit
    (0x0028_0103, "US", (*SHORTS, b"")),  # PixelRepresentation
    (0x0028_0002, "US", (*SHORTS, b"")),  # SamplesPerPixel
    (0x0028_0006, "US", SHORTS),  # PlanarConfiguration
    (0x0028_0004, "CS", TEXTS),  # PhotometricInterpretation
    (0x0028_0008, "IS", INTEGERS),  # NumberOfFrames
    (0x0028_1053, "DS", DECIMALS),  # RescaleSlope
    (0x0028_1052, "DS", DECIMALS),  # RescaleIntercept
    (0x0028_1050, "DS", DECIMALS),  # WindowCenter
    (0x0028_1051, "DS", DECIMALS),  # WindowWidth
    (0x0028_1056, "CS", TEXTS),  # VOILUTFunction
    (0x0028_0030, "DS", DECIMALS),  # PixelSpacing
    (0x0018_1164, "DS", DECIMALS),  # ImagerPixelSpacing
    (0x0028_0120, "US", (*SHORTS, b"")),  # PixelPaddingValue
    (0x0028_0120, "SS", (0, 65535, b"\0")),
    (0x0028_0121, "US", (*SHORTS, b"")),  # PixelPaddingRangeLimit
    (0x0028_3002, "US", (*SHORTS, b"\0\0\0\0\x10\0", b"\xff\xff" * 3)),  # LUTDescriptor
    (0x0028_2110, "CS", TEXTS),  # LossyImageCompression
    (0x0008_0005, "CS", SETS),  # SpecificCharacterSet
    (0x0010_0010, "PN", TEXTS),  # PatientName
    (0x0010_0020, "LO", TEXTS),  # PatientID
    (0x0008_0016, "UI", UIDS),  # SOPClassUID
    (0x0008_0018, "UI", UIDS),  # SOPInstanceUID
    (0x0020_000E, "UI", UIDS),  # SeriesInstanceUID
    (0x0008_0020, "DA", DATES),  # StudyDate
    (0x0008_0201, "SH", ZONES),  # TimezoneOffsetFromUTC
    (0x0008_103E, "LO", TEXTS),  # SeriesDescription
    (0x0008_2111, "ST", TEXTS),  # DerivationDescription
    (0x0018_1600, "CS", TEXTS),  # ShutterShape
    (0x0018_1602, "IS", INTEGERS),  # ShutterLeftVerticalEdge
    (0x0018_1612, "IS", INTEGERS),  # RadiusOfCircularShutter
    (0x0018_1620, "IS", INTEGERS),  # VerticesOfThePolygonalShutter
    (0x0028_3000, "SQ", (b"", bytes(8), b"\xfe\xff\x00\xe0\xff\xff\xff\xff")),  # ModalityLUT
    (0x0028_3010, "SQ", (b"", bytes(8), b"\xfe\xff\x00\xe0\x00\x00\x00\x00")),  # VOILUT
    (0x5200_9229, "SQ", (b"", bytes(8), b"\xfe\xff\x00\xe0\x00\x00\x00\x00")),  # Shared groups
    (0x0018_9073, "FD", (b"", bytes(3), b"\xff" * 8)),
    (0x0008_1140, "UN", (b"", b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 9)),
)


@dataclass(frozen=True)
class Tag:
    """A value for one tag, or for a list of them; None takes the tag away."""

    tag: int
    kind: str
    value: bytes | int | None

    def __call__(self, film: Film, data: bytes) -> bytes:
        at = max(0, data.rfind(struct.pack(f"{film.order}HH", 0x7FE0, 0x0010)))
        name = struct.pack(f"{film.order}HH", self.tag >> 16, self.tag & 0xFFFF)
        if self.value is None:
            hidden = struct.pack(f"{film.order}HH", 0x0009, self.tag & 0xFFFF)
            return data[:at].replace(name, hidden) + data[at:]
        value = self.value
        if isinstance(value, int):
            value = struct.pack(f"{film.order}H", value)
        return data[:at] + film.element(self.tag, self.kind, value) + data[at:]


@dataclass(frozen=True)
class Damage:
    """Bytes of a file that become others.

    Args:
        kind: Of the damage.
        at: Where, modulo the length; counted from the pixel data where `late`.
        late: Whether it is.
        size: How many bytes are meant.
        other: Another place, or a number.
        new: Bytes that come.
    """

    kind: str
    at: int
    late: bool
    size: int
    other: int
    new: bytes

    def __call__(self, data: bytes) -> bytes:
        if not data:
            return data
        start = max(0, data.rfind(b"\xe0\x7f\x10\x00")) if self.late else 0
        at = start + self.at % (len(data) - start)
        before, rest = data[:at], data[at:]
        match self.kind:
            case "flip":
                return before + bytes([rest[0] ^ (1 << self.other % 8)]) + rest[1:]
            case "set":
                return before + self.new[: len(rest)] + rest[len(self.new) :]
            case "cut":
                return before
            case "insert":
                return before + self.new + rest
            case "delete":
                return before + rest[self.size :]
            case "repeat":
                return before + rest[: self.size] * (2 + self.other % 9) + rest[self.size :]
            case "swap":
                other = self.other % len(rest)
                size = min(self.size, other)
                first, second = rest[:size], rest[other : other + size]
                return before + second + rest[size:other] + first + rest[other + size :]
        raise AssertionError(self.kind)


KINDS = ("flip", "set", "cut", "insert", "delete", "repeat", "swap")
WORDS = (
    b"\x00", b"\xff", b"\x7f\xff", b"\xff\x7f", b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x00\xe0",
    b"\xff\xd8\xff", b"\xff\xd9", b"SQ", b"UN", b"IEND", b"IDAT",
)  # fmt: skip
# Where headers are, and anywhere.
PLACES = st.one_of(st.integers(0, 40), st.integers(0, 700), st.integers(0, 1 << 16))
DAMAGE = st.builds(
    Damage,
    st.sampled_from(KINDS),
    PLACES,
    st.booleans(),
    st.integers(1, 64),
    st.integers(1, 400),
    st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=8)),
)
EVERY_TAG = [Tag(tag, kind, value) for tag, kind, values in TAGS for value in (*values, None)]


@dataclass(frozen=True)
class Change:
    """All that is done to a film, in this order.

    Args:
        tags: Of a DICOM film.
        inner: Damage to its data set before it is deflated.
        syntax: The transfer syntax its header names instead, where it does.
        outer: Damage to the file.
        mended: The check sums of a PNG are made right again, so that more of it is read.
    """

    tags: tuple[Callable[[Film, bytes], bytes], ...] = ()
    inner: tuple[Damage, ...] = ()
    syntax: str | None = None
    outer: tuple[Damage, ...] = ()
    mended: bool = False

    def __call__(self, film: Film) -> bytes:
        data = film.data
        if film.syntax is not None:
            for tag in self.tags:
                data = tag(film, data)
        for damage in self.inner:
            data = damage(data)
        data = film.file(data, self.syntax)
        for damage in self.outer:
            data = damage(data)
        return _mended(data) if self.mended else data


def few(strategy: st.SearchStrategy, most: int) -> st.SearchStrategy[tuple]:
    """None, one or some of them."""
    return st.lists(strategy, max_size=most).map(tuple)


CHANGES = st.builds(
    Change,
    few(st.sampled_from(EVERY_TAG), 3),
    few(DAMAGE, 2),
    st.one_of(st.none(), st.none(), st.none(), st.sampled_from(SYNTAXES)),
    few(DAMAGE, 2),
    st.booleans(),
)


def _mended(data: bytes) -> bytes:
    if not data.startswith(PNG):
        return data
    at, out = len(PNG), [PNG]
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        inside = data[at + 4 : at + 8 + size]
        out.append(data[at : at + 4] + inside + struct.pack(">I", zlib.crc32(inside)))
        at += 12 + size
    return b"".join(out) + data[at:]
