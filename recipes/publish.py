"""Makes a preset of a finished run: rounds, scores, and writes weights, card and recipe.

    python recipes/publish.py RUN NAME FILMS [FILMS ...]

Weights are rounded to float16, as they ship, and then scored on the test films of each FILMS
folder (nih_chest_xray, kermany_224). Weights and card go into xraysr/presets/, NAME.toml beside
this script. What else an earlier card of the same weights says was measured is kept.
An edge preset also becomes a .tflite file, for devices without TensorFlow: see edge_tflite.py.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from card_texts import (
    BIAS,
    DATA,
    NOT_FOR,
    NOT_FOR_CLEAN,
    NOT_FOR_ROBUST,
    PHOTOGRAPHS,
    PROTOCOL,
    PURPOSES,
)
from edge_tflite import write_preset

from xraysr.errors import UserError
from xraysr.evaluation.evaluate import evaluate
from xraysr.evaluation.report import REFERENCE, Report
from xraysr.files import whole_file
from xraysr.films.index import FilmIndex, index_films
from xraysr.films.patients import patient_id, shared_patients
from xraysr.models import GENERATORS, SRNetwork, open_model
from xraysr.models.open import save_preset
from xraysr.models.weights import round_weights, weights_sha256
from xraysr.pair import Pair
from xraysr.presets import ModelCard, card, names
from xraysr.spec import ModelSpec
from xraysr.training.config import TrainConfig
from xraysr.training.run import Run
from xraysr.upscale import Upscaler
from xraysr.upscale.runtimes import KerasRuntime

HERE = Path(__file__).resolve().parent
HR_SIZES = {"nih_chest_xray": (128, 256, 512), "kermany_224": (128,)}


def main() -> None:
    """Publishes one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the finished run")
    parser.add_argument("name", help="family and scale, such as base-x4")
    parser.add_argument("films", type=Path, nargs="+", help="folder of a known data set")
    parser.add_argument("--machine", help="what it was trained on; default: what the run says")
    parser.add_argument("--init", help="the preset made from the run this one began with")
    parser.add_argument("--out", type=Path, help="write here instead of into the project")
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    command = options(run.config, arguments.init)
    made = publish(run, arguments.name, arguments.films, arguments.out or card.HOME)
    with whole_file((arguments.out or HERE) / f"{made.name}.toml") as temporary:
        temporary.write_text(recipe_text(run, made, command, arguments.machine), "utf-8")
    print(made.markdown())


def publish(run: Run, name: str, folders: list[Path], out: Path) -> ModelCard:
    """Scores the rounded generator of a run and writes weights and card below `out`."""
    generator, spec = open_model(run.generator)
    purpose = _purpose(name, spec.scale)
    indexes = {known_data(folder): index_films(folder) for folder in folders}
    data = trained_on(run.data(), indexes)
    round_weights(generator)
    upscaler = Upscaler(KerasRuntime(generator, spec))
    reports = {
        each: [
            evaluate({name: upscaler}, index.require("test"), pair)
            for pair in pairs_of(each, spec.scale)
        ]
        for each, index in indexes.items()
    }
    scores = {each: {str(r.pair): summary(r) for r in rs} for each, rs in reports.items()}
    made = ModelCard(
        name=name,
        purpose=purpose,
        architecture=_architecture(generator),
        parameters=generator.count_params(),
        spec=_spec(spec, generator, name, [each["name"] for each in data], scores),
        data=data,
        protocol=PROTOCOL,
        scores=scores,
        gains={each: {str(r.pair): gains(r, name) for r in rs} for each, rs in reports.items()},
        population=BIAS,
        not_for=[*NOT_FOR, NOT_FOR_ROBUST if name.startswith("robust") else NOT_FOR_CLEAN],
        photographs=PHOTOGRAPHS if spec.scale == 4 else {},
    )
    made = _with_measured(made, out / "cards" / f"{name}.json")
    save_preset(generator, made, out)
    if made.architecture["generator"] == "edge":
        write_preset(generator, made.spec, folders[0], out / "weights" / f"{name}.tflite")
    return made


def pairs_of(data: str, scale: int) -> list[Pair]:
    """The pairs a data set is scored at: HR near 128, 256 and 512 as far as its films go."""
    return [
        Pair.parse(f"{hr // 128 * (128 // scale)}:{hr // 128 * (128 // scale) * scale}")
        for hr in HR_SIZES[data]
    ]


def trained_on(seen: dict[str, Any], indexes: dict[str, FilmIndex]) -> list[dict[str, Any]]:
    """The data sets a run was trained on.

    Args:
        seen: Content of data.json.
        indexes: The data sets by name.

    Raises:
        UserError: if a film is of none of them, or a patient of its test films was trained on.
    """
    train = {Path(path).name for path in seen["train"]}
    both = train | {Path(path).name for path in seen["val"]}
    data, found = [], set()
    for name, index in indexes.items():
        own = {film.path.name for film in index.films}
        leaked = shared_patients(
            (film.patient for film in index.of("test")),
            (patient_id(Path(film)) for film in both & own),
        )
        if leaked:
            raise UserError(f"The run saw test patients of {name}: {', '.join(leaked[:5])}")
        found |= both & own
        if films := train & own:
            patients = {patient_id(Path(film)) for film in films}
            counts = {"films": len(films), "patients": len(patients)}
            data.append({"name": name, **counts, **DATA[name]})
    if unknown := sorted(both - found):
        raise UserError(
            f"{len(unknown)} films of the run are in none of {', '.join(indexes)}: name the folder "
            f"they come from. The first: {unknown[0]}"
        )
    return data


