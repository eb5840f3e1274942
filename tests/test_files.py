"""Files are whole or as they were, whatever stops the writing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from xraysr.errors import UserError
from xraysr.files import make_folder, refuse_existing, whole_file, write_json

HALF_WRITER = """
import sys, time
from pathlib import Path
from xraysr.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def umask():
    """Sets the process's umask to 027 for one test."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_content_replaces_old(tmp_path):
    path = tmp_path / "a" / "b" / "report.txt"
    for content in ("old", "new"):
        with whole_file(path) as temporary:
            assert temporary.parent == path.parent, "a rename must not cross file systems"
            assert temporary.suffix == ".txt", "writers choose the format by it"
            temporary.write_text(content)
    assert path.read_text() == "new"
    assert names(path.parent) == ["report.txt"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("old content")
    with path.open() as reader:
        with whole_file(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old content"
        assert reader.read() == "old content"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_raises_changes_nothing(tmp_path, error):
    path = tmp_path / "report.txt"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.txt"]


def test_a_killed_process_changes_nothing(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("old")
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF_WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    writer.send_signal(signal.SIGKILL)
    assert writer.wait(20) == -signal.SIGKILL
    assert path.read_text() == "old"
    left = [name for name in names(tmp_path) if name != "report.txt"]
    assert all(name.startswith(".") for name in left), "leftovers must be hidden from the index"
    with whole_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_permissions_follow_the_umask(tmp_path, umask):
    with whole_file(tmp_path / "report.txt") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "report.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_threads_write_side_by_side_and_leave_the_umask_alone(tmp_path, umask):
    def write(number: int) -> None:
        write_json(tmp_path / f"{number % 20}.json", {"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(400)))
    assert len(names(tmp_path)) == 20
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    current = os.umask(umask)
    assert current == umask


def test_a_parent_that_is_a_file_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "report.txt"
    with pytest.raises(UserError, match=r"Cannot create the folder .*file"), whole_file(path):
        pytest.fail("the block must not run")
    with pytest.raises(UserError, match=r"file/deeper: Not a directory"):
        make_folder(tmp_path / "file" / "deeper")


def test_a_folder_in_the_place_of_the_file_is_a_users_mistake(tmp_path):
    (tmp_path / "out.json").mkdir()
    with pytest.raises(UserError, match=r"out\.json: it is a folder"):
        write_json(tmp_path / "out.json", {})
    assert names(tmp_path) == ["out.json"]


def test_a_name_too_long_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="name too long"), whole_file(tmp_path / ("x" * 300)):
        pytest.fail("the block must not run")


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_refuse_existing(tmp_path):
    path = tmp_path / "report.txt"
    refuse_existing(path, overwrite=False)
    path.write_text("old")
    refuse_existing(path, overwrite=True)
    with pytest.raises(UserError, match=r"report\.txt exists.*overwrite=True"):
        refuse_existing(path, overwrite=False)


def test_make_folder_twice(tmp_path):
    assert make_folder(make_folder(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


def test_write_json_is_readable_and_whole(tmp_path):
    path = tmp_path / "card.json"
    content = {"name": "Müller 病院", "values": [1, 2.5, None]}
    write_json(path, content)
    assert json.loads(path.read_text("utf-8")) == content
    assert "Müller 病院" in path.read_text("utf-8")
    with pytest.raises(TypeError):
        write_json(path, {"value": object()})
    assert json.loads(path.read_text("utf-8")) == content
    assert names(tmp_path) == ["card.json"]
