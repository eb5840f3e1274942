"""Files are written whole, nothing is overwritten unasked, and a full disk is a sentence."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xraysr.errors import UserError

SHOWN = 32  # letters of a name in that of its temporary file, which must not grow too long
NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NO_DISK_WORDS = tuple(map(os.strerror, NO_DISK))


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises `UserError` when `path` exists and `overwrite` is false."""
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists. Pass overwrite=True to replace it, or name another.")


def make_folder(path: Path) -> Path:
    """Creates `path` with its parents, or raises `UserError` saying why it cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot create the folder {path}: {error.strerror}") from error
    return path


def is_disk_fault(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the disk is full or read-only.

    Libraries that have their own errors repeat the system's words.
    """
    while error is not None:
        if getattr(error, "errno", None) in NO_DISK:
            return True
        if any(words in str(error) for words in NO_DISK_WORDS):
            return True
        error = error.__cause__
    return False


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` when the block ends well.

    A block that raises, or a process that is killed, leaves what was at `path` before.

    Raises:
        UserError: if nothing can be written there, or the disk is full.
    """
    path = Path(path)
    make_folder(path.parent)
    if os.path.isdir(path):
        raise UserError(f"Cannot write {path}: it is a folder. Name a file.")
    temporary = path.with_name(f".{path.stem[:SHOWN]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        with suppress(FileNotFoundError):
            path.lstat()  # fails for a name that is too long itself
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}") from error
    try:
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if isinstance(error, UserError) or not is_disk_fault(error):
            raise
        words = getattr(error, "strerror", None) or error
        raise UserError(f"Cannot write {path}: {words}") from error
    finally:
        temporary.unlink(missing_ok=True)


def json_text(content: Any) -> str:
    """`content` as indented JSON, as all our files hold it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON, whole or not at all; names may be any bytes."""
    with whole_file(path) as temporary:
        temporary.write_text(json_text(content), "utf-8", errors="backslashreplace")


def sha256_of(path: Path) -> str:
    """The hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Holds the lock file `path` for the length of the block; yields whether it is held.

    The system lets go of it when a process ends, however that ends. The file goes with the lock.

    Args:
        path: The lock file; its folder is made.
        wait: Wait until another process that holds it lets go.

    Raises:
        UserError: if nothing can be locked there.
    """
    import fcntl

    make_folder(path.parent)
    held = False
    try:
        while not held:
            file = path.open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                # Another process may have removed the file that this one waited for.
                with suppress(FileNotFoundError):
                    held = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except BlockingIOError:
                break
            finally:
                if not held:
                    file.close()
    except OSError as error:
        raise UserError(f"Cannot write a lock file to {path.parent}: {error.strerror}") from error
    try:
        yield held
    finally:
        if held:
            with suppress(OSError):
                path.unlink()
            file.close()
