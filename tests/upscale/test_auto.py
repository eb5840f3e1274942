"""`auto` takes the preset that fits a film, and says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from xraysr.cli import app
from xraysr.degradation import Degradation, degrade_with
from xraysr.io import Radiograph, read, write
from xraysr.phantom.film import make_phantom
from xraysr.upscale import Upscaler, load
from xraysr.upscale.auto import AutoUpscaler
from xraysr.upscale.batch import upscale_files
from xraysr.upscale.files import enlarge_file
from xraysr.upscale.gate import Finding, Judgement
from xraysr.upscale.outputs import made_by


@pytest.fixture(scope="module")
def films() -> dict[str, np.ndarray]:
    hr = (make_phantom(3, 256).pixels / 4095).astype(np.float32)
    ways = {"clean": Degradation(), "noisy": Degradation(noise=0.03)}
    return {name: degrade_with(way, hr, (64, 64), 8).astype("f4") for name, way in ways.items()}


NOISE = Finding("noise", "noise of 3.0 %", degraded=True)


@pytest.fixture
def auto(repeat, monkeypatch) -> AutoUpscaler:
    """Two models that do the same under two names, and a gate that looks at noise alone."""

    def judge(pixels: np.ndarray) -> Judgement | None:
        rough = np.abs(np.diff(pixels, 2)).mean()
        return Judgement(0.0, 20.0, 2.0, (NOISE,) if rough > 0.05 else ()) if rough else None

    monkeypatch.setattr("xraysr.upscale.auto.judge", judge)

    def named(name: str) -> Upscaler:
        runtime = repeat(2)
        runtime.spec = replace(runtime.spec, name=name, weights_sha256=name)
        return Upscaler(runtime)

    return AutoUpscaler(named("clean"), named("robust"))


def test_each_film_gets_the_model_that_fits_and_the_reason(auto, films):
    (first, why), (second, because) = (auto.for_film(films[name]) for name in ("clean", "noisy"))
    assert (first.spec.name, why) == ("clean", "clean and sharp")
    assert (second.spec.name, because) == ("robust", "noise of 3.0 %")
    flat, unknown = auto.for_film(np.zeros((40, 40), np.float32))
    assert (flat.spec.name, unknown) == ("clean", "too small or too flat to judge")
    both = np.stack([films["clean"], films["noisy"]])[..., None]
    assert auto(both).shape == (2, 128, 128, 1)
    made = [auto(Radiograph(each)).provenance.model for each in films.values()]
    assert made == ["clean", "robust"]


def test_files_say_which_model_made_them_and_are_kept_by_whichever(auto, films, tmp_path):
    for name, pixels in films.items():
        write(tmp_path / "films" / f"{name}.png", Radiograph(pixels))
    summary = upscale_files(auto, [tmp_path / "films"], tmp_path / "out")
    assert {each.source.stem: each.model for each in summary.done} == {
        "clean": "clean", "noisy": "robust",
    }  # fmt: skip
    assert any("by robust: noise of" in line for line in summary.lines())
    assert "model robust" in made_by(tmp_path / "out" / "noisy.png").maker
    again = upscale_files(auto, [tmp_path / "films"], tmp_path / "out", resume=True)
    assert len(again.kept) == 2 and not again.done


def test_a_model_that_was_named_is_the_one_that_is_taken(repeat, films, tmp_path):
    write(tmp_path / "film.png", Radiograph(films["noisy"]))
    upscaler = Upscaler(repeat(2))
    done = enlarge_file(upscaler, tmp_path / "film.png", tmp_path / "sr.png")
    assert (done.model, done.why) == (upscaler.spec.name, "")
    assert upscaler.candidates == (upscaler,)
    assert not done.notices  # of what a model that is no preset learned nothing is known


def test_auto_is_a_model_like_any_other(films, tmp_path):
    write(tmp_path / "film.png", Radiograph(films["noisy"]))
    assert [each.spec.name for each in load("auto").candidates] == ["base-x4", "robust-x4"]
    out = tmp_path / "sr.png"
    result = CliRunner().invoke(
        app, ["upscale", "auto", str(tmp_path / "film.png"), "-o", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "by robust-x4: noise of" in result.output
    assert read(out).size == (256, 256)


def test_a_preset_says_which_one_would_do(films, tmp_path):
    write(tmp_path / "film.png", Radiograph(films["noisy"]))
    done = enlarge_file(load("edge-x4"), tmp_path / "film.png", tmp_path / "sr.png")
    (notice,) = (each for each in done.notices if each.code == "noise")
    assert "edge-x4 learned from clean films: take robust-edge-x4" in notice.text
    done = enlarge_file(load("robust-edge-x4"), tmp_path / "film.png", tmp_path / "r.png")
    assert "noise" not in {each.code for each in done.notices}
