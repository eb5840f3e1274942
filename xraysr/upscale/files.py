"""`enlarge_file`: the one way from file to file, whoever calls it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xraysr.errors import BadImageError
from xraysr.files import refuse_existing, sha256_of, write_json
from xraysr.io import Notice, Radiograph, read_frames, strip_writer
from xraysr.io.strips import StripWriter
from xraysr.upscale.data_consistency import Consistency
from xraysr.upscale.maps import MAPS, added_detail, map_files, write_maps
from xraysr.upscale.notices import consistency_notice, levels_notice, noise_notice, unlike_training
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.upscaler import Upscaler

PIECE = 1 << 22  # pixels that are checked and written at once


@dataclass(frozen=True)
class Source:
    """A file of films that is open: its first film is read, the others when they are asked for.

    Args:
        path: The file.
        sha256: The hash of its content.
        first: Its first film.
        others: Those after it, of a multi-frame file.
    """

    path: Path
    sha256: str
    first: Radiograph
    others: Iterator[Radiograph]

    @classmethod
    def open(cls, path: Path, options: UpscaleOptions, sha256: str | None = None) -> Source:
        """Reads the first film of `path`, and its hash unless that is known.

        Raises:
            UserError: as `xraysr.read`.
        """
        films = read_frames(
            path, page=options.page, bits=options.bits, value_range=options.value_range
        )
        first = next(films)
        return cls(path, sha256 or sha256_of(path), first, films)


@dataclass(frozen=True)
class Enlarged:
    """What became of a file.

    Args:
        source: The file that was enlarged.
        target: The file that was written.
        files: All that was written: maps, the sidecar, and `target` last.
        lr_consistency: PSNR in dB between each film and its SR reduced again; maybe infinite.
        notices: What a reader should know; each once, though several frames have it.
        maps: For each film and map, its numbers and files; see `write_maps`.
        seconds: What it took.
        model: Name of the model that did it.
        why: Why it was chosen, in a few words, where `auto` chose it.
    """

    source: Path
    target: Path
    files: tuple[Path, ...]
    lr_consistency: tuple[float, ...]
    notices: tuple[Notice, ...]
    maps: tuple[dict[str, Any], ...]
    seconds: float
    model: str = ""
    why: str = ""


def enlarge_file(
    upscaler: Upscaler,
    source: str | Path | Source,
    target: str | Path,
    options: UpscaleOptions | None = None,
    *,
    overwrite: bool = False,
    sidecar: str | None = None,
) -> Enlarged:
    """Enlarges the films of a file, strip by strip, so that large ones need not fit in memory.

    All of a multi-frame file goes into one; with maps, each film is held whole. Files appear whole
    or not at all, `target` last of them, and all say what made them of which film.

    Args:
        upscaler: The model.
        source: A PNG, JPEG, TIFF or DICOM file, by name or opened.
        target: The file to write; its suffix says the format. DICOM made from DICOM keeps patient,
            study and bits.
        options: How it is enlarged.
        overwrite: Replace files that exist.
        sidecar: Also write TARGET.json, in which the film has this name. With maps it is
            written in any case.

    Raises:
        BadImageError: if the film cannot be used or, where the options are strict, has notices.
        UserError: if a file exists or cannot be written, or the model fails.

    Example:
        >>> done = enlarge_file(xraysr.load("base-x4"), "film.dcm", "sr.dcm")
        >>> done.lr_consistency, done.notices
        ((56.3,), ())
    """
    begun = time.monotonic()
    options, target = options or UpscaleOptions(), Path(target)
    film = source if isinstance(source, Source) else Source.open(Path(source), options)
    upscaler, why = upscaler.for_film(film.first.pixels)
    work = _Work(upscaler, film, target, options, overwrite)
    card = sidecar_of(target) if sidecar is not None or options.maps else None
    if card is not None:
        refuse_existing(card, overwrite)
    try:
        with strip_writer(
            target, work.size, work.like, frames=film.first.frame[1], overwrite=overwrite
        ) as writer:
            for each in chain((film.first,), film.others):
                work.enlarge(each, writer)
            if card is not None:
                work.written.append(card)
                write_json(card, work.card(sidecar or film.path.name))
    except BaseException:
        for path in work.written:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    return Enlarged(
        film.path,
        target,
        (*work.written, target),
        tuple(work.consistency),
        tuple(work.notices),
        tuple(work.maps),
        time.monotonic() - begun,
        upscaler.spec.name,
        why,
    )


def sidecar_of(target: Path) -> Path:
    """Where the JSON file beside an output lies."""
    return target.with_name(f"{target.name}.json")


def beside(target: Path, options: UpscaleOptions) -> tuple[Path, ...]:
    """What `options` write beside the output of a file that holds one film."""
    if not options.maps:
        return ()
    maps = (path for name in MAPS for path in map_files(target.with_suffix(""), name))
    return (*maps, sidecar_of(target))


class _Work:
    """A file in hand: what was found and written so far."""

    def __init__(
        self,
        upscaler: Upscaler,
        film: Source,
        target: Path,
        options: UpscaleOptions,
        overwrite: bool,
    ) -> None:
        self.model, self.applied = upscaler, options.applied(upscaler)
        self.film, self.target, self.options, self.overwrite = film, target, options, overwrite
        self.provenance = options.provenance(upscaler, film.sha256)
        self.size = self.applied.size(film.first.size)
        self.like = replace(film.first, provenance=self.provenance)
        self.consistency: list[float] = []
        self.notices: list[Notice] = []
        self.maps: list[dict[str, Any]] = []
        self.written: list[Path] = []

    def enlarge(self, film: Radiograph, writer: StripWriter) -> None:
        """Writes one film, and its maps."""
        self._notice(*film.notices, levels_notice(self.model, film))
        self._notice(noise_notice(self.applied, film))
        self._notice(*unlike_training(self.applied.spec, film.pixels))
        consistency = Consistency(film.pixels, self.applied.scale)
        mark = _Mark(f"SR x{self.applied.scale}", self.size, film) if self.options.mark else None
        kept, done = [], 0
        for strip in self.applied.strips(film.pixels):
            if self.options.maps:
                kept.append(strip.copy() if mark else strip)
            for rows in _pieces(strip):
                consistency.add(rows)
                if mark is not None:
                    mark.burn(rows, done)
                writer.write(rows)
                done += len(rows)
        self.consistency.append(consistency.decibels())
        self._notice(consistency_notice(self.applied.spec, film, self.consistency[-1]))
        if self.options.maps:
            self.maps.append(self._write_maps(film, np.concatenate(kept)))

    def _notice(self, *notices: Notice | None) -> None:
        found = [each for each in dict.fromkeys(notices) if each and each not in self.notices]
        if found and self.options.strict:
            raise BadImageError(f"{self.film.path}: notice {found[0]} (strict)")
        self.notices += found

    def _write_maps(self, film: Radiograph, sr: np.ndarray) -> dict[str, Any]:
        several = film.frame[1] > 1
        stem = self.target.with_suffix(f".{film.frame[0]}" if several else "")
        maps = {
            "added": added_detail(sr, self.applied.scale),
            "uncertainty": self.options.unsure(self.model)(film.pixels),
        }
        files = [path for name in maps for path in map_files(stem, name)]
        for path in files:
            refuse_existing(path, self.overwrite)
        self.written += files
        return write_maps(stem, sr, maps, film.bits, said=self.provenance.record, overwrite=True)

    def card(self, name: str) -> dict[str, Any]:
        """What stands in the sidecar."""
        said = asdict(self.provenance)
        return {
            "source": name,
            "source_sha256": said.pop("source_sha256"),
            **said,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "bits": self.film.first.bits,
            "lr_consistency_dB": [each if isfinite(each) else None for each in self.consistency],
            "notices": [asdict(each) for each in self.notices],
            "maps": self.maps,
            "note": self.provenance.record,
        }


class _Mark:
    """Small letters in a corner of a film, white on black, that no viewer can hide.

    They stand at the lower right, or in the next corner where the film has no padding.
    """

    def __init__(self, text: str, size: tuple[int, int], film: Radiograph) -> None:
        font = ImageFont.load_default()
        left, top, right, bottom = font.getbbox(text)
        canvas = Image.new("1", (int(right - left) + 4, int(bottom - top) + 4))
        ImageDraw.Draw(canvas).text((2 - left, 2 - top), text, 1, font)
        enlarged = max(1, min(size) // 384)
        letters = np.array(canvas, np.float32).repeat(enlarged, 0).repeat(enlarged, 1)
        self._letters = letters[: size[0], : size[1]]
        height, width = self._letters.shape
        below, beyond = size[0] - height, size[1] - width
        scale = size[0] // film.size[0]
        self._top, self._left = below, beyond
        for corner in ((below, beyond), (below, 0), (0, beyond), (0, 0)):
            self._top, self._left = corner
            rows = slice(self._top // scale, -(-(self._top + height) // scale))
            columns = slice(self._left // scale, -(-(self._left + width) // scale))
            if film.padding is None or not film.padding[rows, columns].any():
                break

    def burn(self, rows: np.ndarray, first: int) -> None:
        """Puts them into `rows` (n, width), of which the first is row `first` of the film."""
        height, width = self._letters.shape
        begin, end = max(first, self._top), min(first + len(rows), self._top + height)
        if begin < end:
            letters = self._letters[begin - self._top : end - self._top]
            rows[begin - first : end - first, self._left : self._left + width] = letters


def _pieces(strip: np.ndarray) -> Iterator[np.ndarray]:
    """A strip in pieces of at most `PIECE` pixels or a row."""
    step = max(1, PIECE // strip.shape[1])
    return (strip[top : top + step] for top in range(0, len(strip), step))