def summary(report: Report) -> dict[str, Any]:
    """What the card keeps of a report: numbers of films and patients, means with intervals."""
    patients = len({film.patient for film in report.films})
    methods = rounded(report.to_json()["methods"])
    return {"n": len(report.films), "patients": patients, "methods": methods}


def rounded(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores to four decimals, as cards hold them."""
    return json.loads(json.dumps(scores), parse_float=lambda text: round(float(text), 4))


def gains(report: Report, name: str) -> dict[str, float]:
    """PSNR over Lanczos in dB of every film."""
    return {
        film.name: round(film.scores[name]["psnr"] - film.scores[REFERENCE]["psnr"], 3)
        for film in report.films
    }


def recipe_text(run: Run, made: ModelCard, command: list[str], machine: str | None) -> str:
    """The recipe as TOML: how to train and publish it again, and what came out."""
    training, environment = made.spec.training, _environment(run)
    folders = " ".join(made.scores)
    data = made.data[0]["name"] if len(made.data) == 1 else "FILMS"
    facts = {
        "name": made.name,
        "train": f"xraysr train --data {data} --out RUN {' '.join(command)}",
        "publish": f"python recipes/publish.py RUN {made.name} {folders}",
        "seed": run.config.seed,
        "steps": training["steps"],
        "minutes": training["minutes"],
        "sittings": 1 + len(environment.get("resumed", [])),
        "machine": machine or ", ".join([environment["machine"], *environment["devices"]]),
        "precision": run.config.precision,
        "commit": environment["git_commit"],
        "films_sha256": environment["data_sha256"],
        "weights_sha256": made.spec.weights_sha256,
    }
    lines = [f"# How {made.name} was made. The data folders are those its card names.", ""]
    lines += [f"{key} = {_toml(value)}" for key, value in facts.items() if value is not None]
    if len(made.data) > 1:
        lines.insert(1, "# FILMS holds the train and test folders of all of them, merged.")
    lines += ["", "[versions]"]
    lines += [f"{key} = {_toml(value)}" for key, value in environment["packages"].items()]
    lines += ["", "[films]", *(f"{each['name']} = {each['films']}" for each in made.data)]
    for data, pairs in made.scores.items():
        lines += ["", f"[psnr_over_lanczos_dB.{data}]  # mean, 95 % interval"]
        for pair in pairs:
            interval = made.gain(data, pair) or {}
            lines.append(f"{_toml(pair)} = {[round(end, 2) for end in interval.values()]}")
    return "\n".join(lines) + "\n"


def options(config: TrainConfig, init: str | None) -> list[str]:
    """The options of `xraysr train` that give this configuration."""
    words = ["--pair", str(config.pair)]
    for entry in fields(config):
        value, flag = getattr(config, entry.name), entry.name.replace("_", "-")
        if entry.name == "pair" or value == entry.default or value is None:
            continue
        if entry.name == "init":
            value = init or value
            if value not in names():
                raise UserError(
                    f"The run began from {value}. Pass --init with the preset made of it."
                )
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words += [word for each in value for word in (f"--{flag}", str(each))]
        else:
            words += [f"--{flag}", f"{value:g}" if isinstance(value, float) else str(value)]
    return words


def _purpose(name: str, scale: int) -> str:
    """What presets of this name are for."""
    match = re.fullmatch(r"([\w-]+)-x(\d)", name)
    if not match or match[1] not in PURPOSES or int(match[2]) != scale:
        raise UserError(
            f"NAME must be one of {', '.join(PURPOSES)} with -x{scale}, the scale of the run. "
            f"Received: {name}"
        )
    return PURPOSES[match[1]]


def known_data(folder: Path) -> str:
    """The name of a data set's folder; `UserError` for one the cards do not know."""
    name = folder.resolve().name
    if name not in DATA:
        raise UserError(
            f"FILMS must be a folder named {' or '.join(DATA)}, whose licence and population are "
            f"known. Received: {folder}"
        )
    return name


def _architecture(generator: SRNetwork) -> dict[str, Any]:
    kind = next(key for key, value in GENERATORS.items() if type(generator) is value)
    return {"generator": kind, "depth": generator.depth, "width": generator.width}


def _spec(
    spec: ModelSpec, generator: SRNetwork, name: str, data: list[str], scores: dict[str, Any]
) -> ModelSpec:
    """The spec that travels with exports: of the rounded weights, with the scores in short."""
    short = {
        each: {
            pair: {metric: interval["mean"] for metric, interval in entry["methods"][name].items()}
            for pair, entry in pairs.items()
        }
        for each, pairs in scores.items()
    }
    return replace(
        spec,
        name=name,
        weights_sha256=weights_sha256(generator),
        training={**spec.training, "data": data},
        scores=short,
    )


def _with_measured(made: ModelCard, earlier: Path) -> ModelCard:
    """The card with what was measured of the same weights before."""
    if not earlier.is_file():
        return made
    old = ModelCard.read(earlier)
    if old.spec.weights_sha256 != made.spec.weights_sha256:
        return made
    measured = ("perceptual", "downstream", "matrix", "native")
    return replace(made, **{name: getattr(old, name) for name in measured})


def _environment(run: Run) -> dict[str, Any]:
    environment = run.environment()
    if environment is None:
        raise UserError(f"{run.path / 'environment.json'} is missing or damaged.")
    return environment


def _toml(value: Any) -> str:
    """A number or text in TOML, which writes both as JSON does."""
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
