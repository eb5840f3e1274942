"""What presets gain over Lanczos when LR was made otherwise than in their training.

    python benchmarks/degradations.py FILMS OUT MODEL [MODEL ...] [--pair 128:512] [--films 16]
    python benchmarks/degradations.py FILMS OUT MODEL [MODEL ...] --native

Takes test films of FILMS, evenly spread over their list, and prints the matrix of `xraysr
evaluate --matrix`. With --native, FILMS holds films at their detector's own sampling, of which
all splits are taken; HR is the film as it is, halved and quartered, and LR is HR reduced by the
model's scale with Lanczos. Writes OUT, a JSON file, film by film.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from xraysr import index_films, load
from xraysr.evaluation.matrix import evenly, matrix, native
from xraysr.pair import Pair


def main() -> None:
    """Scores, prints the table, writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FILMS")
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--pair", default="128:512", type=Pair.parse, metavar="LR:HR")
    parser.add_argument("--films", default=16, type=int, help="at most so many, evenly spread")
    parser.add_argument("--native", action="store_true")
    arguments = parser.parse_args()
    upscalers = {name: load(name) for name in arguments.models}
    index = index_films(arguments.folder)
    films = evenly(index.films if arguments.native else index.require("test"), arguments.films)
    if arguments.native:
        report = native(upscalers, films, next(iter(upscalers.values())).scale)
    else:
        report = matrix(upscalers, films, arguments.pair)
    report.save(arguments.out)
    report.show()
    for skipped in report.skipped:
        print(f"skipped: {skipped}")


if __name__ == "__main__":
    main()
