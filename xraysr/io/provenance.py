"""`Provenance`: what an enlarged film says about the program and the model that made it."""

from __future__ import annotations

from dataclasses import dataclass

from xraysr.version import __version__


@dataclass(frozen=True)
class Provenance:
    """Which model enlarged a film, for the file that is written.

    Args:
        model: Name of the model.
        weights_sha256: SHA-256 of its weights, in hexadecimal.
        scale: HR pixels per LR pixel.
        version: Version of xraysr.
        options: What else was asked for, such as "faithful" or "ensemble".
    """

    model: str
    weights_sha256: str
    scale: int
    version: str = __version__
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it in one line of ASCII, as DICOM, PNG, JPEG and TIFF can carry it."""
        options = "".join(f", {option}" for option in self.options)
        return ascii_line(
            f"xraysr {self.version}, model {self.model} (weights sha256 {self.weights_sha256}), "
            f"x{self.scale}{options}: detail may be synthetic"
        )


def ascii_line(text: str) -> str:
    """`text` in one line; letters beyond ASCII become question marks."""
    return " ".join(text.encode("ascii", "replace").decode("ascii").split())
