"""Trains on a folder of films for some minutes and prints the table README quotes.

    python benchmarks/quality.py FOLDER OUT --pair 64:256 --minutes 10

FOLDER has train and test folders (or is split by patient). OUT receives the run and the scores,
film by film. The same as `xraysr train` and `xraysr evaluate --markdown`, in one process.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from xraysr.evaluation.evaluate import evaluate
from xraysr.films.index import index_films
from xraysr.training import TrainConfig, train
from xraysr.upscale import load


def main() -> None:
    """Trains, evaluates on the test films, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pair", default="64:256")
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    config = TrainConfig(arguments.pair, minutes=arguments.minutes)
    run = train(config, arguments.folder, arguments.out)
    films = index_films(arguments.folder).require("test")
    models = {"content phase": load(run.content_generator), "GAN": load(run.generator)}
    report = evaluate(models, films, config.pair)
    report.save(arguments.out / "scores.json")
    print(report.markdown())


if __name__ == "__main__":
    main()
