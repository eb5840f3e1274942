"""Every kind of file that `xraysr.read` meets: how to make one, and what must come out.

`test_kinds` runs the table, and `python tests/io/kinds.py > docs/formats.md` prints it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

Y, X = np.mgrid[0:48, 0:40]
# Smooth, as films are, with some detail, and from nearly black to nearly white.
PICTURE = 0.5 + 0.42 * np.sin(X / 9 + 0.4) * np.cos(Y / 13) + 0.03 * np.sin(X * 1.3 + Y * 0.7)
P8, P10, P12, P14, P16 = (
    np.round(PICTURE * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    for bits in (8, 10, 12, 14, 16)
)
RGB8, RGB16 = np.repeat(P8[..., None], 3, 2), np.repeat(P16[..., None], 3, 2)
COLOUR8, COLOUR16 = (each * np.array([1, 0.7, 0.4]) for each in (RGB8, RGB16))
COLOUR8, COLOUR16 = COLOUR8.astype(np.uint8), COLOUR16.astype(np.uint16)
J2K_EXTRAS = ("imagecodecs",)
UNDEFINED_END = b"\xfe\xff\xdd\xe0" + bytes(4)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        format: What it is.
        what: What is special about it, for people.
        make: Writes one, which shows `PICTURE`.
        refused: What the error says; empty where it is read.
        notices: Their codes.
        near: Largest mean difference from `PICTURE`.
        arguments: Of `read`.
        needs: Modules without which it cannot be made, or read.
        writable: It can be written as DICOM again, where it is DICOM.
    """

    format: str
    what: str
    make: Callable[[Path], object]
    refused: str = ""
    notices: tuple[str, ...] = ()
    near: float = 0.003
    arguments: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    writable: bool = True


def saved(pixels: np.ndarray, format: str, **options: Any) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels).save(path, format, **options)


def sbit(pixels: np.ndarray, bits: int) -> Callable[[Path], object]:
    chunks = PngInfo()
    chunks.add(b"sBIT", bytes([bits]))
    return saved(pixels, "PNG", pnginfo=chunks)


def png16(channels: np.ndarray, colour: int) -> Callable[[Path], object]:
    """A PNG of 16 bits in several channels, which Pillow cannot write."""
    height, width, _ = channels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def turned(format: str) -> Callable[[Path], object]:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: a quarter clockwise brings it upright
    options = {"quality": 97} if format == "JPEG" else {}
    return saved(np.rot90(P8).copy(), format, exif=exif, **options)


def mpo(path: Path) -> None:
    first, second = Image.fromarray(P8), Image.fromarray(255 - P8)
    first.save(path, "MPO", save_all=True, append_images=[second], quality=97)


def tif(pixels: np.ndarray, **options: Any) -> Callable[[Path], object]:
    options = {"photometric": "minisblack", "metadata": None} | options
    return lambda path: tifffile.imwrite(path, pixels, **options)


def pages(*each: np.ndarray, **options: Any) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        with tifffile.TiffWriter(path) as writer:
            for at, pixels in enumerate(each):
                extra = options if at == 0 else {}
                writer.write(pixels, photometric="minisblack", metadata=None, **extra)

    return make


def pil_tif(pixels: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels).save(path, "TIFF", **options)


def palette_tif(path: Path) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, 0)
    tifffile.imwrite(path, P8, photometric="palette", colormap=ramp, metadata=None)


def _pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(P16, photometric="minisblack", metadata=None, subifds=1)
        writer.write(P16[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)


def cut(make: Callable[[Path], object], part: float = 0.6) -> Callable[[Path], object]:
    def short(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])

    return short


