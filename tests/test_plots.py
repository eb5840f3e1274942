"""Pictures: what they show and where the zoom goes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from xraysr import plots
from xraysr.errors import UserError
from xraysr.plots import Panel, comparison, heat_map, history, richest_window

HR = np.full((96, 96), 0.5)
HR[50:70, 30:50] = np.random.default_rng(0).random((20, 20))
PANELS = [
    Panel("bicubic", np.clip(HR + 0.05, 0, 1), 26.02),
    Panel("Lanczos", np.clip(HR - 0.03, 0, 1), 30.457),
    Panel("HR", HR),
]
RECORDS = [
    {"step": 0, "phase": "content", "val_psnr": 30.0, "lanczos_psnr": 29.0},
    {"step": 10, "phase": "content", "content": 0.02},
    {"step": 20, "phase": "content", "content": 0.01, "val_psnr": 31.5},
    {"step": 30, "phase": "adversarial", "content": 0.011, "adversarial": 0.7},
    {"step": 40, "phase": "adversarial", "discriminator": 0.6, "val_psnr": 31.0},
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would have been written."""
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure))
    return figures


def test_comparison_writes_a_png(tmp_path):
    path = tmp_path / "new" / "comparison.png"
    comparison(path, PANELS, HR, "12:96, film 1")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 600 < image.width < 2500 and 600 < image.height < 2500
        grey = np.asarray(image.convert("L"))
    assert len(np.unique(grey)) > 50, "the picture is empty"
    assert [each.name for each in path.parent.iterdir()] == ["comparison.png"]


def test_comparison_shows_each_method_whole_zoomed_and_as_error(drawn, tmp_path):
    comparison(tmp_path / "x.png", PANELS, HR, "12:96, film 1")
    (figure,) = drawn
    top, left, side = richest_window(HR)
    axes = np.array(figure.axes[:9]).reshape(3, 3)
    titles = [axis.get_title() for axis in axes[0]]
    assert titles == ["bicubic", "Lanczos", "HR"]
    assert [axis.get_xlabel() for axis in axes[0]] == ["26.02 dB", "30.46 dB", ""]
    assert figure.get_suptitle() == "12:96, film 1"
    for column, panel in enumerate(PANELS):
        whole, zoom, error = (axes[row, column].images[0] for row in range(3))
        np.testing.assert_array_equal(whole.get_array(), panel.image)
        window = panel.image[top : top + side, left : left + side]
        np.testing.assert_array_equal(zoom.get_array(), window)
        np.testing.assert_allclose(error.get_array(), np.abs(panel.image - HR))
        assert whole.get_clim() == zoom.get_clim() == (0, 1), "grey must mean the same everywhere"
        assert error.get_clim() == (0, plots.ERROR_LIMIT)
        (frame,) = axes[0, column].patches
        assert (frame.get_x(), frame.get_y(), frame.get_width()) == (left, top, side)


def test_comparison_of_one_method_and_tiny_images(tmp_path):
    tiny = np.random.default_rng(1).random((6, 4))
    comparison(tmp_path / "tiny.png", [Panel("HR", tiny)], tiny, "3x2:6x4")
    assert (tmp_path / "tiny.png").stat().st_size > 1000


def test_richest_window_finds_the_planted_detail():
    top, left, side = richest_window(HR)
    assert side == 24
    # A window of 24 pixels holds the 20 planted ones with their edges.
    assert 46 <= top <= 50 and 26 <= left <= 30


@pytest.mark.parametrize("shape", [(64, 64), (40, 90), (90, 40), (9, 9), (3, 5)])
def test_richest_window_lies_inside(shape):
    image = np.random.default_rng(0).random(shape)
    top, left, side = richest_window(image)
    assert side >= 1 and top >= 0 and left >= 0
    assert top + side <= shape[0] and left + side <= shape[1]


def test_richest_window_keeps_away_from_the_border():
    image = np.zeros((80, 80))
    image[0, 0] = 1  # A label's corner has the steepest edge, and no anatomy.
    image[40, 40] = 0.5
    top, left, side = richest_window(image)
    assert top <= 40 < top + side and left <= 40 < left + side


def test_history_writes_a_png(tmp_path):
    history(tmp_path / "history.png", RECORDS)
    with Image.open(tmp_path / "history.png") as image:
        assert image.size == (1200, 480)


def test_history_draws_what_was_recorded(drawn, tmp_path):
    history(tmp_path / "x.png", RECORDS)
    losses, quality = drawn[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in losses.lines}
    assert lines["content"] == [[10, 0.02], [20, 0.01], [30, 0.011]]
    assert lines["adversarial"] == [[30, 0.7]]
    assert lines["discriminator"] == [[40, 0.6]]
    assert "feature" not in lines
    assert losses.get_yscale() == "log"
    lines = {line.get_label(): line.get_xydata().tolist() for line in quality.lines}
    assert lines["generator"] == [[0, 30.0], [20, 31.5], [40, 31.0]]
    assert {y for _, y in lines["Lanczos"]} == {29.0}
    for axis in (losses, quality):
        assert [text.get_text() for text in axis.texts] == ["adversarial"]
        assert axis.texts[0].xy[0] == 30, "where the phase changes"


def test_history_of_the_content_phase_alone_has_no_change_of_phase(drawn, tmp_path):
    history(tmp_path / "x.png", RECORDS[:3])
    assert not any(axis.texts for axis in drawn[0].axes)


def test_history_of_nothing_yet(tmp_path):
    history(tmp_path / "history.png", [])
    assert (tmp_path / "history.png").stat().st_size > 1000


GAINS = np.array([[-0.25, 1.268], [0.0, -2.004]])


def test_the_heat_map_shows_the_numbers_and_whether_they_are_gains(drawn, tmp_path):
    heat_map(tmp_path / "x.png", ("box", "noise"), ("bicubic", "ours"), GAINS, "16:64: 3 films")
    (figure,) = drawn
    axis = figure.axes[0]
    (image,) = axis.images
    np.testing.assert_array_equal(image.get_array(), GAINS)
    assert image.get_clim() == (-2.004, 2.004), "no gain must be white"
    red, _, blue, _ = np.moveaxis(image.to_rgba(GAINS), -1, 0)
    assert red[0, 0] > blue[0, 0] and red[0, 1] < blue[0, 1] and red[1, 1] > blue[1, 1]
    assert red[1, 0] == pytest.approx(blue[1, 0], abs=0.02)
    texts = {text.get_position()[::-1]: text.get_text() for text in axis.texts}
    assert texts == {(0, 0): "-0.25", (0, 1): "+1.27", (1, 0): "+0.00", (1, 1): "-2.00"}
    assert [label.get_text() for label in axis.get_yticklabels()] == ["box", "noise"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["bicubic", "ours"]
    assert figure.get_suptitle() == "16:64: 3 films"


def test_the_heat_map_of_one_model_without_any_gain(tmp_path):
    heat_map(tmp_path / "heat.png", ("box",), ("bicubic",), np.zeros((1, 1)), "16:64")
    with Image.open(tmp_path / "heat.png") as image:
        assert image.format == "PNG" and image.width > 400


def test_the_users_own_figures_are_left_alone(tmp_path):
    before = plt.get_fignums()
    history(tmp_path / "history.png", RECORDS)
    assert plt.get_fignums() == before


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file"):
        history(tmp_path / "file" / "history.png", RECORDS)
