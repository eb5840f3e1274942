"""Each thing that goes wrong is said once, at the threshold, with what to change."""

import pytest

from xraysr.training import Run
from xraysr.training.diagnostics import GREY_LEVELS_OF_DRIFT, LOST, PATIENCE, WON, Diagnostics


def said(watch: Diagnostics, accuracies: list[float]) -> list[str]:
    return [line for each in accuracies for line in watch.losses({"accuracy": each})]


@pytest.mark.parametrize(
    ("bad", "edge", "advice"),
    [
        (WON + 0.001, WON, "Lower adversarial_learning_rate"),
        (LOST - 0.001, LOST, "Raise adversarial_learning_rate"),
    ],
    ids=["won", "collapsed"],
)
def test_a_lopsided_discriminator_is_said_once_after_some_patience(bad, edge, advice):
    watch = Diagnostics()
    assert said(watch, [bad] * (PATIENCE - 1)) == []
    assert said(watch, [edge]) == []  # recovered: the count begins anew
    assert said(watch, [bad] * (PATIENCE - 1)) == []
    (line,) = said(watch, [bad])
    assert advice in line
    assert said(watch, [bad] * 3 * PATIENCE + [0.75] + [bad] * PATIENCE) == []


def test_won_means_accuracy_above_98_percent_and_both_warnings_may_come():
    assert WON == 0.98
    watch = Diagnostics()
    lines = said(watch, [1.0] * PATIENCE + [0.5] * PATIENCE)
    assert len(lines) == 2
    assert "nearly always" in lines[0]
    assert "guessing" in lines[1]


def test_a_balanced_discriminator_and_the_content_phase_are_fine():
    watch = Diagnostics()
    assert said(watch, [0.6, 0.9, 0.97, 0.53] * PATIENCE) == []
    assert watch.losses({"content": 0.1, "skipped": 0.0}) == []


def test_drift_is_said_once_above_two_grey_levels():
    watch = Diagnostics()
    assert watch.validation(GREY_LEVELS_OF_DRIFT) == []
    (line,) = watch.validation(3 / 255)
    assert "3.0 of 255 grey levels" in line
    assert "adversarial_weight" in line
    assert watch.validation(9 / 255) == []


def test_skipped_steps_are_said_once():
    watch = Diagnostics()
    (line,) = watch.losses({"skipped": 0.1})
    assert "clip_norm" in line
    assert watch.losses({"skipped": 0.1}) == []


def test_a_warning_given_before_a_stop_is_not_repeated_after_it(tiny, tmp_path):
    run = Run.create(tmp_path / "run", tiny)
    run.record({"step": 0, "val_psnr": 30.0, "drift": 0.5})

    class State:
        step, say, record, lines = 5, None, {"step": 5, "drift": 0.5}, []

    State.say = State.lines.append
    for watch, count in ((Diagnostics(), 1), (Diagnostics(run), 0)):
        State.lines.clear()
        watch.on_start(State)
        watch.on_validation(State)
        assert len(State.lines) == count
