"""Small films of every kind that xraysr reads, as bytes, and files made to do harm."""

from __future__ import annotations

import base64
import io
import struct
import sys
import tempfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydicom.data
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_encoder
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    generate_uid,
)

PREAMBLE = bytes(128) + b"DICM"
LONG = ("OB", "OW", "SQ", "UN", "UT")  # VRs whose explicit length has 32 bits
CODECS = (RLELossless, JPEG2000Lossless, JPEGLSLossless)
# `_picture((8, 8), 4095)` as GDCM 3.2 compresses it; nothing else here writes lossless JPEG.
LOSSLESS_JPEG = base64.b85decode(
    "|JeV-01FTR2mlBH0TBTI!~h!r00RL50RaI300000000002nh-R3kC-d|Jncu0RaF3008_S{{U^a-AVo|"
    "wbC^GpcJmWYUp4`Qo9{7<u2)j1sv0y*h*Zf&N`Lni{eI5X?ZVTjB@1%?n)EEjIm>!ljo{Nxe8UQy0W9z"
    "+zu1(4ybHS!s;2$fB)G4"
)
# Bombs that hold all of their pixels, and too much besides, so that they may be read.
WHOLE = (
    "png with 64 MB of rows too many", "zTXt", "iTXt", "iCCP", "tiff strip of 4 GB",
    "tiff of one strip", "tiff deflate bomb", "tiff that is its own next", "dicom, sequences",
    "dicom of 300 MB", "rle of 8 x 8", "rle too long of 8 x 8",
)  # fmt: skip
# Of pydicom's test files the grey ones that are small; what class they are of does not matter.
PYDICOM = (
    "JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "JPGExtended.dcm",
    "JPEG-lossy.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm",
    "MR_small_implicit.dcm", "MR_truncated.dcm", "image_dfl.dcm", "rtdose_rle_1frame.dcm",
)  # fmt: skip


@dataclass(frozen=True)
class Film:
    """A file in parts.

    Args:
        name: For messages.
        data: The file, or for DICOM the data set as it is before it is deflated.
        syntax: Transfer syntax of a DICOM file; None for other formats.
        hollow: It has too little for the film it promises, and must be refused.
    """

    name: str
    data: bytes = field(repr=False)
    syntax: str | None = None
    hollow: bool = False

    @property
    def order(self) -> str:
        """Of bytes, as `struct` writes it."""
        return ">" if self.syntax == ExplicitVRBigEndian else "<"

    def element(self, tag: int, kind: str, value: bytes) -> bytes:
        """An element in the encoding of this film; lengths are those of `value`."""
        start = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if self.syntax == ImplicitVRLittleEndian:
            return start + struct.pack("<I", len(value)) + value
        if kind in LONG:
            return start + kind.encode() + struct.pack(f"{self.order}HI", 0, len(value)) + value
        return start + kind.encode() + struct.pack(f"{self.order}H", len(value) & 0xFFFF) + value

    @property
    def pixels_at(self) -> int:
        """Where the pixel data begins, or 0."""
        return max(0, self.data.rfind(struct.pack(f"{self.order}HH", 0x7FE0, 0x0010)))

    def file(self, data: bytes | None = None, syntax: str | None = None) -> bytes:
        """The file around `data`, by default this film's; its header may name another syntax."""
        data = self.data if data is None else data
        if self.syntax is None:
            return data
        if self.syntax == DeflatedExplicitVRLittleEndian:
            data = deflated(data)
        named = self.syntax if syntax is None else syntax
        value = named.encode("latin-1")
        meta = Film("", b"", ExplicitVRLittleEndian).element(
            0x0002_0010, "UI", value + bytes(len(value) % 2)
        )
        size = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
        return PREAMBLE + size + meta + data


def films(real: Path | None) -> list[Film]:
    """Every film, of which those under `real` are cropped; the same ones in the same order."""
    made = [*_rasters(), *_dicoms(), *_from_pydicom(), *_kinds()]
    return made if real is None else made + _real(real)


def bombs() -> list[Film]:
    """Files that promise more than they hold, or grow when they are opened."""
    found = [*_raster_bombs(), *_dicom_bombs()]
    return [replace(film, hollow=not film.name.startswith(WHOLE)) for film in found]


