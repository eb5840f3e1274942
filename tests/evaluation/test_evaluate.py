"""`evaluate` on phantoms written here, and on real films against figures measured elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xraysr.data.fit import load_hr
from xraysr.data.pipeline import StoredPair
from xraysr.degradation import AS_FOUND, DEFAULT
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import enlarge, evaluate, to_float
from xraysr.evaluation.metrics import added_detail, lr_consistency, psnr, ssim
from xraysr.films.finder import Film
from xraysr.films.index import index_films
from xraysr.io import Radiograph, read, write
from xraysr.lanczos import degrade, resize
from xraysr.models import SRResNet
from xraysr.models.open import save_generator
from xraysr.pair import Pair
from xraysr.phantom.film import write_phantoms
from xraysr.upscale import Upscaler, load


def film(path: Path) -> Film:
    return Film(path, path.stem, path.stem, None, "test")


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> tuple[Film, ...]:
    """Three phantoms of 64 pixels."""
    return tuple(map(film, write_phantoms(tmp_path_factory.mktemp("films"), 3, size=64)))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Upscaler:
    """A x4 generator as training starts with it, through the file a user would load."""
    path = tmp_path_factory.mktemp("model") / "untrained.keras"
    save_generator(SRResNet.for_pair("16:64", depth=1, width=8), path)
    return load(path)


def test_rows_are_interpolations_first_then_models(films, untrained):
    report = evaluate({"ours": untrained}, films, "16:64")
    assert report.methods == ("bicubic", "Lanczos", "ours")
    assert [each.name for each in report.films] == [each.name for each in films]
    assert [each.patient for each in report.films] == [each.patient for each in films]
    assert report.pair == Pair.parse("16:64") and report.skipped == ()


def test_the_report_says_how_lr_was_made(films, tmp_path):
    assert evaluate({}, films, "16:64").degradation == DEFAULT

    def halved(hr, lr_size):
        return hr[::4, ::4] / 2

    own = evaluate({}, films, "16:64", degradation=halved)
    assert own.degradation.endswith("halved") and own.degradation in own.title
    lr = tmp_path / "lr.png"
    hr = read(films[0].path)
    write(lr, Radiograph(hr.pixels[::4, ::4], hr.bits))
    found = evaluate({}, [replace(films[0], lr_path=lr)], "16:64")
    assert found.degradation == AS_FOUND
    found.save(tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["degradation"] == AS_FOUND


def test_an_untrained_generator_scores_as_lanczos(films, untrained):
    report = evaluate({"ours": untrained}, films, "16:64")
    for scores in (each.scores for each in report.films):
        tolerances = {"psnr": 1e-4, "ssim": 1e-6, "lr_consistency": 1e-2, "added_detail": 1e-3}
        for metric, tolerance in tolerances.items():
            expected = pytest.approx(scores["Lanczos"][metric], abs=tolerance)
            assert scores["ours"][metric] == expected, metric
            assert scores["ours"][metric] != scores["bicubic"][metric]


def test_scores_equal_those_worked_out_by_hand(films):
    (scores,) = (each.scores["Lanczos"] for each in evaluate({}, films[:1], "16:64").films)
    stored, bits = load_hr(films[0].path, (64, 64))
    hr = stored / (2**bits - 1)
    lr = degrade(hr, (16, 16), bits)
    sr = np.clip(resize(lr, (64, 64)), 0, 1)
    assert scores["psnr"] == pytest.approx(psnr(sr, hr, 4), abs=1e-3)
    assert scores["ssim"] == pytest.approx(ssim(sr, hr, 4), abs=1e-5)
    assert scores["lr_consistency"] == pytest.approx(lr_consistency(sr, lr), abs=0.05)
    assert scores["added_detail"] == pytest.approx(added_detail(sr, 4), abs=1e-3)


def test_bits_are_those_of_the_files(films, tmp_path):
    deep = tmp_path / "deep.png"
    pixels = np.random.default_rng(0).integers(0, 2**16, (64, 64), dtype=np.uint16)
    Image.fromarray(pixels).save(deep)
    report = evaluate({}, (films[0], film(deep)), "16:64")
    assert [each.bits for each in report.films] == [load_hr(films[0].path, (64, 64))[1], 16]
    assert "16 bit" in report.title


def test_notices_of_the_films_are_counted(films, tmp_path, capsys):
    shallow = tmp_path / "shallow.png"
    pixels = np.random.default_rng(0).integers(0, 2**12, (64, 64), dtype=np.uint16)
    Image.fromarray(pixels).save(shallow)
    report = evaluate({}, (films[0], film(shallow)), "16:64")
    assert [each.notices for each in report.films] == [(), ("range-12-in-16",)]
    assert report.notices == report.to_json()["notices"] == {"range-12-in-16": 1}
    report.show()
    assert "notices: 1 range-12-in-16" in capsys.readouterr().out


def test_a_pair_that_is_not_square(films):
    report = evaluate({}, films, "16x20:48x60")
    assert "HR 48x60" in report.title and "border 3 px" in report.title
    assert all(20 < each.scores["Lanczos"]["psnr"] < 60 for each in report.films)


def test_a_model_of_another_scale_is_named(films, untrained):
    with pytest.raises(UserError, match=r"ours enlarges x4, but 32:64 asks for x2"):
        evaluate({"ours": untrained}, films, "32:64")


def test_unusable_films_are_skipped_by_name(films, tmp_path):
    text, small, blank = (tmp_path / f"{name}.png" for name in ("text", "small", "blank"))
    text.write_text("not an image")
    Image.new("L", (63, 64), 9).save(small)
    flat = np.full((64, 64), 100, np.uint8)
    flat[0, 0] = 0  # in the border, which no score sees
    Image.fromarray(flat).save(blank)
    report = evaluate({}, (films[0], film(text), film(small), film(blank), films[1]), "16:64")
    assert [each.name for each in report.films] == [films[0].name, films[1].name]
    reasons = {skipped.path: skipped.reason for skipped in report.skipped}
    assert set(reasons) == {text, small, blank}
    assert "smaller than HR" in reasons[small] and "blank" in reasons[blank]
    assert np.isfinite(report.gain("bicubic").mean)
    assert {each["path"] for each in report.to_json()["skipped"]} == set(map(str, reasons))


def test_nothing_usable_at_all(films, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(UserError, match="None of 1 films can be used for 16:64: "):
        evaluate({}, [film(tmp_path / "text.png")], "16:64")
    with pytest.raises(UserError, match="None of 3 films can be used.*smaller than HR"):
        evaluate({}, films, "32:128")


def test_films_too_small_for_ssim(films):
    with pytest.raises(UserError, match="SSIM needs images of 11 pixels a side"):
        evaluate({}, films, "4:16")


def test_enlarge_returns_every_method_at_hr_size(untrained):
    lr = np.random.default_rng(0).random((16, 20), dtype=np.float32)
    images = enlarge({"ours": untrained}, lr, Pair.parse("16x20:64x80"))
    assert list(images) == ["bicubic", "Lanczos", "ours"]
    assert {image.shape for image in images.values()} == {(64, 80)}
    assert all(image.min() >= 0 and image.max() <= 1 for image in images.values())


@pytest.mark.parametrize("bits", [8, 16])
def test_to_float(bits):
    values = np.array([[[0], [2**bits - 1]]], np.uint16)
    lr, hr = to_float(StoredPair(film(Path("x")), values, values, bits))
    assert lr.dtype == hr.dtype == np.float32
    np.testing.assert_array_equal(hr, [[0, 1]])


def test_real_films_bicubic_is_below_lanczos(shared_data):
    films = index_films(shared_data / "nih_chest_xray").of("test")[::10]
    report = evaluate({}, films, "64:256")
    assert len(report.films) >= 11 and report.skipped == ()
    assert report.gain("bicubic").high < 0
    below = [
        each.scores["bicubic"][metric] < each.scores["Lanczos"][metric]
        for each in report.films
        for metric in ("psnr", "ssim")
    ]
    assert np.mean(below) > 0.8


@pytest.mark.slow
def test_real_films_score_as_measured_elsewhere(shared_data):
    """Another implementation found 33.68 / .917 and 33.88 / .920 dB on films like these."""
    films = index_films(shared_data / "nih_chest_xray").of("test")
    report = evaluate({}, films, "64:256")
    assert len(report.films) == len(films) > 100
    for method, decibels, similarity in (("bicubic", 33.68, 0.917), ("Lanczos", 33.88, 0.920)):
        assert report.interval(method, "psnr").mean == pytest.approx(decibels, abs=0.3)
        assert report.interval(method, "ssim").mean == pytest.approx(similarity, abs=0.005)
    gain = report.gain("bicubic")
    assert gain.high < 0 and gain.mean == pytest.approx(33.68 - 33.88, abs=0.03)
