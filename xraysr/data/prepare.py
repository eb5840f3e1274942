"""`prepare`: writes the LR and HR folders of one or more pairs from a folder of films.

Layout: `DST/64x256/{train,val,test}/{lr,hr}/NAME.png` and `DST/manifest.json`. Films that the
index draws from train for validation are written to train, from where a reader draws the same
ones again; val holds those of a val folder, or of a split made anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np

from xraysr.data.fit import FITS, file_bits, fit_to, to_stored
from xraysr.degradation import LANCZOS, Degradation, Mixture, degradation_name, degrade_with
from xraysr.errors import BadImageError, UserError
from xraysr.files import make_folder, refuse_existing, sha256_of
from xraysr.films.index import FilmIndex, index_films
from xraysr.films.manifest import (
    JOURNAL,
    Manifest,
    PreparedFilm,
    load_manifest,
    pixels_crc32,
    start_journal,
    write_manifest,
)
from xraysr.films.walk import Skipped, path_text
from xraysr.io import Radiograph, read, write
from xraysr.lanczos import degrade
from xraysr.pair import Pair
from xraysr.pool import run_all
from xraysr.progress import track

FILMS_PER_WORKER = 16


@dataclass(frozen=True)
class _Job:
    """One film to prepare; `film.pairs` is empty, `previous` is what an earlier run wrote."""

    path: Path
    dst: Path
    pairs: tuple[Pair, ...]
    fit: str
    film: PreparedFilm
    degradation: Degradation | Mixture | None
    previous: PreparedFilm | None = None


def prepare(
    src: Path,
    dst: Path,
    pairs: Sequence[Pair | str],
    *,
    fit: str = "crop",
    degradation: Degradation | Mixture | None = None,
    resplit: bool = False,
    allow_shared_patients: bool = False,
    patients: str | Path | None = None,
    patient_column: str | None = None,
    path_column: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Manifest:
    """Writes LR and HR films of `pairs` from the films under `src`, in parallel.

    The same command again goes on where an earlier run stopped, and changes nothing once all is
    done. Scripts that call it must do so under `if __name__ == "__main__":`, as the workers are
    new Python processes.

    Args:
        src: A folder of films, as `index_films` reads it.
        dst: Folder to write to.
        pairs: What to make of every film large enough for it.
        fit: How films become HR size: "crop", "pad" or "stretch".
        degradation: How LR is made of HR; by default antialiased Lanczos. What it draws follows
            from the pixels of each film.
        resplit: Whether to merge split folders and split anew by patient.
        allow_shared_patients: Whether to accept a patient in two split folders; readers of `dst`
            then accept it too.
        patients: CSV file that says whose each film is.
        patient_column: Its column of patients; by default found by its name.
        path_column: Its column of paths or names of films; likewise.
        workers: Processes; by default one per core, fewer for few films.
        overwrite: Whether to replace what was prepared in `dst` with other settings or films.
        progress: Whether to report progress on standard error.

    Raises:
        UserError: if an argument, `src` or `dst` cannot be used, or no film is usable.
    """
    src, dst = Path(src), Path(dst)
    wanted = tuple(sorted(set(map(Pair.parse, pairs)), key=lambda pair: (pair.hr, pair.lr)))
    _check(src, dst, wanted, fit, workers)
    degradation = None if degradation == LANCZOS else degradation
    index = index_films(
        src,
        resplit=resplit,
        allow_shared_patients=allow_shared_patients,
        patients=patients,
        patient_column=patient_column,
        path_column=path_column,
    )
    if any(film.lr_path for film in index.films):
        raise UserError(f"{src} is a prepared pair folder. Name the folder of the original films.")
    settings: dict[str, Any] = {
        "pairs": [pair.folder for pair in wanted],
        "fit": fit,
        "resplit": resplit,
        "degradation": degradation_name(degradation),
    }
    settings |= {"allow_shared_patients": True} if allow_shared_patients else {}
    settings |= {"patients": Path(patients).name} if patients else {}
    earlier = load_manifest(dst)
    jobs = _jobs(index, dst, wanted, fit, degradation, earlier)
    try:
        jobs = _start(dst, settings, jobs, earlier, overwrite)
        films = _run(dst, jobs, workers, progress)
        return _finish(index, dst, settings, films)
    except OSError as error:
        raise UserError(f"Cannot write to {dst}: {error.strerror or error}") from error
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process ended before its film was done: out of memory, or prepare was "
            'called outside of `if __name__ == "__main__":`. Try workers=1.'
        ) from error


def _check(src: Path, dst: Path, pairs: tuple[Pair, ...], fit: str, workers: int | None) -> None:
    if not pairs:
        raise UserError('pairs must name at least one pair, such as "64:256". Received: none')
    if fit not in FITS:
        raise UserError(f"fit must be one of {', '.join(FITS)}. Received: {fit!r}")
    if workers is not None and workers < 1:
        raise UserError(f"workers must be 1 or more. Received: {workers}")
    if dst.resolve().is_relative_to(src.resolve()):
        raise UserError(
            f"The output folder must not lie in the data folder, where it would be read as data. "
            f"Received: {dst} in {src}"
        )


def _jobs(
    index: FilmIndex,
    dst: Path,
    pairs: tuple[Pair, ...],
    fit: str,
    degradation: Degradation | Mixture | None,
    earlier: Manifest | None,
) -> list[_Job]:
    """A job for each film; one that was written before keeps the name it has there."""
    jobs = []
    names = {film.source: film.name for film in earlier.films} if earlier else {}
    for film in index.films:
        source = film.path.relative_to(index.root).as_posix()
        split = "train" if film.split == "val" and index.val_drawn else film.split
        name = names.get(source, film.name)
        record = PreparedFilm(source, "", name, film.patient, film.label, split, 0, (), {})
        jobs.append(_Job(film.path, dst, pairs, fit, record, degradation))
    return jobs


def _outputs(dst: Path, pair: str, film: PreparedFilm) -> tuple[Path, Path]:
    folder = dst / pair / film.split
    return folder / "lr" / f"{film.name}.png", folder / "hr" / f"{film.name}.png"


def _start(
    dst: Path,
    settings: dict[str, Any],
    jobs: list[_Job],
    earlier: Manifest | None,
    overwrite: bool,
) -> list[_Job]:
    """Makes `dst` ready, and tells each job what an earlier run did for its film."""
    make_folder(dst)
    if earlier is None:
        for pair in settings["pairs"]:
            refuse_existing(dst / pair, overwrite)
    elif not overwrite:
        _refuse_other(dst, earlier, settings, jobs)
    _remove_stale(dst, earlier.films if earlier else (), jobs)
    sources = {job.film.source for job in jobs}
    kept = earlier.films if earlier and not overwrite else ()
    done = {film.source: film for film in kept if film.source in sources}
    start_journal(dst, settings, done.values())
    return [replace(job, previous=done.get(job.film.source)) for job in jobs]


def _refuse_other(dst: Path, earlier: Manifest, settings: dict[str, Any], jobs: list[_Job]) -> None:
    sources = {job.film.source for job in jobs}
    before = earlier.settings
    changes = [
        f"{key} was {before.get(key)}, now {settings.get(key)}"
        for key in dict.fromkeys([*settings, *before])
        if before.get(key) != settings.get(key)
    ]
    if lost := [f.source for f in earlier.films if f.pairs and f.source not in sources]:
        changes.append(f"{len(lost)} of its films are not in the source, such as {lost[0]}")
    if changes:
        raise UserError(
            f"{dst} was prepared differently: {'; '.join(changes)}. Name another folder, or pass "
            "overwrite=True to replace what it holds."
        )


def _remove_stale(dst: Path, done: Iterable[PreparedFilm], jobs: list[_Job]) -> None:
    """Removes outputs of an earlier run that this one does not make, and torn temporary files."""
    planned = {
        path for job in jobs for pair in job.pairs for path in _outputs(dst, pair.folder, job.film)
    }
    made = {path for film in done for pair in film.pairs for path in _outputs(dst, pair, film)}
    folders = {path.parent for path in made | planned}
    torn = {path for folder in folders for path in folder.glob(".*.png")}
    for path in (made - planned) | torn:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in made - planned}:
        for empty in (folder, folder.parent, folder.parent.parent):
            with suppress(OSError):
                empty.rmdir()


def _run(dst: Path, jobs: list[_Job], workers: int | None, progress: bool) -> list[PreparedFilm]:
    """Prepares every film, writing each into the journal as it is done; in the order of jobs."""
    workers = workers or min(os.cpu_count() or 1, -(-len(jobs) // FILMS_PER_WORKER))
    films: dict[str, PreparedFilm] = {}
    with (
        open(dst / JOURNAL, "a", encoding="utf-8") as journal,
        closing(run_all(prepare_film, jobs, workers)) as results,
    ):
        for film in track(results, "Preparing", len(jobs)) if progress else results:
            films[film.source] = film
            journal.write(dumps(asdict(film)) + "\n")
            journal.flush()
    return [films[job.film.source] for job in jobs]


def _finish(
    index: FilmIndex, dst: Path, settings: dict[str, Any], films: list[PreparedFilm]
) -> Manifest:
    skipped = [(path_text(s.path.relative_to(index.root)), s.reason) for s in index.skipped]
    unusable = [
        (film.source, "; ".join(dict.fromkeys(film.left_out.values())))
        for film in films
        if not film.pairs
    ]
    if len(unusable) == len(films):
        (dst / JOURNAL).unlink()
        shown = "; ".join(f"{path}: {reason}" for path, reason in unusable[:5])
        raise UserError(f"None of the {len(films)} films under {index.root} is usable: {shown}")
    used = tuple(film for film in films if film.pairs)
    manifest = Manifest(settings, used, tuple(sorted(skipped + unusable)))
    write_manifest(dst, manifest)
    (dst / JOURNAL).unlink()
    return manifest


def prepare_film(job: _Job) -> PreparedFilm:
    """Writes one film for every pair it is large enough for, unless an earlier run did."""
    try:
        sha256 = sha256_of(job.path)
    except OSError as error:
        return _left_out(job, "", f"cannot be read: {error.strerror}")
    if _is_done(job, sha256):
        assert job.previous is not None
        done = job.previous
        return replace(
            job.film,
            sha256=sha256,
            bits=done.bits,
            pairs=done.pairs,
            left_out=done.left_out,
            lr_crc32=done.lr_crc32,
        )
    try:
        film = read(job.path)
    except BadImageError as error:
        # The reason without the path, which differs from machine to machine.
        skipped = Skipped.because(job.path, error)
        return _left_out(job, "" if skipped.transient else sha256, skipped.reason)
    lr_crc32, left_out = {}, {}
    for pair in job.pairs:
        outputs = _outputs(job.dst, pair.folder, job.film)
        try:
            lr_crc32[pair.folder] = _write_pair(film, pair, job.fit, job.degradation, *outputs)
        except BadImageError as error:
            left_out[pair.folder] = str(error)
            for path in outputs:
                path.unlink(missing_ok=True)
    return replace(
        job.film,
        sha256=sha256,
        bits=film.bits,
        pairs=tuple(lr_crc32),
        left_out=left_out,
        lr_crc32=lr_crc32,
    )


def _left_out(job: _Job, sha256: str, reason: str) -> PreparedFilm:
    for pair in job.pairs:
        for path in _outputs(job.dst, pair.folder, job.film):
            path.unlink(missing_ok=True)
    return replace(job.film, sha256=sha256, left_out={pair.folder: reason for pair in job.pairs})


def _is_done(job: _Job, sha256: str) -> bool:
    done = job.previous
    if done is None or done.sha256 != sha256:
        return False
    if (done.name, done.split) != (job.film.name, job.film.split):
        return False
    return all(
        pair.folder in done.left_out
        or (
            pair.folder in done.lr_crc32
            and all(path.is_file() for path in _outputs(job.dst, pair.folder, job.film))
        )
        for pair in job.pairs
    )


def _write_pair(
    film: Radiograph,
    pair: Pair,
    fit: str,
    degradation: Degradation | Mixture | None,
    lr_path: Path,
    hr_path: Path,
) -> int:
    """Writes both; the CRC-32 of the LR image."""
    bits = file_bits(film.bits)
    stored = to_stored(fit_to(film.pixels, pair.hr, fit), bits)
    hr = (stored / np.float64((1 << bits) - 1)).astype(np.float32)
    if degradation is None:
        lr = degrade(hr, pair.lr, bits)
    else:
        lr = degrade_with(degradation, hr, pair.lr, bits)
    write(lr_path, Radiograph(lr.astype(np.float32), bits), overwrite=True)
    write(hr_path, Radiograph(hr, bits), overwrite=True)
    return pixels_crc32(to_stored(lr, bits))
