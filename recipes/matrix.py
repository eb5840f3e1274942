"""What presets gain when LR was made in other ways, and at a detector's own sampling: into cards.

    python recipes/matrix.py FILMS [NATIVE] [--presets NAME ...] [--films 32]

FILMS is a known data set (nih_chest_xray). Its test films, at most --films of them, evenly spread
over their list, are scored at the pairs of the presets' scale whose HR is 250 pixels or larger;
NATIVE holds films at their detector's own sampling, all of which are scored. Each card is written
as soon as something of it is known. `recipes/table.py` then renews the tables.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from publish import known_data, pairs_of, rounded

from xraysr.errors import UserError
from xraysr.evaluation.matrix import evenly, matrix, native
from xraysr.films.index import index_films
from xraysr.presets import ModelCard, names
from xraysr.presets.card import card_path
from xraysr.upscale import Upscaler, load

LEAST_HR = 250
NATIVE_FILMS = {
    "native_cr": "the middle 1536x1536 of CR and DX chest films of the Actualmed COVID-19 chest "
    "X-ray data set",
}


def main() -> None:
    """Scores the presets one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", type=Path, metavar="FILMS")
    parser.add_argument("native", type=Path, nargs="?", metavar="NATIVE")
    parser.add_argument("--presets", nargs="+", default=names(), metavar="NAME")
    parser.add_argument("--films", dest="count", type=int, default=32, metavar="N")
    arguments = parser.parse_args()
    data = known_data(arguments.films)
    test = evenly(index_films(arguments.films).require("test"), arguments.count)
    unreduced = index_films(arguments.native).films if arguments.native else ()
    for name in arguments.presets:
        upscaler = load(name)
        for pair in pairs_of(data, upscaler.scale):
            if pair.hr[0] < LEAST_HR:
                continue
            found = matrix({name: upscaler}, test, pair)
            found.show()
            earlier = ModelCard.load(name).matrix
            pairs = {**earlier.get(data, {}), str(pair): rounded(found.summary())}
            write(upscaler, matrix={**earlier, data: pairs})
        if unreduced:
            found = native({name: upscaler}, unreduced, upscaler.scale)
            found.show()
            folder = arguments.native.resolve().name
            films = NATIVE_FILMS.get(folder, folder)
            write(upscaler, native={"films": films, **rounded(found.summary())})


def write(upscaler: Upscaler, **measured: dict[str, Any]) -> None:
    """Puts what was measured into the preset's card, unless that is of other weights by now."""
    card = ModelCard.load(upscaler.spec.name)
    if card.spec != upscaler.spec:
        raise UserError(f"{card.name} was published anew meanwhile. Score it again.")
    replace(card, **measured).save(card_path(card.name))


if __name__ == "__main__":
    main()
