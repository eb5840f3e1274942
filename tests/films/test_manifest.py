"""Manifest and journal say the same about the films of a folder."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from xraysr.errors import UserError
from xraysr.films.manifest import (
    JOURNAL,
    MANIFEST,
    Manifest,
    PreparedFilm,
    load_manifest,
    start_journal,
    write_manifest,
)

SETTINGS = {"pairs": ["8x32", "16x64"], "fit": "crop"}
FILMS = (
    PreparedFilm("train/ä.png", "00ff", "ä", "ä", None, "train", 8, ("8x32", "16x64"), {}),
    PreparedFilm("b.png", "0a", "b", "b", "N", "test", 12, ("8x32",), {"16x64": "too small"}),
)


def test_a_manifest_reads_back(tmp_path):
    assert load_manifest(tmp_path) is None
    manifest = Manifest(SETTINGS, FILMS, (("c.txt", "not an image"),))
    write_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest


def test_a_journal_reads_back_and_the_last_word_on_a_film_counts(tmp_path):
    write_manifest(tmp_path, Manifest(SETTINGS, (), ()))
    start_journal(tmp_path, SETTINGS, FILMS)
    assert not (tmp_path / MANIFEST).exists()
    newer = PreparedFilm("b.png", "0b", "b", "b", "N", "test", 12, ("8x32", "16x64"), {})
    with open(tmp_path / JOURNAL, "a", encoding="utf-8") as journal:
        journal.write(json.dumps(asdict(newer)) + '\n{"torn": ')
    assert load_manifest(tmp_path) == Manifest(SETTINGS, (FILMS[0], newer), (), complete=False)


@pytest.mark.parametrize("name", [MANIFEST, JOURNAL])
@pytest.mark.parametrize("text", ["", "{}", "[1]\n", "\xff", '{"settings": {}, "films": [1]}'])
def test_what_is_no_manifest_is_named(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="did not write, or that was damaged"):
        load_manifest(tmp_path)


def test_summary(tmp_path):
    text = Manifest(SETTINGS, FILMS, (("c.txt", "not an image"),)).summary()
    assert text.splitlines() == [
        "8x32: 2 films (1 train, 1 test)",
        "16x64: 1 films (1 train)",
        "  left out b.png: too small",
        "  skipped c.txt: not an image",
    ]
