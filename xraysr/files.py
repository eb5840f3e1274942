"""Files are written whole, and nothing is overwritten unasked."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xraysr.errors import UserError

SHOWN = 32  # letters of a name in that of its temporary file, which must not grow too long


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises `UserError` when `path` exists and `overwrite` is false."""
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists. Pass --overwrite to replace it, or name another output.")


def make_folder(path: Path) -> Path:
    """Creates `path` with its parents, or raises `UserError` saying why it cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot create the folder {path}: {error.strerror}") from error
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` when the block ends well.

    A block that raises, or a process that is killed, leaves what was at `path` before.
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
    finally:
        temporary.unlink(missing_ok=True)


def json_text(content: Any) -> str:
    """`content` as indented JSON, as all our files hold it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json_text(content), "utf-8")
