"""TrainConfig refuses what cannot work, schedules what can, and is where all settings come from."""

import json
from dataclasses import dataclass, fields, replace

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from xraysr.cli import app
from xraysr.cli.training import train_command
from xraysr.data.fit import FITS
from xraysr.errors import UserError
from xraysr.models import GENERATORS
from xraysr.training import TrainConfig, settings_of
from xraysr.training.config import FAMILIES, setting, settings_table
from xraysr.training.losses import ADVERSARIAL_LOSSES, CONTENT_LOSSES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minutes": 3.0}, "steps or minutes must be one of them"),
        ({"steps": 0}, "more than 0"),
        ({"steps": None, "minutes": -1.0}, "more than 0"),
        ({"crop": 65}, "crop must be from 4 to 64"),
        ({"crop": 3}, "crop must be from 4 to 64"),
        ({"depth": 0}, "depth must be at least 1. Received: depth=0"),
        ({"depth": "8"}, "depth must be a whole number"),
        ({"depth": 8.0}, "depth must be a whole number"),
        ({"flips": 1}, "flips must be True or False"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"init": 3}, "init must be text"),
        ({"width": 4}, "width=4"),
        ({"batch": 0}, "batch=0"),
        ({"validate_every": 0}, "validate_every=0"),
        ({"adversarial_share": 1.1}, "adversarial_share=1.1"),
        ({"adversarial_share": -0.1}, "adversarial_share=-0.1"),
        ({"fit": "zoom"}, "fit must be crop, pad or stretch"),
        ({"discriminator": "vgg"}, "patch or srgan"),
        ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
        ({"seed": -1}, "seed=-1"),
        ({"precision": "float16"}, "float32, mixed_bfloat16 or mixed_float16"),
        ({"content_loss": "l2"}, "l1, charbonnier or mse"),
        ({"adversarial_loss": "wgan"}, "relativistic"),
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1"),
        ({"average_decay": 1.0}, "average_decay=1.0"),
        ({"clip_norm": -1.0}, "clip_norm=-1.0"),
        ({"adversarial_from": 0}, "adversarial_from=0"),
        ({"adversarial_from": "later"}, "adversarial_from=later"),
        ({"adversarial_from": 10}, "a step below steps"),
        ({"vgg19": "weights.h5"}, "feature_weight must be more than 0 with vgg19"),
        ({"pair": "64:250"}, "64"),
        ({"mix": ("64:128",)}, "other pairs of scale 4.*64:128"),
        ({"mix": ("64:256",)}, "other pairs of scale 4"),
        ({"mix": ("16:64",)}, "crop.*4 to 16, the LR size of 16:64"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(change, words):
    with pytest.raises(UserError, match=words):
        replace(TrainConfig("64:256", steps=10), **change)


def test_the_learning_rate_warms_up_falls_and_starts_again_in_the_second_phase():
    config = TrainConfig("64:256", steps=1000, adversarial_share=0.25)
    content = [config.learning_rate_at(step / 1000, None) for step in range(750)]
    adversarial = [config.learning_rate_at(step / 1000, 0.75) for step in range(750, 1000)]
    assert content[0] < 0.1 * config.learning_rate
    assert max(content) == pytest.approx(config.learning_rate, rel=0.01)
    assert content[-1] == pytest.approx(0.01 * config.learning_rate, rel=0.05)
    assert max(adversarial) == pytest.approx(config.adversarial_learning_rate, rel=0.02)
    peak = content.index(max(content))
    assert content[peak:] == sorted(content[peak:], reverse=True)


def test_progress_counts_steps_or_minutes():
    assert TrainConfig("64:256", steps=200).progress(50, 1e9) == 0.25
    assert TrainConfig("64:256", minutes=2.0).progress(10**9, 30.0) == 0.25
    assert TrainConfig("64:256", steps=200).progress(300, 0.0) == 1.0


def test_the_adversarial_phase_begins_where_it_was_planned():
    config = TrainConfig("64:256", steps=100, adversarial_share=0.25)
    assert config.planned_switch == 0.75
    assert replace(config, adversarial_from=40).planned_switch == 0.4
    assert replace(config, adversarial_from="plateau").planned_switch is None
    assert not replace(config, adversarial_share=0.0).is_adversarial
    assert replace(config, adversarial_share=0.0, adversarial_from="plateau").is_adversarial


def test_until_a_plateau_the_learning_rate_stays_at_its_peak():
    config = TrainConfig("64:256", steps=1000, adversarial_from="plateau")
    rates = [config.learning_rate_at(step / 1000, None) for step in range(1000)]
    assert rates[0] < 0.1 * config.learning_rate
    assert set(rates[20:]) == {config.learning_rate}
    after = [config.learning_rate_at(step / 1000, 0.6) for step in range(600, 1000)]
    assert max(after) == pytest.approx(config.adversarial_learning_rate, rel=0.02)
    assert after[-1] < 0.02 * config.adversarial_learning_rate


def test_settings_come_back_from_json(tmp_path):
    config = TrainConfig("48x64:192x256", minutes=3.0, crop=16, flips=False, seed=7)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_json()))
    assert TrainConfig.load(path) == config


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pair": "64:256", "steps": "many"}'])
def test_damaged_settings_are_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        TrainConfig.load(path)


