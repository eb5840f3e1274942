"""Intervals that cover, and a table that says what its numbers hold for."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from xraysr.evaluation.report import FilmScores, Report, bootstrap
from xraysr.films.finder import Skipped
from xraysr.pair import Pair

METHODS = ("bicubic", "Lanczos", "model [a]")
PSNRS = {
    "bicubic": (30.0, 31.0, 32.0, 33.0),
    "Lanczos": (30.2, 31.2, 32.2, 33.2),
    "model [a]": (31.7, 32.7, 33.7, 35.1),
}
PATIENTS = ("p1", "p1", "p2", "p3")


@pytest.fixture
def report() -> Report:
    """Four films of three patients under three methods."""
    films = tuple(
        FilmScores(
            f"film{index}",
            patient,
            "NORMAL" if index < 2 else None,
            12 if index == 3 else 8,
            {
                method: {
                    "psnr": PSNRS[method][index],
                    "ssim": 0.9,
                    "lr_consistency": 50.0,
                    "added_detail": 1.25,
                }
                for method in METHODS
            },
        )
        for index, patient in enumerate(PATIENTS)
    )
    skipped = (Skipped(Path("bad.png"), "truncated"),)
    return Report(Pair.parse("64:256"), "antialiased Lanczos", films, skipped)


def rendered(report: Report) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(report.table())
    return console.export_text()


def test_interval_brackets_the_mean():
    values = np.random.default_rng(0).normal(33, 2, 100)
    interval = bootstrap(values, [str(n) for n in range(100)])
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low < interval.mean < interval.high
    # For a mean of many, the normal approximation holds.
    half = 1.96 * values.std() / math.sqrt(100)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    count, rounds = 40, 400
    owners = [str(n) for n in range(count)]
    covered = 0
    for _ in range(rounds):
        interval = bootstrap(rng.gamma(4, 1, count), owners)  # skewed, of mean 4
        covered += interval.low <= 4 <= interval.high
    assert 0.89 < covered / rounds < 0.98


def test_patients_are_drawn_and_not_films():
    values = np.random.default_rng(2).normal(33, 2, 20)
    patients = [f"p{n}" for n in range(20)]
    once = bootstrap(values, patients)
    copies = bootstrap(np.repeat(values, 9), np.repeat(patients, 9))
    assert copies.mean == pytest.approx(once.mean)
    assert copies.high - copies.low == pytest.approx(once.high - once.low)
    by_film = bootstrap(np.repeat(values, 9), [str(n) for n in range(180)])
    assert by_film.high - by_film.low < 0.5 * (copies.high - copies.low)


def test_every_film_counts_once_in_the_mean():
    interval = bootstrap([1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"])
    assert interval.mean == 2.0
    assert (interval.low, interval.high) == (1.0, 5.0)


def test_the_same_scores_give_the_same_interval():
    values, patients = [1.0, 2.0, 4.0], ["a", "b", "c"]
    assert bootstrap(values, patients) == bootstrap(values, patients)


def test_order_of_films_does_not_matter():
    values, patients = np.array([1.0, 2.0, 4.0, 9.0]), np.array(["a", "b", "c", "a"])
    other = [2, 0, 3, 1]
    assert bootstrap(values, patients) == bootstrap(values[other], patients[other])


def test_gain_is_paired_film_by_film(report):
    gain = report.gain("model [a]")
    assert gain.mean == pytest.approx(1.6)
    # Unpaired, the spread of the films would be far wider than that of the gain.
    assert (gain.low, gain.high) == (pytest.approx(1.5), pytest.approx(1.9))
    assert report.gain("bicubic").high == pytest.approx(-0.2)
    zero = report.gain("Lanczos")
    assert (zero.mean, zero.low, zero.high) == (0, 0, 0)


def test_title_says_what_the_scores_hold_for(report):
    for part in (
        "64:256",
        "4 films of 3 patients, 8, 12 bit, ",
        "HR 256x256",
        "antialiased Lanczos",
        "border 4 px",
        "added: mean detail in grey levels of 8 bit",
    ):
        assert part in report.title


def test_table(report):
    text = rendered(report)
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert [name for name in rows if name in METHODS] == list(METHODS)
    assert "33.30 [32.20, 35.10]" in rows["model [a]"]
    assert "+1.60 [+1.50, +1.90]" in rows["model [a]"]
    assert "-0.20 [-0.20, -0.20]" in rows["bicubic"]
    assert "0.9000 [0.9000, 0.9000]" in rows["Lanczos"]
    assert "50.0 [50.0, 50.0]" in rows["Lanczos"]
    assert " 1.25 " in rows["model [a]"]
    assert "+0.00" not in rows["Lanczos"]
    assert "4 films of 3 patients" in text


@pytest.mark.filterwarnings("ignore:invalid value")
def test_infinite_scores_are_shown_and_not_taken_for_markup(report):
    report.films[0].scores["bicubic"]["lr_consistency"] = math.inf
    assert "inf [" in rendered(report)


def test_show_prints_the_whole_table(report, capsys):
    report.show()
    out = capsys.readouterr().out
    assert "+1.60 [+1.50, +1.90]" in out and "LR-consistency dB" in out
    assert all(method in out for method in METHODS)


def test_markdown_says_the_same_as_the_table(report):
    title, blank, head, rule, *rows = report.markdown().splitlines()
    assert (title, blank) == (report.title, "")
    assert head == ("| method | PSNR dB | over Lanczos dB | SSIM | LR-consistency dB | added |")
    assert rule == "| --- | --- | --- | --- | --- | --- |"
    assert len(rows) == 3 and {row.count("|") for row in rows} == {7}
    assert rows[2].startswith("| model [a] | 33.30 [32.20, 35.10] | +1.60 [+1.50, +1.90] |")
    text = rendered(report)
    assert all(cell.strip() in text for row in rows for cell in row.split("|"))


def test_json_holds_the_summary_and_every_film(report, tmp_path):
    report.save(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert (content["pair"], content["n"], content["border"]) == ("64:256", 4, 4)
    assert content["hr_size"] == [256, 256]
    assert content["bits"] == [8, 12]
    assert [film["bits"] for film in content["films"]] == [8, 8, 8, 12]
    assert content["degradation"] == "antialiased Lanczos"
    assert list(content["methods"]) == list(METHODS)
    model = content["methods"]["model [a]"]
    assert model["psnr"]["mean"] == pytest.approx(33.3)
    assert model["psnr_over_lanczos"]["low"] == pytest.approx(1.5)
    metrics = {"psnr", "ssim", "lr_consistency", "added_detail"}
    assert set(model) == {*metrics, "psnr_over_lanczos"}
    assert model["added_detail"] == {"mean": 1.25, "low": 1.25, "high": 1.25}
    assert [film["patient"] for film in content["films"]] == list(PATIENTS)
    assert content["films"][3]["scores"]["model [a]"]["psnr"] == 35.1
    assert [film["label"] for film in content["films"]] == ["NORMAL", "NORMAL", None, None]
    assert content["skipped"] == [{"path": "bad.png", "reason": "truncated"}]
