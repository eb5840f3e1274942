"""Films on object storage: `gs://` and whatever else `tf.io.gfile` reads, brought to local disk."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import tensorflow as tf

from xraysr.errors import BadImageError, UserError
from xraysr.files import make_folder, whole_file
from xraysr.films.manifest import JOURNAL, MANIFEST
from xraysr.films.walk import Skipped, no_film_by_kind, no_film_by_name
from xraysr.io import kind_of

PREPARED = (MANIFEST, JOURNAL)
THREADS = 16
START = 512  # bytes that tell what a file is
UNFINISHED = 86400.0  # seconds for which a temporary file may belong to a process that runs


class RemoteFile(NamedTuple):
    """A file to copy: its address, and where below the mirror it goes."""

    address: str
    path: Path


def is_remote(data: str | Path) -> bool:
    """Whether `data` is an address with a scheme, such as gs://bucket/films."""
    return "://" in str(data)


def local_copy(
    data: str | Path,
    folder: Path,
    skipped: list[Skipped],
    track: Callable[[Iterable[RemoteFile], int], Iterable[RemoteFile]] = lambda files, total: files,
) -> Path:
    """Mirrors the films at the address `data` below `folder`; a local path is returned as it is.

    Files are copied whole, several at a time. Those that are there already, with the size and
    the date of the source, are not copied again, so a stopped copy goes on; those that the source
    no longer has are deleted from the mirror. Dates are kept: two machines with a copy each find
    the same disk cache.

    Args:
        data: Folder of films: a local path, or an address that `tf.io.gfile` reads.
        folder: Where mirrors lie; each address has a folder of its own in it.
        skipped: What could not be copied, or is not a film, is appended with the reason.
        track: Wraps the iteration over the files, given their number, for a progress bar.

    Returns:
        The folder to read films from.

    Raises:
        UserError: if the address cannot be read, holds no films, or none can be copied.
    """
    if not is_remote(data):
        return Path(data)
    address = str(data).rstrip("/")
    mirror = Path(folder) / hashlib.sha256(address.encode()).hexdigest()[:16]
    root = make_folder(mirror / posixpath.basename(address))
    files = _listed(address, mirror, skipped)
    failed: list[Skipped] = []
    others: list[Skipped] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for file, result in zip(track(files, len(files)), pool.map(_copy, files), strict=True):
            if isinstance(result, Skipped):
                others.append(result)
            elif result:
                failed.append(Skipped(file.path, f"cannot be copied from {file.address}: {result}"))
    films = [file for file in files if file.path.name not in PREPARED]
    if failed and len(failed) + len(others) >= len(films):
        raise UserError(f"None of {len(failed)} films under {data} can be copied: {failed[0]}")
    if len(others) >= len(films):
        reasons = Counter(each.reason for each in others)
        seen = "; ".join(f"{n} files, {why}" for why, n in reasons.items()) or "it is empty"
        raise UserError(f"No films under {data}: {seen}.")
    skipped += failed + others
    _remove_others(mirror, {file.path for file in files})
    return root


def _remove_others(mirror: Path, wanted: set[Path]) -> None:
    """Deletes what the source no longer has, and temporary files that nobody writes any more."""
    for path in mirror.rglob("*"):
        with suppress(FileNotFoundError):  # another process that copies was first
            status = path.lstat()
            unfinished = path.name.startswith(".") and time.time() - status.st_ctime < UNFINISHED
            if stat.S_ISREG(status.st_mode) and path not in wanted and not unfinished:
                path.unlink()


def _listed(address: str, mirror: Path, skipped: list[Skipped]) -> list[RemoteFile]:
    """The files below `address`, and the manifest of a prepared folder, which lies beside it."""
    scheme = address.split("://")[0]
    known = [name for name in tf.io.gfile.get_registered_schemes() if name]
    if scheme not in known:
        raise UserError(
            f"This TensorFlow reads no {scheme}:// addresses, only those of {', '.join(known)}. "
            f"Mount the storage as a folder, or copy the films. Received: {address}"
        )
    top, name = posixpath.split(address)
    try:
        if not tf.io.gfile.isdir(address):
            raise UserError(f"The data folder must exist and be readable. Received: {address}")
        files = []
        for path in _walk(address):
            if reason := no_film_by_name(PurePosixPath(path).parts):
                skipped.append(Skipped(mirror / name / path, reason))
            else:
                files.append(RemoteFile(f"{address}/{path}", mirror / name / path))
        if not top.endswith(":"):  # else it is a whole bucket, with nothing beside it
            beside = [RemoteFile(f"{top}/{each}", mirror / each) for each in PREPARED]
            files += [file for file in beside if tf.io.gfile.exists(file.address)]
    except tf.errors.OpError as error:
        raise UserError(f"Cannot list {address}: {error.message}") from error
    return sorted(files)


def _walk(address: str) -> Iterator[str]:
    """Paths of the files below `address`, relative to it."""
    for parent, _, names in tf.io.gfile.walk(address):
        below = parent.removeprefix(address).strip("/")
        yield from (posixpath.join(below, name) for name in names)


def _copy(file: RemoteFile) -> Skipped | str | None:
    """Copies one file unless it is there, or is not a film; says why it could not or did not.

    In either case no old copy stays.
    """
    if ".." in PurePosixPath(file.address).parts:
        return "its path leaves the folder"
    try:
        remote = tf.io.gfile.stat(file.address)
        if file.path.is_file():
            local = file.path.stat()
            if (local.st_size, local.st_mtime_ns) == (remote.length, remote.mtime_nsec):
                return None
        with tf.io.gfile.GFile(file.address, "rb") as source:
            start = source.read(START)
            reason = None if file.path.name in PREPARED else _no_film(start)
            content = start if reason else start + source.read()
    except tf.errors.OpError as error:
        file.path.unlink(missing_ok=True)
        return error.message
    if reason:
        file.path.unlink(missing_ok=True)
        return Skipped(file.path, reason)
    try:
        with whole_file(file.path) as temporary:
            temporary.write_bytes(content)
            os.utime(temporary, ns=(remote.mtime_nsec, remote.mtime_nsec))
    except OSError as error:
        raise UserError(f"Cannot write {file.path}: {error.strerror or error}") from error
    return None


def _no_film(start: bytes) -> str | None:
    """Why a file that begins with `start` is not a film, as the finder says it of a local one."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(start)
        file.flush()
        try:
            return no_film_by_kind(kind_of(file.name))
        except BadImageError as error:  # it is empty
            return Skipped.because(Path(file.name), error).reason
