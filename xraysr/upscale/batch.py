"""Files in, files out: many films through one `Upscaler`, and no bad one stops the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from math import isfinite
from pathlib import Path
from statistics import mean

import numpy as np

from xraysr.errors import BadImageError, UserError
from xraysr.files import refuse_existing, write_json
from xraysr.io import Provenance, Radiograph, read_frames, strip_writer
from xraysr.progress import track
from xraysr.upscale.data_consistency import Consistency
from xraysr.upscale.options import UpscaleOptions
from xraysr.upscale.plan import Job, plan
from xraysr.upscale.upscaler import Upscaler

PIECE = 1 << 22  # pixels that are checked and written at once
READERS = 2  # films read ahead while one is enlarged
SHOWN = 10  # films that are listed one by one

Read = tuple[Radiograph, Iterator[Radiograph]]


@dataclass
class Summary:
    """What became of the films.

    Args:
        consistency: LR-consistency in dB of what was written, by target.
        skipped: The reason for each film that was skipped.
        kept: Outputs that were there before.
    """

    consistency: dict[Path, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary for people: LR-consistency film by film where there are few."""
        each = [f"{path}: LR-consistency {dB:.1f} dB" for path, dB in self.consistency.items()]
        if len(each) > SHOWN:
            worst = min(self.consistency, key=lambda path: self.consistency[path])
            each = [
                f"{len(each)} films, LR-consistency {mean(self.consistency.values()):.1f} dB in "
                f"the mean, {self.consistency[worst]:.1f} dB at worst ({worst})"
            ]
        if self.kept:
            films = "film was" if len(self.kept) == 1 else "films were"
            each.append(f"{len(self.kept)} {films} there before")
        return each


def upscale_files(
    upscaler: Upscaler | UpscaleOptions,
    sources: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Summary:
    """Enlarges films on disk, strip by strip, so that large ones need not fit in memory.

    With maps, a film is held whole, and TARGET.json beside it holds their numbers.

    Args:
        upscaler: The model, or a model with options.
        sources: Files, or folders whose films are taken at any depth.
        out: For one film, the file to write (its suffix says the format) or a folder; otherwise
            a folder, where each film goes under the path it had: DICOM as NAME.dcm, others as
            NAME.png.
        overwrite: Replace existing outputs, but never a source.
        resume: Keep existing outputs, which were written whole, and go on with the others.

    Raises:
        UserError: if nothing can be enlarged at all, or an output exists or is a source.
    """
    treatment = upscaler if isinstance(upscaler, UpscaleOptions) else UpscaleOptions(upscaler)
    jobs = plan([Path(source) for source in sources], Path(out))
    originals = {job.source.resolve() for job in jobs}
    summary = Summary()
    for job in jobs:
        if job.target.resolve() in originals:
            raise UserError(f"{job.target} would replace an original film. Name another output.")
        if resume and job.target.exists():
            summary.kept.append(job.target)
        else:
            refuse_existing(job.target, overwrite)
    kept = set(summary.kept)
    left = [job for job in jobs if job.target not in kept]
    for job, films in track(_read_ahead(left), "Upscaling", len(left)):
        try:
            found = _enlarge(treatment, films.result(), job, overwrite)
        except BadImageError as error:
            summary.skipped.append(str(error))
        else:
            summary.consistency[job.target] = found
    if len(summary.skipped) == len(jobs):
        raise UserError("Nothing was enlarged: " + "; ".join(summary.skipped))
    return summary


def _read_ahead(jobs: Sequence[Job]) -> Iterator[tuple[Job, Future[Read]]]:
    """Each job with its film, which other threads read meanwhile."""
    with ThreadPoolExecutor(READERS) as pool:
        waiting: deque[tuple[Job, Future[Read]]] = deque()
        for job in jobs:
            waiting.append((job, pool.submit(_open, job.source)))
            if len(waiting) > READERS:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _open(source: Path) -> Read:
    """The first film of a file, and the others, which are read when they are asked for."""
    films = read_frames(source)
    return next(films), films


def _enlarge(treatment: UpscaleOptions, films: Read, job: Job, overwrite: bool) -> float:
    """Writes what a file's films become; returns the LR-consistency in dB, of the worst frame."""
    first, others = films
    upscaler, spec = treatment.upscaler, treatment.upscaler.spec
    size, frames = upscaler.size(first.size), first.frame[1]
    provenance = Provenance(spec.name, spec.weights_sha256, spec.scale, options=treatment.names)
    found, maps = [], []
    like = replace(first, provenance=provenance)
    with strip_writer(job.target, size, like, frames=frames, overwrite=overwrite) as writer:
        for film in chain((first,), others):
            consistency = Consistency(film.pixels, upscaler.scale)
            whole = []
            for strip in upscaler.strips(film.pixels):
                for rows in _pieces(strip):
                    consistency.add(rows)
                    writer.write(rows)
                if treatment.maps:
                    whole.append(strip)
            found.append(consistency.decibels())
            if treatment.maps:
                stem = job.target.with_suffix(f".{film.frame[0]}" if frames > 1 else "")
                maps.append(treatment.write_maps(stem, film, np.concatenate(whole)))
        if treatment.maps:
            write_json(
                job.target.with_name(f"{job.target.name}.json"),
                {
                    "source": job.source.name,
                    **asdict(provenance),
                    "lr_consistency_dB": [each if isfinite(each) else None for each in found],
                    "bits": first.bits,
                    "maps": maps,
                    "note": provenance.text,
                },
            )
    return min(found)


def _pieces(strip: np.ndarray) -> Iterator[np.ndarray]:
    """A strip in pieces of at most `PIECE` pixels or a row."""
    step = max(1, PIECE // strip.shape[1])
    return (strip[top : top + step] for top in range(0, len(strip), step))
