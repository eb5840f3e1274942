"""Errors that begin with the file's name, and warnings that stay silent in every thread."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import pytest

from xraysr.errors import BadImageError, UserError
from xraysr.io.safe_decoding import check_size, content, decoding, quiet


def test_content_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        content(tmp_path / "gone.png")
    with pytest.raises(UserError, match="is a folder"):
        content(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadImageError, match=r"empty\.png is empty \(0 bytes\)"):
        content(tmp_path / "empty.png")


def test_content_of_a_locked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked.png").write_bytes(b"x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadImageError, match=r"locked\.png cannot be read: Permission denied"):
        content(tmp_path / "locked.png")


@pytest.mark.parametrize("error", [KeyError("x"), ValueError(), MemoryError("much"), EOFError()])
def test_any_error_of_a_decoder_names_the_file(error: Exception) -> None:
    reason = r"^a\.png: truncated or damaged \(.+\)$"
    with pytest.raises(BadImageError, match=reason), decoding(Path("a.png")):
        raise error


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), decoding(Path("a.png")):
        raise KeyboardInterrupt


def test_overlapping_threads_restore_the_filters() -> None:
    inside, leave = threading.Event(), threading.Event()

    def decode() -> None:
        with quiet:
            inside.set()
            leave.wait(5)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=decode)
        with quiet:
            thread.start()
            inside.wait(5)
        warnings.warn("still decoding elsewhere", stacklevel=1)
        leave.set()
        thread.join()
        warnings.warn("heard", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["heard"]


def test_large_images_pass_when_their_files_are_large_too() -> None:
    side = 1 << 14
    check_size(side, side, 2, 2 * side * side // 100)  # as a PNG of ours has them
    check_size(8000, 8000, 1, 100)  # no more memory than any film may take
    for width, height, file in ((side, side, 1000), (side + 1, side, 1 << 30)):
        with pytest.raises(BadImageError, match="too large to open safely"):
            check_size(width, height, 2, file)
