"""Which files are films, whose they are, and on which side of the split; no TensorFlow."""

from xraysr.films.finder import Film, find_films
from xraysr.films.index import FilmIndex, index_films
from xraysr.films.walk import FoundFilm, Skipped, examine, path_text, stem_of, walk_films

__all__ = [
    "Film",
    "FilmIndex",
    "FoundFilm",
    "Skipped",
    "examine",
    "find_films",
    "index_films",
    "path_text",
    "stem_of",
    "walk_films",
]