def dicom(name: str, stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags) -> Film:
    """A film with the given stored values and tags."""
    film = Dataset()
    film.SOPClassUID = ComputedRadiographyImageStorage
    film.SOPInstanceUID = film.StudyInstanceUID = film.SeriesInstanceUID = generate_uid(
        entropy_srcs=[name]
    )
    film.Modality, film.PatientID, film.PatientName = "CR", "P1", "Doe^Jane"
    film.ImagerPixelSpacing = [0.143, 0.143]
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.Rows, film.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        film.NumberOfFrames = len(stored)
    film.BitsAllocated = 8 * stored.dtype.itemsize
    film.BitsStored = 12 if stored.dtype.itemsize > 1 else 8
    film.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in tags.items():
        setattr(film, keyword, value)
    film.HighBit = film.BitsStored - 1
    packed = syntax in CODECS
    big = ">" if syntax == ExplicitVRBigEndian else "<"
    film.PixelData = stored.astype(stored.dtype.newbyteorder(big)).tobytes()
    film["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if packed else syntax
    if packed:
        film.compress(syntax, stored, generate_instance_uid=False)
    return _taken_apart(name, film)


def deflated(data: bytes) -> bytes:
    """`data` as a deflated data set holds it."""
    press = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return press.compress(data) + press.flush()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _taken_apart(name: str, film: Dataset) -> Film:
    file = io.BytesIO()
    dcmwrite(file, film, enforce_file_format=True)
    data = file.getvalue()
    body = data[144 + struct.unpack_from("<I", data, 140)[0] :]
    syntax = str(film.file_meta.TransferSyntaxUID)
    if syntax == DeflatedExplicitVRLittleEndian:
        body = zlib.decompress(body, -zlib.MAX_WBITS)
    return Film(name, body, syntax)


def _picture(size: tuple[int, int], levels: int, dtype: type = np.uint8) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    wave = np.sin(0.7 * rows) * np.cos(0.4 * columns) * 0.5 + 0.5
    return np.round(wave * levels).astype(dtype)


def _rasters() -> list[Film]:
    eight, sixteen = _picture((13, 9), 255), _picture((9, 13), 65535, np.uint16)
    colour = np.stack([eight, eight[::-1], 255 - eight], axis=-1)
    said = PngInfo()
    said.add_text("Comment", "chest " * 9, zip=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    grey = Image.fromarray(eight)

    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    def tiff(pixels: np.ndarray, **options: object) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, photometric="minisblack", metadata=None, **options)
        return file.getvalue()

    return [
        Film("png 8", saved(grey, "PNG", pnginfo=said)),
        Film("png 16", saved(Image.fromarray(sixteen), "PNG")),
        Film("png 1", saved(grey.convert("1"), "PNG")),
        Film("png colour", saved(Image.fromarray(colour), "PNG")),
        Film("png palette", saved(Image.fromarray(colour).quantize(16), "PNG")),
        Film("png alpha", saved(grey.convert("LA"), "PNG", exif=turned)),
        Film("jpeg", saved(grey, "JPEG")),
        Film("jpeg colour", saved(Image.fromarray(colour), "JPEG", exif=turned)),
        Film("jpeg progressive", saved(grey, "JPEG", progressive=True)),
        Film("tiff 8", tiff(eight, rowsperstrip=4)),
        Film("tiff 16", tiff(sixteen)),
        Film("tiff 16 big endian", tiff(sixteen, byteorder=">")),
        Film("tiff big", tiff(sixteen, bigtiff=True)),
        Film("tiff tiles", tiff(_picture((32, 32), 255), tile=(16, 16))),
        Film("tiff deflate", saved(grey, "TIFF", compression="tiff_adobe_deflate")),
        Film("tiff lzw", saved(grey, "TIFF", compression="tiff_lzw")),
        Film("tiff jpeg", saved(grey, "TIFF", compression="jpeg")),
        Film("tiff colour", saved(Image.fromarray(colour), "TIFF")),
    ]


def _dicoms() -> list[Film]:
    twelve, eight = _picture((12, 10), 4095, np.uint16), _picture((8, 8), 255)
    signed = (_picture((10, 8), 4095, np.int32) - 2048).astype(np.int16)
    frames = np.stack([twelve, twelve[::-1], 4095 - twelve])
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [16, 0, 8], bytes(range(0, 256, 16)) * 2
    table.ModalityLUTType = "US"
    table["LUTData"].VR = "OW"
    shown = Dataset()
    shown.LUTDescriptor, shown.LUTData = [16, 0, 12], bytes(32)
    shown["LUTData"].VR = "OW"
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    several = {"SOPClassUID": MultiFrameGrayscaleWordSecondaryCaptureImageStorage}
    plain = (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    )
    packed = [syntax for syntax in CODECS if get_encoder(syntax).is_available]
    # OpenJPEG compresses nothing smaller.
    wide = {12: _picture((33, 32), 4095, np.uint16), 8: _picture((32, 33), 255)}
    return [
        *(dicom(f"dicom 12 {s.name}", twelve, s, **window) for s in plain),
        *(dicom(f"dicom 12 {s.name}", wide[12], s, **window) for s in packed),
        *(dicom(f"dicom 8 {s.name}", wide[8], s) for s in packed),
        dicom("dicom 8", eight),
        *(dicom(f"dicom frames {s.name}", frames, s, **several) for s in (plain[0], RLELossless)),
        dicom(
            "dicom signed", signed, RescaleSlope="-2", RescaleIntercept="7", PixelPaddingValue=-2048
        ),
        dicom(
            "dicom monochrome1",
            twelve,
            PhotometricInterpretation="MONOCHROME1",
            PixelPaddingValue=0,
            PixelPaddingRangeLimit=40,
        ),
        dicom("dicom modality lut", twelve % 16, ModalityLUTSequence=[table]),
        dicom("dicom voi lut", twelve % 16, VOILUTSequence=[shown]),
        _baseline(eight),
        _jpeg(
            "dicom jpeg lossless",
            _picture((8, 8), 4095, np.uint16),
            LOSSLESS_JPEG,
            JPEGLosslessSV1,
        ),
    ]


def _baseline(pixels: np.ndarray) -> Film:
    """JPEG in DICOM, by Pillow's own encoder."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return _jpeg("dicom jpeg", pixels, file.getvalue(), JPEGBaseline8Bit)


def _jpeg(name: str, pixels: np.ndarray, data: bytes, syntax: str) -> Film:
    film = dicom(name, pixels)
    return Film(name, film.data[: film.pixels_at] + encapsulated(data), str(syntax))


def encapsulated(data: bytes) -> bytes:
    """Pixel data (explicit, little endian) of one compressed frame in one fragment."""
    data += bytes(len(data) % 2)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    start = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    return start + struct.pack("<HHI", 0xFFFE, 0xE000, 0) + item + b"\xfe\xff\xdd\xe0" + bytes(4)


def _from_pydicom() -> list[Film]:
    found = []
    for name in PYDICOM:
        path = pydicom.data.get_testdata_file(name, download=False)
        if path is not None:
            film = dcmread(path, force=True)
            film.SOPClassUID = ComputedRadiographyImageStorage
            found.append(_taken_apart(name, film))
    return found


def _kinds() -> list[Film]:
    """What the table of `tests/io/kinds.py` reads, as whole files."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "io"))
    from kinds import KINDS

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        made = []
        for kind in KINDS:
            if not kind.refused and not kind.arguments:
                kind.make(path)
                made.append(Film(f"{kind.format}, {kind.what}", path.read_bytes()))
    return made


def _real(folder: Path) -> list[Film]:
    """Real films, in pieces of 24 x 24 pixels with all of their header."""
    found = []
    for path in sorted((folder / "dicom").glob("*.dcm")):
        film = dcmread(path)
        pixels = film.pixel_array
        top, left = (side // 2 for side in pixels.shape[-2:])
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        crop = pixels[..., top : top + 24, left : left + 24]
        film.PixelData = crop.tobytes()
        film["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
        film.Rows, film.Columns = crop.shape[-2:]
        found.append(_taken_apart(path.name, film))
    for pattern, kind in (("*.jpeg", "JPEG"), ("*.jpg", "JPEG"), ("*.png", "PNG")):
        for path in sorted(folder.rglob(pattern))[:2]:
            with Image.open(path) as image:
                file = io.BytesIO()
                image.crop((60, 60, 84, 84)).save(file, kind)
            found.append(Film(path.name, file.getvalue()))
    return found


def _raster_bombs() -> list[Film]:
    def png(width: int, height: int, *more: bytes, depth: int = 8, rows: bytes = b"") -> bytes:
        start = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
        data = chunk(b"IDAT", zlib.compress(rows or bytes(100), 9))
        return b"".join(
            (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", start), *more, data, chunk(b"IEND", b""))
        )

    def tiff(width: int, height: int, data: bytes = bytes(64), **tags: int) -> bytes:
        tags = {"compression": 1, "strip": height, "bytes": len(data)} | tags
        values = (
            (256, width), (257, height), (258, 8), (259, tags["compression"]), (262, 1),
            (273, 8), (277, 1), (278, tags["strip"]), (279, tags["bytes"]),
        )  # fmt: skip
        table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values)
        at = 8 + len(data)
        return b"II*\0" + struct.pack("<I", at) + data + struct.pack("<H", len(values)) + table

    many = zlib.compress(bytes(1 << 26), 9)
    jpeg = io.BytesIO()
    Image.fromarray(_picture((8, 8), 255)).save(jpeg, "JPEG")
    wide = bytearray(jpeg.getvalue())
    at = wide.index(b"\xff\xc0") + 5
    wide[at : at + 4] = b"\xff\xff\xff\xff"
    film = bytes(8 * 9)
    return [
        Film("png of 65535 x 65535", png(65535, 65535)),
        Film("png of 2147483647 x 2147483647", png(2**31 - 1, 2**31 - 1)),
        Film("png of 2147483648 x 1", png(2**31, 1)),
        Film("png of 9000 x 9000 with 100 bytes", png(9000, 9000, depth=16)),
        Film("png of 9 x 100 with 8 rows", png(9, 100, rows=bytes(10 * 8))),
        Film("png with 64 MB of rows too many", png(8, 8, rows=bytes(1 << 26))),
        Film("zTXt bomb", png(8, 8, chunk(b"zTXt", b"Comment\0\0" + many), rows=film)),
        Film("iTXt bomb", png(8, 8, chunk(b"iTXt", b"Comment\0\1\0\0\0" + many), rows=film)),
        Film("iCCP bomb", png(8, 8, chunk(b"iCCP", b"profile\0\0" + many), rows=film)),
        Film("jpeg of 65535 x 65535", bytes(wide)),
        Film("tiff of 65535 x 65535", tiff(65535, 65535)),
        Film("tiff of 4294967295 x 1", tiff(2**32 - 1, 1)),
        Film("tiff of 9000 x 9000 with 64 bytes", tiff(9000, 9000)),
        Film("tiff strip of 4 GB", tiff(8, 8, bytes=2**32 - 1)),
        Film("tiff of one strip of 4 G rows", tiff(8, 8, strip=2**32 - 1)),
        Film("tiff deflate bomb", tiff(8, 8, many, compression=8)),
        Film("tiff of 9000 x 9000, deflated", tiff(9000, 9000, many[:999], compression=8)),
        Film("tiff that is its own next", tiff(8, 8) + struct.pack("<I", 72)),
    ]


def _grown(header: bytes, pixels: bytes, size: int) -> bytes:
    """A deflated film with `size` bytes that mean nothing; never held as they would inflate to."""
    press = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    start = struct.pack("<HH2sHI", 9, 0x1001, b"OB", 0, size)
    parts = [press.compress(header + start)]
    parts += [press.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    parts += [press.compress(pixels), press.flush()]
    empty = Film("", b"", DeflatedExplicitVRLittleEndian)
    return empty.file()[: -len(deflated(b""))] + b"".join(parts)


def _dicom_bombs() -> list[Film]:
    eight = dicom("", _picture((8, 8), 255))
    huge = eight.element(0x0028_0010, "US", b"\xff\xff") + eight.element(
        0x0028_0011, "US", b"\xff\xff"
    )
    header, pixels = eight.data[: eight.pixels_at], eight.data[eight.pixels_at :]
    rle = struct.pack("<16I", 1, 64, *[0] * 14)
    # A run of 128 zeros takes two bytes.
    run = b"\x81\x00"
    j2k = b"\xff\x4f\xff\x51\x00\x29" + struct.pack(
        ">H8IH3B", 0, 60000, 60000, 0, 0, 60000, 60000, 0, 0, 1, 7, 1, 1
    )
    syntax = str(ExplicitVRLittleEndian)
    found = [
        Film("dicom of 65535 x 65535", header + huge + pixels, syntax),
        Film("dicom of 300 MB, deflated", _grown(header, pixels, 300 << 20)),
        Film("dicom, 64 GB in one element", header + pixels[:8] + b"\xfe\xff\xff\xff", syntax),
    ]
    for kind, codec, data in (
        ("rle", RLELossless, rle + run * 9),
        ("rle too long", RLELossless, rle + run * (1 << 20)),
        ("jpeg 2000", JPEG2000Lossless, j2k + bytes(64)),
        ("jpeg-ls", JPEGLSLossless, b"\xff\xd8\xff\xf7\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0"),
        ("jpeg", JPEGBaseline8Bit, b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0"),
    ):
        for name, said in ((f"{kind} of 65535 x 65535", huge), (f"{kind} of 8 x 8", b"")):
            found.append(Film(name, header + said + encapsulated(data), str(codec)))
    twelve = _picture((8, 8), 4095, np.uint16)
    for at, value in ((6, 20), (15, 0)):  # bits per pixel; the length of a Huffman table
        data = LOSSLESS_JPEG[:at] + bytes([value]) + LOSSLESS_JPEG[at + 1 :]
        found.append(_jpeg(f"jpeg lossless, byte {at} damaged", twelve, data, JPEGLosslessSV1))
    for depth in (50, 500, 5000, 50000):
        for kind in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            start = dicom("", _picture((8, 8), 255), kind)
            opened = struct.pack("<HH", 0x0008, 0x1140)
            opened += b"" if kind == ImplicitVRLittleEndian else b"SQ\0\0"
            opened += b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
            closed = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
            at = start.pixels_at
            nested = start.data[:at] + opened * depth + closed * depth + start.data[at:]
            found.append(Film(f"dicom, sequences {depth} deep, {kind.name}", nested, str(kind)))
    return found
