"""Films on object storage: `gs://` and whatever else `tf.io.gfile` reads, brought to local disk."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import tensorflow as tf

from xraysr.errors import UserError
from xraysr.files import make_folder, whole_file
from xraysr.films.finder import Skipped
from xraysr.films.manifest import JOURNAL, MANIFEST
from xraysr.io import IMAGE_SUFFIXES

PREPARED = (MANIFEST, JOURNAL)
THREADS = 16


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
        skipped: Films that could not be copied are appended, with the reason.
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
    files = _listed(address, mirror)
    films = [file for file in files if file.path.name not in PREPARED]
    if not films:
        raise UserError(f"No films under {data}: no file there has the suffix of an image.")
    failed: list[Skipped] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for file, reason in zip(track(files, len(files)), pool.map(_copy, files), strict=True):
            if reason:
                failed.append(Skipped(file.path, f"cannot be copied from {file.address}: {reason}"))
    if len(failed) >= len(films):
        raise UserError(f"None of {len(films)} films under {data} can be copied: {failed[0]}")
    skipped.extend(failed)
    wanted = {file.path for file in files}
    for path in [path for path in mirror.rglob("*") if path.is_file()]:
        if path not in wanted:
            path.unlink()
    return root


def _listed(address: str, mirror: Path) -> list[RemoteFile]:
    """The films below `address`, and the manifest of a prepared folder, which lies beside it."""
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
        files = [RemoteFile(f"{address}/{path}", mirror / name / path) for path in _walk(address)]
        if not top.endswith(":"):  # else it is a whole bucket, with nothing beside it
            beside = [RemoteFile(f"{top}/{each}", mirror / each) for each in PREPARED]
            files += [file for file in beside if tf.io.gfile.exists(file.address)]
    except tf.errors.OpError as error:
        raise UserError(f"Cannot list {address}: {error.message}") from error
    return sorted(files)


def _walk(address: str) -> Iterator[str]:
    """Paths of the films below `address`, relative to it."""
    for parent, _, names in tf.io.gfile.walk(address):
        below = parent.removeprefix(address).strip("/")
        for name in names:
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                yield posixpath.join(below, name)


def _copy(file: RemoteFile) -> str | None:
    """Copies one file unless it is there; why it could not, in which case no old copy stays."""
    if ".." in PurePosixPath(file.address).parts:
        return "its path leaves the folder"
    try:
        remote = tf.io.gfile.stat(file.address)
        if file.path.is_file():
            local = file.path.stat()
            if (local.st_size, local.st_mtime_ns) == (remote.length, remote.mtime_nsec):
                return None
        with tf.io.gfile.GFile(file.address, "rb") as source:
            content = source.read()
    except tf.errors.OpError as error:
        file.path.unlink(missing_ok=True)
        return error.message
    try:
        with whole_file(file.path) as temporary:
            temporary.write_bytes(content)
            os.utime(temporary, ns=(remote.mtime_nsec, remote.mtime_nsec))
    except OSError as error:
        raise UserError(f"Cannot write {file.path}: {error.strerror or error}") from error
    return None
