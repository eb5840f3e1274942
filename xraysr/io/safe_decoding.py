"""Between a user's file and the decoders: whatever goes wrong comes out as one named error."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from xraysr.errors import BadImageError, UserError

LONGEST_REASON = 300  # letters
MOST_PIXELS = 1 << 28
SAFE_PIXELS = 1 << 26  # that any file may have, however small it is
RATIO = 250  # bytes of pixels for each of the file; JPEG and deflate of films stay below 30


def check_size(width: int, height: int, pixel_bytes: float, file_bytes: int) -> None:
    """Refuses an image of which a small file claims a huge size, before memory is taken for it.

    Args:
        width: In pixels.
        height: In pixels.
        pixel_bytes: Bytes of a decoded pixel.
        file_bytes: Size of the file, or of the compressed frame.

    Raises:
        BadImageError: if it has more than 2 ** 28 pixels, or more than 2 ** 26 and more than 250
            times the size of the file.
    """
    pixels = width * height
    if pixels <= SAFE_PIXELS or (
        pixels <= MOST_PIXELS and pixels * pixel_bytes <= RATIO * file_bytes
    ):
        return
    raise BadImageError(
        f"too large to open safely, as it may be a decompression bomb: {width} x {height} "
        f"pixels in {file_bytes} bytes. Expected at most {MOST_PIXELS} pixels, and for more than "
        f"{SAFE_PIXELS} a file of at least 1/{RATIO} of their size"
    )


def content(path: Path, size: int = -1) -> bytes:
    """The first `size` bytes of the file at `path`, by default all of them.

    Raises:
        UserError: if there is no such file, or `path` is a folder.
        BadImageError: if the file cannot be read or is empty.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder. Expected an image file.")
    try:
        with path.open("rb") as file:
            data = file.read(size)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise BadImageError(f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise BadImageError(f"{path} is empty (0 bytes)")
    return data


class _Quiet:
    """Silences warnings and what decoders log while any thread is inside.

    The last one out restores the filters.

    `warnings.catch_warnings` alone is not safe here, because films are decoded in several
    threads: two that overlap can leave each other's filters behind. Pillow's own limit on pixels,
    which counts no bytes, is set to ours meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()
        self._pixels = Image.MAX_IMAGE_PIXELS
        self._loggers: list[logging.Logger] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
                loggers = [logging.getLogger(name) for name in ("tifffile", "pydicom")]
                self._loggers = [each for each in loggers if not each.disabled]
                for each in self._loggers:
                    each.disabled = True
                self._pixels = Image.MAX_IMAGE_PIXELS
                Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # it refuses twice as many
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = self._pixels
                for each in self._loggers:
                    each.disabled = False


quiet = _Quiet()


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns anything raised in the block into a `BadImageError` that begins with `path`.

    Decoders raise whatever a damaged file leads them into (`struct.error`, `KeyError`,
    `zlib.error`...), so every exception counts as the file's fault. A `BadImageError` or
    `UserError` raised in the block gives the reason in its own words. Warnings stay silent.
    """
    try:
        with quiet:
            yield
    except UserError as error:
        raise type(error)(f"{path}: {_line(error)}") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(
            f"{path}: too large to open safely, as it may be a decompression bomb. {_line(error)}"
        ) from error
    except UnidentifiedImageError as error:
        raise BadImageError(f"{path}: truncated or damaged (its header is not readable)") from error
    except Exception as error:
        raise BadImageError(f"{path}: truncated or damaged ({_line(error)})") from error


def _line(error: Exception) -> str:
    """What went wrong, in one line that a terminal can show; a file's own words may be anything."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
