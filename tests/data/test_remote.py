"""Films on object storage: mirrored whole, once, with what cannot be read left out by name."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tensorflow as tf

from xraysr.data import remote
from xraysr.data.pipeline import PairCache
from xraysr.data.prepare import prepare
from xraysr.data.remote import local_copy
from xraysr.errors import UserError
from xraysr.films.index import index_films
from xraysr.io import Radiograph, write
from xraysr.pair import Pair

FILM = b"\x89PNG\r\n\x1a\n and more"


@pytest.fixture
def films(tmp_path):
    """Six small films in classes, on local disk."""
    random = np.random.default_rng(0)
    for number in range(6):
        split, label = ("train", "test")[number % 2], ("A", "B")[number % 3 % 2]
        path = tmp_path / "films" / split / label / f"person{number}_virus_1.png"
        write(path, Radiograph(random.random((64, 64), dtype=np.float32)))
    return tmp_path / "films"


@pytest.fixture
def bucket(films, request):
    """The films copied to an address of TensorFlow's file system in memory."""
    address = f"ram://{request.node.name}/films"
    for path in [*films.rglob("*.png"), films / "notes.txt"]:
        if path.name == "notes.txt":
            path.write_text("not a film")
        put(f"{address}/{path.relative_to(films)}", path.read_bytes())
    return address


def put(address: str, content: bytes) -> None:
    tf.io.gfile.makedirs(os.path.dirname(address))
    with tf.io.gfile.GFile(address, "wb") as file:
        file.write(content)


def names(root) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def copied(monkeypatch) -> list[str]:
    """Addresses of films that were read since the test began."""
    opened: list[str] = []
    gfile = tf.io.gfile.GFile

    def opening(name, mode):
        if mode == "rb" and name.endswith(".png"):
            opened.append(name)
        return gfile(name, mode)

    monkeypatch.setattr(remote.tf.io.gfile, "GFile", opening)
    return opened


def test_films_are_told_by_content(films, tmp_path):
    film = next(films.rglob("*.png")).read_bytes()
    for name, content in {
        "IM000001": film, "DX.1.2.3": film, ".hidden.png": film, "a.png": b"text", "b.png": b"",
        "c.png": b"BM" + bytes(60),
    }.items():  # fmt: skip
        put(f"ram://content/films/{name}", content)
    skipped = []
    root = local_copy("ram://content/films", tmp_path / "mirror", skipped)
    assert names(root) == ["DX.1.2.3", "IM000001"]
    assert {each.path.name: each.reason for each in skipped} == {
        ".hidden.png": "a hidden or system file",
        "a.png": "text, which is not read",
        "b.png": "is empty (0 bytes)",
        "c.png": "BMP, which is not read",
    }


def test_what_another_process_is_writing_is_left_alone(bucket, tmp_path, monkeypatch):
    root = local_copy(bucket, tmp_path, [])
    other = root / ".person9-1234.png"
    other.write_bytes(b"half")
    (root / "gone.png").write_bytes(b"not there any more")
    local_copy(bucket, tmp_path, [])
    assert other.is_file() and not (root / "gone.png").exists()
    monkeypatch.setattr(remote, "UNFINISHED", 0.0)
    local_copy(bucket, tmp_path, [])
    assert not other.exists()


def test_a_local_path_stays_as_it_is(tmp_path):
    assert local_copy(str(tmp_path), tmp_path / "mirror", []) == tmp_path
    assert not (tmp_path / "mirror").exists()


def test_films_arrive_bit_for_bit_and_give_the_same_index(films, bucket, tmp_path):
    seen, skipped = [], []

    def track(files, total):
        for file in files:
            seen.append((file.address, total))
            yield file

    root = local_copy(bucket, tmp_path / "mirror", skipped, track)
    assert names(root) == [name for name in names(films) if name.endswith(".png")]
    for name in names(root):
        assert (root / name).read_bytes() == (films / name).read_bytes()
    assert len(seen) == 7 and {total for _, total in seen} == {7}
    assert [(each.path.name, each.reason) for each in skipped] == [
        ("notes.txt", "text, which is not read")
    ]

    def content(index):
        return [(f.path.relative_to(index.root), f.patient, f.label, f.split) for f in index.films]

    assert content(index_films(root)) == content(index_films(films))


