"""Pairs on disk: the same as in memory, made once, whole, by many, and never the wrong ones."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xraysr.data import cache as cache_module
from xraysr.data import pipeline
from xraysr.data.batches import training_batches, whole_films
from xraysr.data.cache import DiskCache, StoredPair
from xraysr.data.pipeline import PairCache
from xraysr.errors import BadImageError, UserError
from xraysr.films.finder import Film
from xraysr.io import Radiograph, write
from xraysr.pair import Pair

PAIR = Pair.parse("16:64")
ROOT = Path(cache_module.__file__).parents[2]


def film(path: Path) -> Film:
    return Film(path, path.stem, path.stem, None, "train")


@pytest.fixture
def films(tmp_path):
    """Seven noisy films; the one of 16 bit shares its shard with one of 8."""
    random = np.random.default_rng(0)
    for number in range(7):
        pixels = random.random((64, 70 + number), dtype=np.float32)
        write(tmp_path / "films" / f"p{number}.png", Radiograph(pixels, 16 if number == 3 else 8))
    return [film(path) for path in sorted((tmp_path / "films").iterdir())]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_FILMS", 2)
    monkeypatch.setattr(cache_module, "POLL", 0.02)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the films that were decoded since the test began."""
    names: list[str] = []
    load_hr = pipeline.load_hr
    monkeypatch.setattr(
        pipeline, "load_hr", lambda path, *rest: names.append(path.stem) or load_hr(path, *rest)
    )
    return names


def fake_pairs(films, skipped):
    """Pairs made of nothing but the film's number, without a file or TensorFlow."""
    for each in films:
        number = int(each.name[1:])
        lr, hr = (np.full((*size, 1), number, np.uint16) for size in (PAIR.lr, PAIR.hr))
        yield StoredPair(each, lr, hr, 8)


def assert_same(one: PairCache, other: PairCache) -> None:
    assert one.films == other.films
    assert one.hr.dtype == other.hr.dtype and one.lr.dtype == other.lr.dtype
    np.testing.assert_array_equal(one.bits, other.bits)
    for row in range(len(one)):
        np.testing.assert_array_equal(one.lr[row], other.lr[row])
        np.testing.assert_array_equal(one.hr[row], other.hr[row])


def test_what_is_on_disk_is_what_is_in_memory(films, tmp_path):
    memory, disk = PairCache.load(films, PAIR), PairCache.load(films, PAIR, folder=tmp_path / "c")
    assert_same(disk, memory)
    (folder,) = (tmp_path / "c").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        f"shard-0000{number}-of-00004" for number in range(4)
    ]
    assert np.load(folder / "shard-00000-of-00004" / "hr.npy").dtype == np.uint8


@pytest.mark.parametrize("crop", [6, None])
def test_batches_and_frames_are_bit_identical_to_those_from_memory(films, tmp_path, crop):
    caches = PairCache.load(films, PAIR), PairCache.load(films, PAIR, folder=tmp_path / "c")
    settings = {"batch": 6, "crop": crop, "flips": True, "seed": 3, "first_step": 2}
    batches = [training_batches([cache], **settings, replicas=2).take(9) for cache in caches]
    frames = [whole_films(cache, 3) for cache in caches]
    for pairs in (batches, frames):
        count = 0
        for one, other in zip(*pairs, strict=True):
            for left, right in zip(one, other, strict=True):
                assert left.shape == right.shape and left.dtype == right.dtype
                np.testing.assert_array_equal(left, right)
            count += 1
        assert count == (9 if pairs is batches else 3)


def test_the_same_films_are_never_decoded_twice(films, tmp_path, decoded):
    first = PairCache.load(films, PAIR, folder=tmp_path / "c")
    assert sorted(decoded) == [each.name for each in films]
    assert_same(PairCache.load(films, PAIR, folder=tmp_path / "c"), first)
    assert len(decoded) == 7
    moved = tmp_path / "elsewhere"
    films[0].path.parent.rename(moved)
    films = [replace(each, path=moved / each.path.name) for each in films]
    assert len(PairCache.load(films, PAIR, folder=tmp_path / "c")) == 7
    assert len(decoded) == 7


