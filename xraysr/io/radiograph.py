"""`Radiograph`: one film in memory, with what its file said and what was noticed about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xraysr.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Notice:
    """What a reader should know about a film, though it is no error.

    Args:
        code: What kind of thing it is, such as "range-12-in-16", for counting.
        text: What was found, what was done, and which argument changes it.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def synthetic_source(said: object) -> tuple[Notice, ...]:
    """A notice where a file's description is the mark that xraysr leaves."""
    text = said.decode("latin-1") if isinstance(said, bytes) else str(said or "")
    if "xraysr" not in text or "synthetic" not in text:
        return ()
    return (Notice("synthetic-source", "The film was enlarged by xraysr before."),)


@dataclass(frozen=True)
class Provenance:
    """Which model enlarged a film, for the file that is written.

    Args:
        model: Name of the model.
        weights_sha256: SHA-256 of its weights, in hexadecimal.
        scale: HR pixels per LR pixel.
        version: Version of xraysr.
        options: What else was asked for, such as "faithful" or "ensemble".
        source_sha256: SHA-256 of the file that was enlarged, in hexadecimal, where there is one.
    """

    model: str
    weights_sha256: str
    scale: int
    version: str = __version__
    options: tuple[str, ...] = ()
    source_sha256: str = ""

    @property
    def maker(self) -> str:
        """Model, weights, scale and options: the same words wherever the same pixels come out."""
        options = "".join(f", {option}" for option in self.options)
        return ascii_line(
            f"model {self.model} (weights sha256 {self.weights_sha256}), x{self.scale}{options}"
        )

    @property
    def text(self) -> str:
        """What made it in one line of ASCII, the same for all films that one model enlarges."""
        return f"xraysr {self.version}, {self.maker}: detail may be synthetic"

    @property
    def record(self) -> str:
        """`text`, and the hash of the film it was made from, as every output carries it."""
        return f"{self.text}; film sha256 {self.source_sha256}" if self.source_sha256 else self.text


def ascii_line(text: str) -> str:
    """`text` in one line; letters beyond ASCII become question marks."""
    return " ".join(text.encode("ascii", "replace").decode("ascii").split())


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A grey image with what its file said about it.

    Args:
        pixels: float32, shape (height, width), range [0, 1]: 0 is black, 1 the brightest value
            that `bits` can hold; bones bright (MONOCHROME1 films are inverted on reading).
        bits: Grey levels stored by the source are `2 ** bits` (1 to 16).
        spacing: Row and column distance of pixel centres in millimetres, where known.
        header: The DICOM data set the pixels came from, without its pixel data.
        source: The file it was read from.
        padding: bool, the shape that the film has in its file: pixels that are no part of it
            (DICOM's PixelPaddingValue). None where there are none.
        lossy: Its file was compressed with loss.
        frame: Which film of how many its file holds, counted from 1.
        notices: What a reader should know about it.
        provenance: The model that enlarged it; None for a film as it was read. Whatever writes a
            film that has one marks it as synthetic.
    """

    pixels: np.ndarray
    bits: int = 8
    spacing: tuple[float, float] | None = None
    header: Dataset | None = None
    source: Path | None = None
    padding: np.ndarray | None = None
    lossy: bool = False
    frame: tuple[int, int] = (1, 1)
    notices: tuple[Notice, ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32:
            raise ValueError(
                "Radiograph pixels must be float32 of shape (height, width). "
                f"Received: {self.pixels.dtype} of shape {self.pixels.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape  # type: ignore[return-value]

    def with_notices(self, *notices: Notice) -> Radiograph:
        """The same film with `notices` after those it has."""
        return replace(self, notices=(*self.notices, *notices))

    def stored(self) -> np.ndarray:
        """Pixels as the integers a file holds: uint8 up to 8 bits, else uint16."""
        levels = (1 << self.bits) - 1
        dtype = np.uint8 if self.bits <= 8 else np.uint16
        return np.round(np.clip(self.pixels, 0.0, 1.0) * levels).astype(dtype)
