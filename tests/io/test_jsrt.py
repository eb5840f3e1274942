"""The raw films of JSRT are told by suffix and size, and their bones are bright."""

from __future__ import annotations

import numpy as np
import pytest

from xraysr.errors import BadImageError
from xraysr.films import index_films
from xraysr.films.survey import survey_films
from xraysr.io import kind_of, read


@pytest.fixture
def film(tmp_path):
    rows, columns = np.indices((2048, 2048))
    stored = (rows + columns) % 4096
    stored[0, :2] = 0, 4095
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(stored.astype(">u2").tobytes())
    return path


def test_a_film_of_jsrt(film):
    radiograph = read(film)
    assert kind_of(film) == "JSRT" and radiograph.bits == 12
    assert radiograph.size == (2048, 2048) and radiograph.spacing == (0.175, 0.175)
    assert radiograph.pixels[0, 0] == 1 and radiograph.pixels[0, 1] == 0
    assert radiograph.stored()[1000, 48] == 4095 - 1048
    assert radiograph.source == film


def test_the_finder_finds_it(film):
    film.with_name("JPCNN002.img").write_bytes(film.read_bytes())
    index = index_films(film.parent)
    assert {each.patient for each in index.films} == {"JPCLN001", "JPCNN002"}
    assert survey_films(film.parent).sizes == {(2048, 2048): 2}


def test_other_values_or_sizes_are_refused(film):
    data = film.read_bytes()
    film.write_bytes(b"\xff\xff" + data[2:])
    with pytest.raises(BadImageError, match="holds the value 65535. Expected 0 to 4095"):
        read(film)
    film.write_bytes(data[:-2])
    with pytest.raises(BadImageError, match="not an image"):
        read(film)