def test_only_what_is_new_or_changed_is_copied_again(bucket, tmp_path, copied):
    root = local_copy(bucket, tmp_path, [])
    assert len(copied) == 6
    assert local_copy(f"{bucket}/", tmp_path, []) == root
    assert len(copied) == 6
    first, second, gone = (f"{bucket}/{name}" for name in names(root)[:3])
    tf.io.gfile.remove(first)
    put(first, FILM)
    (root / names(root)[1]).write_bytes(b"half")  # as no copy of ours would leave it
    tf.io.gfile.remove(gone)
    local_copy(bucket, tmp_path, [])
    assert sorted(copied[6:]) == [first, second]
    assert len(names(root)) == 5
    assert (root / names(root)[0]).read_bytes() == FILM


def test_a_copy_that_died_in_the_middle_goes_on(bucket, tmp_path, copied, monkeypatch):
    class Killed(BaseException):
        pass

    def die(path, content):
        if len(copied) > 3:
            write_bytes(path, content[:10])
            raise Killed
        write_bytes(path, content)

    write_bytes = type(tmp_path).write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(remote, "THREADS", 1)
        patch.setattr(type(tmp_path), "write_bytes", die)
        with pytest.raises(Killed):
            local_copy(bucket, tmp_path / "mirror", [])
    whole = {os.path.basename(name) for name in names(tmp_path / "mirror")}
    assert len(whole) == 3
    copied.clear()
    root = local_copy(bucket, tmp_path / "mirror", [])
    assert len(names(root)) == 6
    assert len(copied) == 3 and not {os.path.basename(name) for name in copied} & whole


def test_a_full_local_disk_stops_it(bucket, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(UserError, match="Cannot write .*No space left"):
        local_copy(bucket, tmp_path, [])


def test_what_cannot_be_read_is_skipped_by_name(bucket, tmp_path, monkeypatch):
    gfile, skipped = tf.io.gfile.GFile, []

    def refuse(name, mode):
        if "person3" in name:
            raise tf.errors.PermissionDeniedError(None, None, "no access")
        return gfile(name, mode)

    monkeypatch.setattr(remote.tf.io.gfile, "GFile", refuse)
    root = local_copy(bucket, tmp_path, skipped)
    assert len(names(root)) == 5
    (one,) = (each for each in skipped if each.path.suffix == ".png")
    assert one.path.name == "person3_virus_1.png"
    assert "no access" in one.reason and bucket in one.reason
    monkeypatch.setattr(remote.tf.io.gfile, "stat", lambda name: refuse("person3", "rb"))
    with pytest.raises(UserError, match="None of 7 films.*no access"):
        local_copy(bucket, tmp_path / "other", [])


def test_a_prepared_folder_brings_its_manifest_and_patients(films, tmp_path):
    prepare(films, tmp_path / "pairs", ["16:64"], workers=1, progress=False)
    for name in names(tmp_path / "pairs"):
        put(f"ram://prepared/{name}", (tmp_path / "pairs" / name).read_bytes())
    index = index_films(local_copy("ram://prepared/16x64", tmp_path / "mirror", []))
    original = index_films(tmp_path / "pairs" / "16x64")
    assert [(f.name, f.patient, f.label) for f in index.films] == [
        (f.name, f.patient, f.label) for f in original.films
    ]
    assert {film.label for film in index.films} == {"A", "B"}  # only the manifest knows them


def test_mirrors_on_two_machines_find_the_same_disk_cache(films, tmp_path, monkeypatch):
    caches = []
    for machine in ("one", "two"):
        root = local_copy(f"file://{films}", tmp_path / machine, [])
        found = index_films(root).films
        caches.append(PairCache.load(found, Pair.parse("16:64"), folder=tmp_path / "cache"))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    np.testing.assert_array_equal(caches[0].hr[2], caches[1].hr[2])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ram://nowhere/films", "must exist and be readable"),
        ("s3://bucket/films", "reads no s3:// addresses, only those of .*gs"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused(address, message, tmp_path):
    with pytest.raises(UserError, match=message):
        local_copy(address, tmp_path, [])


def test_an_address_without_films_is_refused(tmp_path):
    put("ram://empty/films/notes.txt", b"text")
    with pytest.raises(UserError, match="No films under ram://empty/films"):
        local_copy("ram://empty/films", tmp_path, [])