def changed_content(films):
    write(films[4].path, Radiograph(np.full((64, 64), 0.5, np.float32)), overwrite=True)
    return films, PAIR, "crop"


def changed_date(films):
    os.utime(films[4].path, ns=(1, 1))
    return films, PAIR, "crop"


CHANGES = {
    "content": changed_content,
    "date": changed_date,
    "one film less": lambda films: (films[:-1], PAIR, "crop"),
    "order": lambda films: (films[::-1], PAIR, "crop"),
    "pair": lambda films: (films, Pair.parse("32:64"), "crop"),
    "fit": lambda films: (films, PAIR, "stretch"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_films_or_settings_makes_a_cache_of_its_own(change, films, tmp_path, decoded):
    PairCache.load(films, PAIR, folder=tmp_path / "c")
    decoded.clear()
    films, pair, fit = CHANGES[change](films)
    disk = PairCache.load(films, pair, fit, folder=tmp_path / "c")
    assert sorted(decoded) == sorted(each.name for each in films)
    assert_same(disk, PairCache.load(films, pair, fit))
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_another_format_makes_a_cache_of_its_own(films, tmp_path, decoded, monkeypatch):
    PairCache.load(films, PAIR, folder=tmp_path / "c")
    monkeypatch.setattr(cache_module, "FORMAT", cache_module.FORMAT + 1)
    PairCache.load(films, PAIR, folder=tmp_path / "c")
    assert len(decoded) == 14


def test_an_lr_twin_counts_too(films, tmp_path):
    twin = tmp_path / "twin.png"
    write(twin, Radiograph(np.zeros((16, 16), np.float32)))
    some = [replace(films[0], lr_path=twin), films[1]]
    before = DiskCache(tmp_path, some, PAIR, "crop").folder
    write(twin, Radiograph(np.ones((16, 16), np.float32)), overwrite=True)
    assert DiskCache(tmp_path, some, PAIR, "crop").folder != before


KILL = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_cache import PAIR, fake_pairs, film
from xraysr.data import cache
cache.SHARD_FILMS = 2
save = np.save
def save_and_die(path, images):
    save(path, images)
    if "shard-00002" in str(path):
        os.kill(os.getpid(), signal.SIGKILL)
np.save = save_and_die
films = [film(Path(path)) for path in json.loads(sys.argv[2])]
for _ in cache.DiskCache(Path(sys.argv[3]), films, PAIR, "crop").fill(fake_pairs, (0, 1)):
    pass
"""


def test_after_kill_9_the_whole_shards_are_kept_and_the_rest_is_made(films, tmp_path):
    paths = json.dumps([str(each.path) for each in films])
    killed = subprocess.run(
        [sys.executable, "-c", KILL, str(Path(__file__).parent), paths, str(tmp_path / "c")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    disk = DiskCache(tmp_path / "c", films, PAIR, "crop")
    assert [shard.path.is_dir() for shard in disk.shards] == [True, True, False, False]
    assert list(disk.folder.glob(".shard-00002-*/lr.npy"))
    made = []

    def counting(some, skipped):
        made.extend(each.name for each in some)
        return fake_pairs(some, skipped)

    pairs = list(disk.fill(counting, (0, 1)))
    assert made == ["p4", "p5", "p6"]
    assert [int(pair.hr[0, 0, 0]) for pair in pairs] == list(range(7))
    assert not list(disk.folder.glob(".*"))


def test_each_worker_decodes_its_share_and_reads_all(films, tmp_path, decoded):
    seen: dict[int, list] = {0: [], 1: []}
    caches: dict[int, PairCache] = {}

    def load(worker: int) -> None:
        def track(pairs):
            for pair in pairs:
                seen[worker].append(pair.film)
                yield pair

        caches[worker] = PairCache.load(
            films, PAIR, track=track, folder=tmp_path / "c", pipeline=(worker, 2)
        )

    threads = [threading.Thread(target=load, args=(worker,)) for worker in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(decoded) == [each.name for each in films]
    assert [each.name for each in seen[1]] == ["p2", "p3", "p6", "p0", "p1", "p4", "p5"]
    assert len(seen[0]) == 7
    for worker in (0, 1):
        assert_same(caches[worker], PairCache.load(films, PAIR))


def test_a_worker_decodes_nothing_but_its_share(films, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(cache_module, "PATIENCE", 0.2)
    with pytest.raises(UserError, match=r"Worker 0 has not written .*shard-00000-of-00004"):
        PairCache.load(films, PAIR, folder=tmp_path / "c", pipeline=(1, 2))
    assert sorted(decoded) == ["p2", "p3", "p6"]


def test_two_runs_that_fill_one_cache_at_the_same_time_do_no_harm(films, tmp_path):
    stream = DiskCache(tmp_path, films, PAIR, "crop").fill(fake_pairs, (0, 1))
    begun = [next(stream)]
    other = list(DiskCache(tmp_path, films, PAIR, "crop").fill(fake_pairs, (0, 1)))
    assert [pair.film for pair in [*begun, *stream]] == [pair.film for pair in other] == films


def test_unusable_films_are_named_and_stay_named(films, tmp_path, decoded):
    """One breaks after the index was made, one is gone, in different shards."""
    films[1].path.write_text("text")
    films[4].path.unlink()
    films[5].path.unlink()
    for _ in range(2):
        cache = PairCache.load(films, PAIR, folder=tmp_path / "c")
        assert [each.name for each in cache.films] == ["p0", "p2", "p3", "p6"]
        assert [each.path.stem for each in cache.skipped] == ["p1", "p4", "p5"]
        assert "not an image" in cache.skipped[0].reason
        assert "no such file" in cache.skipped[1].reason
        assert_same(cache, PairCache.load(cache.films, PAIR))
    assert decoded.count("p1") == 1


def test_films_that_vanish_while_the_cache_is_filled_are_skipped_by_name(films, tmp_path):
    def vanish(pairs):
        for pair in pairs:
            if pair.film.name == "p0":
                films[5].path.unlink()
                films[6].path.write_bytes(films[6].path.read_bytes()[:200])
            yield pair

    cache = PairCache.load(films, PAIR, track=vanish, folder=tmp_path / "c")
    assert len(cache) == 5
    assert [each.path.stem for each in cache.skipped] == ["p5", "p6"]
    lr, _ = next(iter(training_batches([cache], batch=5, crop=None, flips=False, seed=0)))
    assert lr.shape == (5, 16, 16, 1)


def test_a_set_without_a_usable_film_is_an_error_that_says_why(films, tmp_path):
    with pytest.raises(UserError, match="None of 7 films can be used for 16:128.*smaller"):
        PairCache.load(films, Pair.parse("16:128"), folder=tmp_path / "c")


def test_a_damaged_shard_is_named(films, tmp_path):
    disk = DiskCache(tmp_path, films, PAIR, "crop")
    list(disk.fill(fake_pairs, (0, 1)))
    path = disk.shards[1].path / "hr.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="shard-00001-of-00004 of the cache is damaged.*Delete"):
        list(disk.fill(fake_pairs, (0, 1)))


def test_a_full_disk_stops_it_and_leaves_the_whole_shards(films, tmp_path, monkeypatch):
    disk, save = DiskCache(tmp_path / "c", films, PAIR, "crop"), np.save

    def full(path, images):
        if "shard-00001" in str(path):
            raise OSError(28, "No space left on device")
        save(path, images)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        list(disk.fill(fake_pairs, (0, 1)))
    assert [path.name for path in disk.folder.iterdir()] == ["shard-00000-of-00004"]


def test_open_files_are_bounded(films, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "OPEN_SHARDS", 1)
    cache = PairCache.load(films, PAIR, folder=tmp_path / "c")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for row in range(len(cache)):
            assert cache.hr[row].shape == (64, 64, 1)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_shards_are_small_enough_to_be_held_while_they_are_made(monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_FILMS", 64)
    films = [film(Path(f"p{number}.png")) for number in range(100)]
    for text, expected in (("16:64", 64), ("512:2048", 3), ("1024:8192", 1)):
        shards = DiskCache(Path("c"), films, Pair.parse(text), "crop").shards
        assert len(shards[0].films) == expected
        assert [n for shard in shards for n in shard.films] == list(range(100))


MEMORY = """
import json, sys
from pathlib import Path
import numpy as np
from xraysr.data.cache import DiskCache, StoredPair
from xraysr.data.batches import training_batches, whole_films
from xraysr.data.pipeline import PairCache
from xraysr.films.finder import Film
from xraysr.pair import Pair

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith("RssAnon")).split()[1]) / 1024