def plain(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def data_set(stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> FileDataset:
    """A film with `stored` (height, width), or (height, width, 3); None removes an element."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    film = FileDataset("film", {}, bytes(128), meta, implicit, little)
    wide = stored.dtype.itemsize > 1
    defaults = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "Modality": "CR",
        "PatientID": "P1",
        "Rows": PICTURE.shape[0],
        "Columns": PICTURE.shape[1],
        "SamplesPerPixel": 3 if stored.ndim == 3 else 1,
        "PlanarConfiguration": 0 if stored.ndim == 3 else None,
        "PhotometricInterpretation": "RGB" if stored.ndim == 3 else "MONOCHROME2",
        "BitsAllocated": 8 * stored.dtype.itemsize,
        "BitsStored": 12 if wide else 8,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    tags = defaults | tags
    tags.setdefault("HighBit", tags["BitsStored"] - 1)
    for keyword, value in tags.items():
        if value is not None:
            setattr(film, keyword, value)
    film.PixelData = stored.astype(stored.dtype.newbyteorder("<" if little else ">")).tobytes()
    film["PixelData"].VR = "OW" if wide else "OB"
    return film


Edit = Callable[[bytes], bytes]


def dicom(
    stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, *, edit: Edit | None = None,
    **tags: Any,
) -> Callable[[Path], object]:  # fmt: skip
    def make(path: Path) -> None:
        file = io.BytesIO()
        dcmwrite(file, data_set(stored, syntax, **tags), enforce_file_format=True)
        path.write_bytes(edit(file.getvalue()) if edit else file.getvalue())

    return make


def coded(
    encode: Callable[[], bytes], syntax: str, like: np.ndarray = P12, *, edit: Edit | None = None,
    parts: int = 1, table: bool = True, **tags: Any,
) -> Callable[[Path], object]:  # fmt: skip
    """Encapsulated pixel data, in one fragment or several."""

    def make(path: Path) -> None:
        film = data_set(like, syntax, **tags)
        film.PixelData = encapsulate([bytes(encode())], fragments_per_frame=parts, has_bot=table)
        film["PixelData"].VR = "OB"
        film["PixelData"].is_undefined_length = True
        file = io.BytesIO()
        dcmwrite(file, film, enforce_file_format=True)
        path.write_bytes(edit(file.getvalue()) if edit else file.getvalue())

    return make


def j2k(values: np.ndarray, bits: int) -> Callable[[], bytes]:
    def encode() -> bytes:
        import imagecodecs

        return imagecodecs.jpeg2k_encode(
            values, codecformat="j2k", level=0, bitspersample=bits, reversible=True
        )

    return encode


def jls(values: np.ndarray) -> Callable[[], bytes]:
    def encode() -> bytes:
        import jpeg_ls

        return jpeg_ls.encode(values)

    return encode


def jpeg(values: np.ndarray, bits: int = 8, lossless: bool = False) -> Callable[[], bytes]:
    def encode() -> bytes:
        import imagecodecs

        level = None if lossless else 98
        return imagecodecs.jpeg_encode(values, level, bitspersample=bits, lossless=lossless)

    return encode


def rle(path: Path) -> None:
    film = data_set(P12)
    film.compress(RLELossless)
    film.save_as(path, enforce_file_format=True)


def groups(frame: bool, **tags: Any) -> dict[str, Any]:
    """Functional groups with a rescaling or a window."""
    macro = "FrameVOILUTSequence" if "WindowCenter" in tags else "PixelValueTransformationSequence"
    item, group = Dataset(), Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    setattr(group, macro, [item])
    name = "PerFrame" if frame else "Shared"
    return {
        f"{name}FunctionalGroupsSequence": [group],
        "SOPClassUID": MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        "NumberOfFrames": 1,
    }


def body(data: bytes) -> bytes:
    """Without preamble and file meta information."""
    film = dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=["Rows"])
    (length,) = struct.unpack_from("<I", data, 140)
    assert film.file_meta
    return data[144 + length :]


def without_syntax(data: bytes) -> bytes:
    at = data.index(struct.pack("<HH2sH", 2, 0x10, b"UI", 0)[:6])
    (length,) = struct.unpack_from("<H", data, at + 6)
    (group,) = struct.unpack_from("<I", data, 140)
    head = data[:140] + struct.pack("<I", group - 8 - length) + data[144:at]
    return head + data[at + 8 + length :]


def palette(grey: bool) -> dict[str, Any]:
    ramp = (np.arange(256) * 257).astype("<u2").tobytes()
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        tags[f"{name}Descriptor"] = [256, 0, 16]
        tags[f"{name}Data"] = ramp if grey or colour == "Red" else bytes(512)
    return tags


def twos(values: np.ndarray, bits: int) -> np.ndarray:
    """Signed values with empty bits above the sign."""
    return (values.astype(np.int32) - (1 << (bits - 1)) & ((1 << bits) - 1)).astype(np.uint16)


S12 = P12.astype(np.int16) - 2048
OVERLAY = P12 | np.where((X + Y) % 24 < 3, 0x8000, 0).astype(np.uint16)
FLOATS = {"FloatPixelData": PICTURE.astype("<f4").tobytes(), "BitsStored": 32, "BitsAllocated": 32}


def two_frames(path: Path) -> None:
    """Two frames of two fragments each, and a table that is empty."""
    film = data_set(P12, JPEG2000Lossless, NumberOfFrames=2)
    streams = [j2k(each, 12)() for each in (P12, 4095 - P12)]
    film.PixelData = encapsulate(streams, fragments_per_frame=2, has_bot=False)
    film["PixelData"].VR = "OB"
    film.save_as(path, enforce_file_format=True)


def implied(data: bytes) -> bytes:
    """An implicit data set behind file meta information that says explicit."""
    return data.replace(b"1.2.840.10008.1.2\0\0", b"1.2.840.10008.1.2.1")


def deflated_zlib(path: Path) -> None:
    dicom(P12)(path)
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 140)
    head, rest = data[: 144 + length], data[144 + length :]
    head = head.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    head = head[:140] + struct.pack("<I", length + 2) + head[144:]
    at = head.index(b"1.2.840.10008.1.2.1.99")
    head = head[: at - 2] + struct.pack("<H", 22) + head[at:]
    path.write_bytes(head + zlib.compress(rest))


def packed(values: np.ndarray) -> bytes:
    """Values of 12 bits, two in three bytes."""
    low, high = values.ravel()[::2].astype(int), values.ravel()[1::2].astype(int)
    three = np.stack([low & 255, low >> 8 | (high & 15) << 4, high >> 4], 1)
    return three.astype(np.uint8).tobytes()


def float_pixels(path: Path) -> None:
    film = data_set(P12)
    del film.PixelData
    film.FloatPixelData = PICTURE.astype("<f4").tobytes()
    film.save_as(path, enforce_file_format=True)


KINDS = [
    Kind("PNG", "grey, 8 bits", saved(P8, "PNG")),
    Kind("PNG", "grey, 16 bits", saved(P16, "PNG")),
    Kind("PNG", "three equal channels, 8 bits", saved(RGB8, "PNG")),
    Kind("PNG", "three equal channels, 16 bits", png16(RGB16, 2)),
    Kind("PNG", "colour, 8 bits: its luma", saved(COLOUR8, "PNG"), near=1),
    Kind("PNG", "colour, 16 bits", png16(COLOUR16, 2), "16 bits per channel in colour"),
    *(
        Kind("PNG", f"{bits} bits in 16, nothing says so", saved(each, "PNG"),
             notices=(f"range-{bits}-in-16",), near=1)
        for bits, each in ((10, P10), (12, P12), (14, P14))
    ),
    *(
        Kind("PNG", f"{bits} bits in 16, with bits={bits}", saved(each, "PNG"),
             arguments={"bits": bits})
        for bits, each in ((10, P10), (12, P12), (14, P14))
    ),
    Kind("PNG", "12 bits in the low bits of 16, with sBIT", sbit(P12, 12)),
    Kind("PNG", "12 bits spread over 16, with sBIT", sbit(P12 << 4 | P12 >> 8, 12)),
    Kind("PNG", "values beyond bits", saved(P16, "PNG"), "which 12 bits do not fit",
         arguments={"bits": 12}),
    Kind("PNG", "turned, with EXIF", turned("PNG")),
    Kind("PNG", "cut short", cut(saved(P16, "PNG")), "truncated"),
    Kind("PNG", "16 bits with transparency", png16(np.stack([P16, P16 // 2], 2), 4)),
    Kind("PNG", "8 bits with transparency", saved(np.stack([P8, 255 - P8], 2), "PNG")),
    Kind("PNG", "an animation", lambda path: Image.fromarray(P8).save(path, "PNG", save_all=True,
         append_images=[Image.fromarray(255 - P8)]), "holds 2 frames"),
    Kind("JPEG", "progressive", saved(P8, "JPEG", quality=97, progressive=True)),
    Kind("JPEG", "12 bits", lambda path: path.write_bytes(jpeg(P12, 12)()),
         needs=("imagecodecs",)),
    Kind("JPEG", "lossless, 16 bits", lambda path: path.write_bytes(jpeg(P16, 16, True)()),
         needs=("imagecodecs",)),
    Kind("JPEG", "grey", saved(P8, "JPEG", quality=97)),
    Kind("JPEG", "three equal channels", saved(RGB8, "JPEG", quality=97)),
    Kind("JPEG", "turned, with EXIF", turned("JPEG")),
    Kind("JPEG", "two pictures in one file (MPO)", mpo, notices=("several-pages",)),
    Kind("JPEG", "cut short", cut(saved(P8, "JPEG")), "truncated"),
    *(
        Kind("TIFF", f"{each.dtype}", tif(each))
        for each in (P8, P16, PICTURE.astype(np.float16), PICTURE.astype(np.float32), PICTURE)
    ),
    Kind("TIFF", "uint32, all of its range",
         tif(np.round(PICTURE * (2**32 - 1)).astype(np.uint32))),
    Kind("TIFF", "uint64, all of its range", tif((PICTURE * (2.0**64 - 2**20)).astype(np.uint64))),
    Kind("TIFF", "uint32 that holds 16 bits", tif(P16.astype(np.uint32)),
         notices=("range-16-in-32",)),
    Kind("TIFF", "int8", tif((P8.astype(np.int16) - 128).astype(np.int8)),
         notices=("signed-values",)),
    Kind("TIFF", "int16", tif((P16.astype(np.int32) - 32768).astype(np.int16)),
         notices=("signed-values",)),
    Kind("TIFF", "int16 without negative values", tif((P16 >> 1).astype(np.int16))),
    Kind("TIFF", "int32 of a range unknown", tif(P16.astype(np.int32) * 9),
         "whose range is not known"),
    Kind("TIFF", "int32, with value_range", tif(P16.astype(np.int32) * 9),
         arguments={"value_range": (0, 9 * 65535)}),
    Kind("TIFF", "float of another range", tif(PICTURE.astype(np.float32) * 4095),
         "floating-point values from"),
    Kind("TIFF", "float, with value_range", tif(PICTURE.astype(np.float32) * 4095),
         arguments={"value_range": (0, 4095)}),
    Kind("TIFF", "float with SMinSampleValue and SMaxSampleValue",
         tif(PICTURE.astype(np.float32) * 4095,
             extratags=[(340, 11, 1, 0.0, True), (341, 11, 1, 4095.0, True)])),
    Kind("TIFF", "float that is not finite",
         tif(np.where(X == 3, np.nan, PICTURE).astype(np.float32)), "not finite"),
    Kind("TIFF", "complex", tif(PICTURE.astype(np.complex64)), "complex64 values"),
    Kind("TIFF", "12 bits in 16, nothing says so", tif(P12), notices=("range-12-in-16",), near=1),
    Kind("TIFF", "12 bits in 16, with bits=12", tif(P12), arguments={"bits": 12}),
    Kind("TIFF", "12 bits in 16, with MaxSampleValue",
         tif(P12, extratags=[(281, 3, 1, 4095, True)])),
    Kind("TIFF", "12 bits, packed", tif(P12, bitspersample=12), needs=("imagecodecs",)),
    Kind("TIFF", "white is zero, 8 bits", tif(255 - P8, photometric="miniswhite")),
    Kind("TIFF", "white is zero, 16 bits", tif(65535 - P16, photometric="miniswhite")),
    Kind("TIFF", "a palette of greys", palette_tif),
    Kind("TIFF", "three equal channels, 8 bits", tif(RGB8, photometric="rgb")),
    Kind("TIFF", "three equal channels, 16 bits", tif(RGB16, photometric="rgb")),
    Kind("TIFF", "three equal channels in planes, 16 bits",
         tif(np.moveaxis(RGB16, -1, 0).copy(), photometric="rgb", planarconfig="separate")),
    Kind("TIFF", "colour, 16 bits", tif(COLOUR16, photometric="rgb"), "16 bits per channel"),
    Kind("TIFF", "big endian", tif(P16, byteorder=">")),
    Kind("TIFF", "BigTIFF", tif(P16, bigtiff=True)),
    Kind("TIFF", "tiles", tif(P16, tile=(16, 16))),
    Kind("TIFF", "strips of 5 rows", tif(P16, rowsperstrip=5)),
    *(
        Kind("TIFF", f"{name}, 16 bits, with predictor", tif(P16, compression=name,
             predictor=True), needs=("imagecodecs",))
        for name in ("lzw", "zlib", "zstd", "lzma")
    ),
    Kind("TIFF", "deflate of floats, with predictor",
         tif(PICTURE.astype(np.float32), compression="zlib", predictor=True),
         needs=("imagecodecs",)),
    Kind("TIFF", "LZW of int8", tif((P8.astype(int) - 128).astype(np.int8), compression="lzw"),
         notices=("signed-values",), needs=("imagecodecs",)),
    Kind("TIFF", "LZW by another writer", pil_tif(P16, compression="tiff_lzw")),
    Kind("TIFF", "PackBits", pil_tif(P8, compression="packbits")),
    Kind("TIFF", "JPEG", pil_tif(P8, compression="jpeg", quality=97)),
    Kind("TIFF", "JPEG in colour, of grey", pil_tif(RGB8, compression="jpeg", quality=97)),
    Kind("TIFF", "several pages: the first", pages(P16, 65535 - P16), notices=("several-pages",)),
    Kind("TIFF", "a thumbnail, then the film", pages(P16[::8, ::8], P16),
         notices=("several-pages",)),
    Kind("TIFF", "a reduced image marked as such, then the film",
         pages(P16[::2, ::2].repeat(2, 0).repeat(2, 1), P16, subfiletype=1),
         notices=("several-pages",)),
    Kind("TIFF", "several pages, with page=2", pages(65535 - P16, P16), arguments={"page": 2}),
    Kind("TIFF", "turned, with its own tag",
         tif(np.rot90(P16).copy(), extratags=[(274, 3, 1, 6, True)])),
    Kind("TIFF", "a grey channel and transparency", tif(np.stack([P16, P16 // 2], 2),
         extrasamples=["unassalpha"], planarconfig="contig")),
    Kind("TIFF", "three equal channels and transparency, 16 bits",
         tif(np.concatenate([RGB16, RGB16[..., :1] // 2], 2), photometric="rgb",
             extrasamples=["unassalpha"])),
    Kind("TIFF", "tiles of JPEG", tif(P8, tile=(16, 16), compression="jpeg",
         compressionargs={"level": 97}), needs=("imagecodecs",)),
    Kind("TIFF", "JPEG 2000 inside, 16 bits", tif(P16, compression="jpeg2000"),
         needs=("imagecodecs",)),
    Kind("TIFF", "int64", tif(P16.astype(np.int64)), notices=("range-16-in-64",)),
    Kind("TIFF", "10 bits, packed", tif(P10, bitspersample=10), needs=("imagecodecs",)),
    Kind("TIFF", "white is zero, floats", tif((1 - PICTURE).astype(np.float32),
         photometric="miniswhite")),
    Kind("TIFF", "white is zero, 12 bits in 16, with bits=12",
         tif(4095 - P12, photometric="miniswhite"), arguments={"bits": 12}),
    Kind("TIFF", "white is zero, int8",
         tif((127 - P8.astype(np.int16)).astype(np.int8), photometric="miniswhite"),
         notices=("signed-values",)),
    Kind("TIFF", "a pyramid", lambda path: _pyramid(path)),
    Kind("TIFF", "cut short", cut(tif(P16)), "truncated"),
    Kind("DICOM", "native, 12 bits", dicom(P12)),
    Kind("DICOM", "native, 8 bits", dicom(P8)),
    Kind("DICOM", "native, signed", dicom(S12)),
    Kind("DICOM", "native, signed, with empty bits above", dicom(twos(P12, 12),
         PixelRepresentation=1)),
    Kind("DICOM", "MONOCHROME1", dicom(4095 - P12, PhotometricInterpretation="MONOCHROME1")),
    Kind("DICOM", "photometric in small letters", dicom(P12,
         edit=lambda data: data.replace(b"MONOCHROME2", b"Monochrome2"))),
    Kind("DICOM", "implicit little endian", dicom(P12, ImplicitVRLittleEndian)),
    Kind("DICOM", "explicit big endian", dicom(P12, ExplicitVRBigEndian)),
    Kind("DICOM", "deflated", dicom(P12, DeflatedExplicitVRLittleEndian)),
    Kind("DICOM", "no preamble, implicit", dicom(P12, ImplicitVRLittleEndian, edit=body)),
    Kind("DICOM", "no preamble, explicit", dicom(P12, edit=body)),
    Kind("DICOM", "no preamble, big endian", dicom(P12, ExplicitVRBigEndian, edit=body)),
    Kind("DICOM", "no preamble, but file meta information",
         dicom(P12, edit=lambda data: data[132:])),
    Kind("DICOM", "no transfer syntax, implicit",
         dicom(P12, ImplicitVRLittleEndian, edit=without_syntax)),
    Kind("DICOM", "no transfer syntax, explicit", dicom(P12, edit=without_syntax)),
    Kind("DICOM", "zeros after the end", dicom(P12, edit=lambda data: data + bytes(510))),
    Kind("DICOM", "blanks after the end", dicom(P12, edit=lambda data: data + b" " * 300)),
    Kind("DICOM", "0xFF after the end", dicom(P12, edit=lambda data: data + b"\xff" * 300)),
    Kind("DICOM", "one byte after the end", dicom(P12, edit=lambda data: data + b"\0")),
    Kind("DICOM", "empty RescaleSlope and RescaleIntercept",
         dicom(P12, RescaleSlope="", RescaleIntercept="")),
    Kind("DICOM", "negative rescale slope",
         dicom(4095 - P12, RescaleSlope="-1", RescaleIntercept="4095")),
    *(
        Kind("DICOM", f"negative rescale slope in {name} functional groups",
             dicom(4095 - P12, **groups(frame, RescaleSlope="-1", RescaleIntercept="4095")))
        for name, frame in (("shared", False), ("per-frame", True))
    ),
    Kind("DICOM", "window in functional groups",
         dicom(P12, **groups(False, WindowCenter="2048", WindowWidth="4096"))),
    Kind("DICOM", "VOILUTFunction in small letters",
         dicom(P12, WindowCenter="2048", WindowWidth="4096", VOILUTFunction="sigmoid")),
    Kind("DICOM", "unknown VOILUTFunction", notices=("voi-unknown",),
         make=dicom(P12, WindowCenter="2048", WindowWidth="4096", VOILUTFunction="CUBIC")),
    Kind("DICOM", "window outside the values", notices=("window-outside",),
         make=dicom(P12, WindowCenter="60000", WindowWidth="100")),
    Kind("DICOM", "left-justified, with HighBit 15", dicom(P12 << 4, HighBit=15)),
    Kind("DICOM", "left-justified, with HighBit 11", dicom(P12 << 4), notices=("high-bit",)),
    Kind("DICOM", "HighBit 15 of values in the low bits", dicom(P12, HighBit=15),
         notices=("high-bit",)),
    Kind("DICOM", "14 bits under BitsStored 12", dicom(P14), notices=("bits-above-stored",)),
    Kind("DICOM", "signed 14 bits under BitsStored 12", dicom(P14.astype(np.int16) - 8192),
         notices=("bits-above-stored",)),
    Kind("DICOM", "an overlay in the high bits", dicom(OVERLAY)),
    Kind("DICOM", "BitsStored as text", dicom(P12, edit=lambda data: data.replace(
        struct.pack("<HH2sHH", 0x28, 0x101, b"US", 2, 12),
        struct.pack("<HH2sH2s", 0x28, 0x101, b"IS", 2, b"12")))),
    Kind("DICOM", "no SamplesPerPixel", dicom(P12, SamplesPerPixel=None)),
    Kind("DICOM", "no PixelRepresentation", dicom(P12, PixelRepresentation=None)),
    Kind("DICOM", "RGB of equal channels", dicom(RGB8, SOPClassUID=SecondaryCaptureImageStorage)),
    Kind("DICOM", "RGB of equal channels, 16 bits", dicom(RGB16, BitsStored=16,
         SOPClassUID=SecondaryCaptureImageStorage)),
    Kind("DICOM", "RGB of equal channels in planes", dicom(np.moveaxis(RGB8, -1, 0).copy(),
         PlanarConfiguration=1, SamplesPerPixel=3, PhotometricInterpretation="RGB",
         SOPClassUID=SecondaryCaptureImageStorage)),
    Kind("DICOM", "YBR_FULL without colour",
         dicom(np.stack([P8, np.full_like(P8, 128), np.full_like(P8, 128)], 2),
               PhotometricInterpretation="YBR_FULL")),
    Kind("DICOM", "RGB in colour", dicom(COLOUR8), "three channels are not equal"),
    Kind("DICOM", "a palette of greys", dicom(P8, **palette(True))),
    Kind("DICOM", "a palette of colours", dicom(P8, **palette(False)),
         "three channels are not equal"),
    Kind("DICOM", "RLE", rle),
    Kind("DICOM", "JPEG baseline", coded(jpeg(P8), JPEGBaseline8Bit, P8), needs=("imagecodecs",)),
    Kind("DICOM", "JPEG Extended, 12 bits", coded(jpeg(P12, 12), JPEGExtended12Bit),
         needs=("imagecodecs",)),
    Kind("DICOM", "JPEG lossless", coded(jpeg(P12, 12, True), JPEGLosslessSV1),
         needs=("imagecodecs", "gdcm")),
    Kind("DICOM", "JPEG lossless, signed",
         coded(jpeg(twos(P12, 12), 12, True), JPEGLosslessSV1, S12), needs=("imagecodecs", "gdcm")),
    Kind("DICOM", "JPEG lossless of 16 bits, left-justified, BitsStored 12",
         coded(jpeg(P12 << 4, 16, True), JPEGLosslessSV1), notices=("codestream-precision",),
         needs=("imagecodecs", "gdcm")),
    Kind("DICOM", "JPEG-LS", coded(jls(P12), JPEGLSLossless), needs=("jpeg_ls",)),
    Kind("DICOM", "JPEG-LS of 10 bits, BitsStored 12", coded(jls(P10), JPEGLSLossless),
         notices=("codestream-precision",), needs=("jpeg_ls",)),
    Kind("DICOM", "JPEG-LS of 16 bits, BitsStored 12", coded(jls(P16), JPEGLSLossless),
         notices=("codestream-precision",), needs=("jpeg_ls",)),
    Kind("DICOM", "JPEG 2000", coded(j2k(P12, 12), JPEG2000Lossless), needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000 of 16 bits that hold 12", coded(j2k(P12, 16), JPEG2000Lossless),
         needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000 of 16 bits, left-justified, BitsStored 12",
         coded(j2k(P12 << 4, 16), JPEG2000Lossless), notices=("codestream-precision",),
         needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000 of 14 bits, BitsStored 12",
         coded(j2k(P14, 14), JPEG2000Lossless), notices=("codestream-precision",),
         needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000 of 8 bits, BitsStored 12",
         coded(j2k(P8, 8), JPEG2000Lossless), notices=("codestream-precision",),
         needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000, signed in both",
         coded(j2k(S12, 12), JPEG2000Lossless, S12), needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000, signed, header unsigned",
         coded(j2k(S12, 12), JPEG2000Lossless), notices=("codestream-sign",), needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000, unsigned, header signed",
         coded(j2k(twos(P12, 12), 12), JPEG2000Lossless, S12), needs=J2K_EXTRAS),
    Kind("DICOM", "JPEG 2000 that says it is JPEG-LS",
         coded(j2k(P12, 12), JPEGLSLossless), needs=J2K_EXTRAS),
    Kind("DICOM", "in three fragments, without a table of offsets",
         coded(j2k(P12, 12), JPEG2000Lossless, parts=3, table=False), needs=J2K_EXTRAS),
    Kind("DICOM", "with a wrong table of offsets",
         coded(j2k(P12, 12), JPEG2000Lossless, edit=lambda data: data.replace(
             b"\xfe\xff\x00\xe0\x04\x00\x00\x00" + bytes(4),
             b"\xfe\xff\x00\xe0\x04\x00\x00\x00\x99\x99\x00\x00")), needs=J2K_EXTRAS),
    Kind("DICOM", "without the end of its pixel data",
         coded(j2k(P12, 12), JPEG2000Lossless, edit=lambda data: data[:-8]), needs=J2K_EXTRAS),
    Kind("DICOM", "a codestream cut short",
         coded(lambda: j2k(P12, 12)()[:-200], JPEG2000Lossless), "truncated", needs=J2K_EXTRAS),
    Kind("DICOM", "decompressed, but its transfer syntax says JPEG 2000",
         dicom(P12, edit=lambda data: data.replace(b"1.2.840.10008.1.2.1\0",
                                                   b"1.2.840.10008.1.2.5\0"))),
    Kind("DICOM", "two frames of two fragments, without a table", two_frames, needs=J2K_EXTRAS,
         arguments={"frame": 1}),
    Kind("DICOM", "several frames, none named", dicom(P12, NumberOfFrames=2, Rows=24),
         "holds 2 frames"),
    Kind("DICOM", "implicit, and its transfer syntax says explicit",
         dicom(P12, ImplicitVRLittleEndian, edit=implied)),
    Kind("DICOM", "deflated, with the head of zlib", deflated_zlib),
    Kind("DICOM", "encapsulated, and its transfer syntax says explicit little endian",
         coded(j2k(P12, 12), JPEG2000Lossless, edit=lambda data: data.replace(
             b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1\0\0\0")), needs=J2K_EXTRAS),
    Kind("DICOM", "no SOP class", dicom(P12, SOPClassUID=None)),
    Kind("DICOM", "no HighBit", dicom(P12, HighBit=None)),
    Kind("DICOM", "NumberOfFrames 0", dicom(P12, NumberOfFrames=0)),
    Kind("DICOM", "a window that is no number", dicom(P12, WindowCenter="2048", WindowWidth="4096",
         edit=lambda data: data.replace(b"4096", b"wide"))),
    Kind("DICOM", "a spacing with commas", dicom(P12, PixelSpacing=[0.4, 0.4],
         edit=lambda data: data.replace(b"0.4\\0.4 ", b"0,4\\0,4 "))),
    Kind("DICOM", "text beyond its character set", dicom(P12, SeriesDescription="Muller",
         edit=lambda data: data.replace(b"Muller", b"M\xfcller"))),
    Kind("DICOM", "a character set that does not exist", dicom(P12,
         SpecificCharacterSet="ISO_IR 100",
         SeriesDescription="Thorax", edit=lambda data: data.replace(b"ISO_IR 100", b"ISO_IR 9X9"))),
    Kind("DICOM", "a date, a time and a UID that are none", dicom(P12, StudyDate="20200102",
         StudyTime="101112", FrameOfReferenceUID="1.2.3.44", edit=lambda data: data.replace(
             b"20200102", b"2.1.2020").replace(b"101112", b"10:11:").replace(
             b"1.2.3.44", b"1.2.x.44"))),
    Kind("DICOM", "an element of odd length", dicom(P12, PatientID="P1", edit=lambda data:
         data.replace(struct.pack("<HH2sH", 0x10, 0x20, b"LO", 2) + b"P1",
                      struct.pack("<HH2sH", 0x10, 0x20, b"LO", 3) + b"P12"))),
    Kind("DICOM", "Rows as UN", dicom(P12, edit=lambda data: data.replace(
         struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 48),
         struct.pack("<HH2sHIH", 0x28, 0x10, b"UN", 0, 2, 48)))),
    Kind("DICOM", "an SOP instance UID that is none", dicom(P12, edit=lambda data:
         data.replace(b"1.2.3.4\0", b"x.2.3.4\0"))),
    Kind("DICOM", "packed, BitsAllocated 12", dicom(np.frombuffer(packed(P12), np.uint8),
         BitsAllocated=12, BitsStored=12), "cannot be decoded"),
    Kind("DICOM", "32 bits allocated, 16 stored", dicom(P16.astype(np.uint32), BitsStored=16)),
    Kind("DICOM", "JPEG baseline of equal channels",
         coded(jpeg(RGB8), JPEGBaseline8Bit, RGB8, PhotometricInterpretation="YBR_FULL_422"),
         needs=("imagecodecs",)),
    Kind("DICOM", "JPEG 2000 of equal channels",
         coded(j2k(RGB8, 8), JPEG2000Lossless, RGB8, PhotometricInterpretation="YBR_RCT"),
         needs=J2K_EXTRAS),
    Kind("DICOM", "12 bits of JPEG lossless with HighBit 15",
         coded(jpeg(P12 << 4, 16, True), JPEGLosslessSV1, HighBit=15),
         notices=("codestream-precision",), needs=("imagecodecs", "gdcm")),
    Kind("DICOM", "5 mm pixels", dicom(P12, PixelSpacing=[5, 5]), notices=("unlike-training",)),
    Kind("DICOM", "a hand", dicom(P12, BodyPartExamined="HAND"), notices=("unlike-training",)),
    Kind("DICOM", "SyntheticData YES", dicom(P12, SyntheticData="YES"),
         notices=("synthetic-source",)),
    Kind("DICOM", "a private transfer syntax", dicom(P12, edit=lambda data: data.replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0")), "is private .GE"),
    Kind("DICOM", "floating-point pixels", float_pixels, "holds floating-point pixels"),
    Kind("DICOM", "more than 16 bits", dicom(P12.astype(np.uint32), BitsStored=20),
         "BitsStored is 20. Expected 1 to 16"),
    Kind("DICOM", "cut short", cut(dicom(P12)), "less than expected|truncated"),
    Kind("other", "BMP", saved(P8, "BMP"), "its content is BMP"),
    Kind("other", "WebP", plain(b"RIFF\x10\0\0\0WEBPVP8 " + bytes(9)), "its content is WebP"),
    Kind("other", "JPEG 2000", plain(b"\xff\x4f\xff\x51" + bytes(99)), "its content is JPEG 2000"),
    Kind("other", "NIfTI", plain(bytes(344) + b"n+1\0" + bytes(99)), "its content is NIfTI"),
    Kind("other", "PDF", plain(b"%PDF-1.7\n"), "its content is PDF"),
    Kind("other", "text", plain(b"patient,label\n"), "its content is text"),
]  # fmt: skip

HEAD = """# What is read, and what is refused

Made from the table that the tests run, by `python tests/io/kinds.py`. Each row is a file made for
the occasion: what is read shows the picture that was put in, and what is refused is refused by
name. `read` takes the arguments that stand here, and the command line has an option for each.
A notice is a short sentence with a code that says what was found and done; it does not stop
anything.

| format | what | outcome |
|---|---|---|
"""


def page() -> str:
    """The table as Markdown."""
    rows = []
    for kind in KINDS:
        outcome = "refused" if kind.refused else "reads"
        if kind.notices:
            outcome += f", with the notice {', '.join(f'`{each}`' for each in kind.notices)}"
        if "imagecodecs" in kind.needs and not kind.refused:
            outcome += " (extra `dicom`)"
        rows.append(f"| {kind.format} | {kind.what} | {outcome} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(page(), end="")
