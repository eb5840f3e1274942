"""TrainConfig refuses what cannot work and schedules what can."""

import json
from dataclasses import replace

import pytest

from xraysr.errors import UserError
from xraysr.training import TrainConfig


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": None}, "steps or minutes must be one of them"),
        ({"minutes": 3.0}, "steps or minutes must be one of them"),
        ({"steps": 0}, "more than 0"),
        ({"steps": None, "minutes": -1.0}, "more than 0"),
        ({"crop": 65}, "crop must be from 4 to 64"),
        ({"crop": 3}, "crop must be from 4 to 64"),
        ({"depth": 0}, "depth=0"),
        ({"width": 4}, "width=4"),
        ({"batch": 0}, "batch=0"),
        ({"validate_every": 0}, "validate_every=0"),
        ({"adversarial_share": 1.1}, "adversarial_share=1.1"),
        ({"adversarial_share": -0.1}, "adversarial_share=-0.1"),
        ({"fit": "zoom"}, "crop or pad or stretch"),
        ({"discriminator": "vgg"}, "patch or srgan"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"seed": -1}, "seed=-1"),
        ({"precision": "float16"}, "float32 or mixed_bfloat16 or mixed_float16"),
        ({"content_loss": "l2"}, "l1 or charbonnier or mse"),
        ({"adversarial_loss": "wgan"}, "relativistic"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
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