def pairs(films, skipped):
    for each in films:
        lr = np.full((*pair.lr, 1), int(each.name) % 251, np.uint16)
        yield StoredPair(each, lr, np.repeat(np.repeat(lr, 4, 0), 4, 1), 8)

def run(cache, steps):
    most, seen = 0.0, set()
    for _, hr in training_batches([cache], batch=20, crop=24, flips=True, seed=0).take(steps):
        most = max(most, held())
        seen |= set(np.round(hr.numpy()[:, 0, 0, 0] * 255).astype(int).tolist())
    return most, len(seen)

pair = Pair.parse("128:512")
films = [Film(Path(f"/none/{n}.png"), str(n), str(n), None, "train") for n in range(1100)]
disk = DiskCache(Path(sys.argv[1]), films, pair, "crop")
written = most = 0
start = held()
for each in disk.fill(pairs, (0, 1)):
    written, most = written + 1, max(most, held())
writing = most - start
size = sum(path.stat().st_size for path in disk.folder.rglob("*.npy")) / 2**20
cache = PairCache.load(films, pair, folder=Path(sys.argv[1]))
run(cache, 5)
start = held()
most, seen = run(cache, 110)
streaming = most - start
whole = np.stack([cache.hr[row] for row in range(len(cache))])
loading = held() - start
print(json.dumps([written, size, writing, streaming, seen, loading]))
"""


@pytest.mark.slow
def test_a_cache_streams_in_far_less_memory_than_it_fills(tmp_path):
    """Memory of this process alone: pages of mapped files are the system's, to take back."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    written, size, writing, streaming, seen, loading = json.loads(done.stdout)
    assert written == 1100 and seen == 251
    assert size > 280
    assert writing < 100 and streaming < 100, done.stdout
    assert loading > 250


def test_a_read_error_that_passes_is_not_kept(films, tmp_path, monkeypatch):
    load_hr = pipeline.load_hr

    def failing(path, *rest):
        if path.stem == "p2":
            error = OSError(errno.EIO, "Input/output error")
            raise BadImageError(f"{path} cannot be read: Input/output error") from error
        return load_hr(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "load_hr", failing)
        first = PairCache.load(films, PAIR, folder=tmp_path / "c")
        assert [each.path.stem for each in first.skipped] == ["p2"]
        assert len(first) == 6 and first.hr[5].shape == (64, 64, 1)
        with pytest.raises(UserError, match="p2.png: cannot be read: Input.*try again"):
            PairCache.load(films, PAIR, folder=tmp_path / "d", pipeline=(1, 2))
    assert_same(PairCache.load(films, PAIR, folder=tmp_path / "c"), PairCache.load(films, PAIR))


def test_a_damaged_film_is_kept_as_such(films, tmp_path, decoded):
    whole = films[2].path.read_bytes()
    films[2].path.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        cache = PairCache.load(films, PAIR, folder=tmp_path / "c")
        assert [each.path.stem for each in cache.skipped] == ["p2"]
    assert len(decoded) == 7