def test_the_peak_is_lower_for_a_generator_that_has_learned():
    config = TrainConfig("64:256", steps=1)
    assert (
        config.learning_rate > 2 * replace(config, learning_rate=None, init="base-x4").learning_rate
    )
    assert replace(config, learning_rate=3e-3, init="base-x4").learning_rate == 3e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_a_valid_run(family):
    config = TrainConfig("64:256", steps=1, **settings_of(family))
    assert config.is_adversarial == (family == "gan")


def test_an_unknown_family_is_refused():
    with pytest.raises(UserError, match="preset must be edge, base, gan. Received: preset=large"):
        settings_of("large")


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="generator must be srresnet or edge"):
        TrainConfig("64:256", steps=1, generator="unet")
    with pytest.raises(UserError, match="batch_norm"):
        TrainConfig("64:256", steps=1, generator="edge", batch_norm=True)


def test_without_a_length_a_run_takes_ten_minutes():
    assert TrainConfig("64:256").minutes == 10.0
    assert TrainConfig("64:256", steps=5).minutes is None


def test_the_words_a_setting_may_be_are_those_the_code_knows():
    allowed = {each.name: each.metadata["allowed"].choices for each in fields(TrainConfig)}
    assert allowed["generator"] == tuple(GENERATORS)
    assert allowed["content_loss"] == tuple(CONTENT_LOSSES)
    assert allowed["adversarial_loss"] == tuple(ADVERSARIAL_LOSSES)
    assert allowed["fit"] == FITS


def test_the_table_for_the_docs_has_every_setting():
    header, line, *rows = settings_table().splitlines()
    assert len(rows) == len(fields(TrainConfig))
    for row, each in zip(rows, fields(TrainConfig), strict=True):
        assert row.startswith(f"| `{each.name}` | ")
        assert each.metadata["help"] in row
        assert row.count("|") == header.count("|") == line.count("|")


@dataclass(frozen=True)
class Extended(TrainConfig):
    """One setting more, as a developer would add it."""

    grain: float = setting(0.5, "Grain of the film.", least=0, most=1)
    tone: str = setting("warm", "Tone of the film.", "warm", "cold")


def test_a_new_field_is_a_flag_with_help_and_validation_at_once(monkeypatch, tmp_path):
    """Only the field is written; nothing of the command line."""
    small = typer.Typer()
    small.command()(train_command(Extended))
    shown = " ".join(CliRunner().invoke(small, ["--help"], env={"COLUMNS": "200"}).output.split())
    for text in ("--grain", "Grain of the film.", "--tone", "film: warm or cold.", "default: 0.5"):
        assert text in shown
    trained = []
    monkeypatch.setattr("xraysr.training.train", lambda config, *_, **__: trained.append(config))
    words = ["--data", "films", "--out", str(tmp_path), "--grain"]
    CliRunner().invoke(small, [*words, "0.75", "--tone", "cold"])
    (config,) = trained
    assert (config.grain, config.tone, config.minutes) == (0.75, "cold", 10.0)
    refused = CliRunner().invoke(small, [*words, "1.5"]).exception
    assert str(refused) == "grain must be from 0 to 1. Received: grain=1.5"
    refused = CliRunner().invoke(small, [*words, "1", "--tone", "grey"]).exception
    assert str(refused) == "tone must be warm or cold. Received: tone=grey"
    assert len(trained) == 1


def test_every_setting_is_a_flag_of_train():
    options = {
        option for parameter in get_command(app).commands["train"].params
        for option in parameter.opts
    }  # fmt: skip
    assert {f"--{each.name.replace('_', '-')}" for each in fields(TrainConfig)} <= options
