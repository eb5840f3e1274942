"""Shows what super-resolution added to a film, and where it is unsure.

Maps are held whole, as the image is: on top of SR, making one takes memory for three of its size.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from xraysr.files import refuse_existing, whole_file
from xraysr.lanczos import Reduction

MAPS = ("added", "uncertainty")
ZERO, UNITS = 32768, 32767  # of a 16-bit map: the value that stands for 0, and units of [0, 1]
STRONG = (
    1 / 16
)  # of [0, 1]: where the colour of an overlay is at its full; 16 grey levels of 8 bits
WEAK_COLOUR, STRONG_COLOUR = (213, 94, 0), (255, 236, 66)  # told apart by the colour-blind, too
OPACITY = 0.9
LEGEND_HEIGHT, LEGEND_MARGIN = 20, 4


def added_detail(sr: np.ndarray, scale: int) -> np.ndarray:
    """What the network added: detail that neither the LR image nor interpolation of it holds.

    See `xraysr.lanczos.Reduction.added`; of a Lanczos enlargement it is 0.

    Args:
        sr: Float, shape (scale height, scale width), in [0, 1].
        scale: HR pixels per LR pixel.

    Returns:
        float32, the shape of `sr`, in units of [0, 1], of either sign; its Lanczos reduction is 0.
    """
    height, width = sr.shape
    added = Reduction((height // scale, width // scale), scale).added(sr)
    return added.astype(np.float32, copy=False)


def numbers(values: np.ndarray, bits: int) -> dict[str, Any]:
    """A map in three numbers, in grey levels of a film of `bits` bits, regardless of sign.

    Args:
        values: A map, shape (height, width), in units of [0, 1].
        bits: Bits of the film.

    Returns:
        `mean`, `p99` (99th percentile) and `worst` (`value`, `row`, `column`).
    """
    levels = (1 << bits) - 1
    strength = np.abs(values)
    row, column = np.unravel_index(np.argmax(strength), strength.shape)
    return {
        "mean": levels * float(strength.mean(dtype=np.float64)),
        "p99": levels * float(np.percentile(strength, 99)),
        "worst": {
            "value": levels * float(strength[row, column]),
            "row": int(row),
            "column": int(column),
        },
    }


def to_16_bit(values: np.ndarray) -> np.ndarray:
    """A map as uint16: 32768 stands for 0, 32767 units for the whole range of grey."""
    return np.round(ZERO + UNITS * np.clip(values, -1.0, 1.0)).astype(np.uint16)


def overlay(film: np.ndarray, values: np.ndarray, bits: int) -> np.ndarray:
    """The film in grey under the map in colour, with a legend below.

    The colour goes from none over orange to yellow, which is reached at a sixteenth of the range
    (16 grey levels of 8 bits) for every film, so that overlays can be compared.

    Args:
        film: Shape (height, width), in [0, 1].
        values: A map of the same shape, in units of [0, 1], shown regardless of sign.
        bits: Bits of the film, in whose grey levels the legend counts.

    Returns:
        uint8, shape (height + legend, width, 3).
    """
    return np.concatenate([_coloured(film, values), _legend(film.shape[1], bits)])


def write_maps(
    stem: Path,
    sr: np.ndarray,
    maps: Mapping[str, np.ndarray],
    bits: int,
    *,
    said: str = "",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes every map as STEM.NAME.png, of 16 bits, and STEM.NAME.overlay.png, in colour.

    Args:
        stem: Path without suffix that the names begin with.
        sr: The enlarged film, shape (height, width), in [0, 1].
        maps: By name, such as `added` and `uncertainty`: shape (height, width), in units of [0, 1].
        bits: Bits of the film.
        said: What the files say of how they were made, in one line of ASCII.
        overwrite: Replace existing files.

    Returns:
        For each name the `numbers` of the map in grey levels of the film, its `files`, and how to
        read the 16-bit one: a grey level is (stored - `offset`) / `units_per_level`.

    Raises:
        UserError: if a file exists already; nothing is written then.
    """
    files = {name: map_files(stem, name) for name in maps}
    for paths in files.values():
        for path in paths:
            refuse_existing(path, overwrite)
    text = PngInfo()
    text.add_text("Description", said)
    found = {}
    for name, values in maps.items():
        pictures = to_16_bit(values), overlay(sr, values, bits)
        for path, picture in zip(files[name], pictures, strict=True):
            encoded = io.BytesIO()  # Pillow's own words for a full disk are "encoder error -2"
            Image.fromarray(picture).save(encoded, "PNG", pnginfo=text)
            with whole_file(path) as temporary:
                temporary.write_bytes(encoded.getbuffer())
        found[name] = {
            **numbers(values, bits),
            "offset": ZERO,
            "units_per_level": UNITS / ((1 << bits) - 1),
            "files": [path.name for path in files[name]],
        }
    return found


def map_files(stem: Path, name: str) -> tuple[Path, Path]:
    """Where the 16-bit picture and the overlay of the map `name` lie."""
    plain, coloured = (f"{stem.name}.{name}{end}.png" for end in ("", ".overlay"))
    return stem.with_name(plain), stem.with_name(coloured)


def _coloured(film: np.ndarray, values: np.ndarray) -> np.ndarray:
    strength = np.minimum(np.abs(values) / np.float32(STRONG), 1.0).astype(np.float32)
    out = np.empty((*film.shape, 3), np.uint8)
    opacity = OPACITY * strength
    grey = 255 * film * (1 - opacity)
    for channel, (weak, strong) in enumerate(zip(WEAK_COLOUR, STRONG_COLOUR, strict=True)):
        out[..., channel] = np.round(grey + opacity * (weak + (strong - weak) * strength))
    return out


def _legend(width: int, bits: int) -> np.ndarray:
    """A bar from no colour to the full, with grey levels at its ends; drawn large on large films.

    Pillow's own font serves, which needs no file.
    """
    enlarged = max(1, width // 512)
    drawn = -(-width // enlarged)
    canvas = Image.new("RGB", (drawn, LEGEND_HEIGHT))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    texts = "0", f"{STRONG * ((1 << bits) - 1):.0f}+ grey levels"
    left, right = (int(pen.textlength(text, font)) + 2 * LEGEND_MARGIN for text in texts)
    pen.text((LEGEND_MARGIN, LEGEND_MARGIN), texts[0], "white", font)
    pen.text((drawn - right + LEGEND_MARGIN, LEGEND_MARGIN), texts[1], "white", font)
    legend = np.array(canvas)
    if (length := drawn - left - right) > 0:
        ramp = np.linspace(0, STRONG, length, dtype=np.float32)
        bar = np.tile(ramp, (LEGEND_HEIGHT - 2 * LEGEND_MARGIN, 1))
        legend[LEGEND_MARGIN:-LEGEND_MARGIN, left : left + length] = _coloured(0.5 + 0 * bar, bar)
    return legend.repeat(enlarged, 0).repeat(enlarged, 1)[:, :width]
