from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import xraysr.cli
from xraysr.cli.options import as_flags
from xraysr.degradation import NAMED
from xraysr.io import Radiograph, read, write
from xraysr.presets.card import tflite_path
from xraysr.spec import ModelSpec
from xraysr.upscale import load

COMMANDS = (
    "prepare", "train", "evaluate", "compare", "upscale", "watch", "export", "models", "phantom",
    "demo",
)  # fmt: skip
MAIN = [sys.executable, "-c", "from xraysr.cli import main; main()"]


class Result(NamedTuple):
    """What a command left in the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command line in this process and returns its `Result`."""

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["xraysr", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            xraysr.cli.main()
        return Result(stop.value.code or 0, *capfd.readouterr())

    return run


def assert_refused(result: Result, *words: str) -> None:
    """One line that says what is wrong, and no traceback."""
    assert result.code == 1
    lines = [line for line in result.err.splitlines() if line.startswith("xraysr: ")]
    assert len(lines) == 1, result.err
    assert result.err.rstrip("\n").endswith(lines[0])
    assert "Traceback" not in result.err + result.out
    for word in words:
        assert word in lines[0]


def film(size: tuple[int, int] = (64, 64), seed: int = 0) -> np.ndarray:
    """A smooth film with some detail: float32 in [0, 1]."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    waves = np.sin(19 * x + seed) * np.cos(23 * y - seed) + x * y
    return ((waves - waves.min()) / max(np.ptp(waves), 1e-6)).astype(np.float32)


def save(path: Path, seed: int = 0, bits: int = 8, size: tuple[int, int] = (64, 64)) -> Path:
    write(path, Radiograph(film(size, seed), bits))
    return path


def save_split(folder: Path, **counts: int) -> Path:
    """Films in split folders, each of another patient."""
    for split, count in counts.items():
        for number in range(count):
            save(folder / split / f"{split}{number}.png", number)
    return folder


def truncated_jpeg(path: Path) -> None:
    whole = path.with_name("whole.jpg")
    save(whole)
    path.write_bytes(whole.read_bytes()[:700])
    whole.unlink()


BAD = {
    "half.jpg": (truncated_jpeg, "truncated"),
    "empty.png": (Path.touch, "empty"),
    "text.png": (lambda path: path.write_text("not an image"), "text"),
}


def spoil(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, _) in BAD.items():
        make(folder / name)
    return folder


def listing(folder: Path) -> list[str]:
    """Every path below `folder`, hidden ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# The commands themselves


def test_help_of_every_command_needs_no_tensorflow():
    code = f"""
import sys
from typer.testing import CliRunner
from xraysr.cli import app

for command in ("", *{COMMANDS}):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0, (command, result.output)
    assert "Usage" in result.output, result.output
heavy = {{"tensorflow", "keras", "numpy", "matplotlib", "pydicom"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_help_names_every_command(run):
    result = run("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert command in result.out


def test_upscaling_with_tflite_leaves_tensorflow_alone(trained, tmp_path):
    save(tmp_path / "film.png", size=(16, 16))
    code = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from xraysr.cli import main
main()
"""
    words = ["upscale", trained["tflite"], tmp_path / "film.png", "-o", tmp_path / "sr.png"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "sr.png").size == (64, 64)


def test_a_message_of_several_lines_becomes_one(run, monkeypatch):
    def fail() -> None:
        raise xraysr.UserError("first\nsecond")

    monkeypatch.setattr(xraysr.cli, "app", fail)
    assert_refused(run(), "xraysr: first second")


# upscale


@pytest.mark.parametrize("format", ["keras", "saved_model", "tflite"])
def test_upscale_writes_what_load_computes(run, trained, tmp_path, format):
    source = save(tmp_path / "film.png", bits=16, size=(17, 40))
    result = run("upscale", trained[format], source, "-o", tmp_path / "sr.tif")
    assert result.code == 0, result.err
    enlarged = read(tmp_path / "sr.tif")
    assert (enlarged.size, enlarged.bits) == ((68, 160), 16)
    expected = load(trained["keras"])(read(source).pixels)
    np.testing.assert_allclose(enlarged.pixels, expected, atol=3e-5)


@pytest.mark.parametrize("mode", ["RGBA", "P", "RGB", "LA", "1"])
def test_upscale_takes_colour_palette_and_transparency(run, trained, tmp_path, mode):
    grey = Image.fromarray(np.round(film((16, 20)) * 255).astype(np.uint8))
    grey.convert(mode).save(tmp_path / "film.png")
    result = run("upscale", trained["tflite"], tmp_path / "film.png", "-o", tmp_path / "sr.png")
    assert result.code == 0, result.err
    assert read(tmp_path / "sr.png").size == (64, 80)


def test_upscale_takes_one_pixel(run, trained, tmp_path):
    Image.new("L", (1, 1), 128).save(tmp_path / "film.png")
    result = run("upscale", trained["tflite"], tmp_path / "film.png", "-o", tmp_path / "sr.png")
    assert result.code == 0, result.err
    assert read(tmp_path / "sr.png").size == (4, 4)


@pytest.mark.parametrize("name", BAD)
def test_upscale_refuses_a_bad_film(run, trained, tmp_path, name):
    make, reason = BAD[name]
    make(tmp_path / name)
    result = run("upscale", trained["tflite"], tmp_path / name, "-o", tmp_path / "sr.png")
    assert_refused(result, str(tmp_path / name), reason)
    assert listing(tmp_path) == [name]


def test_upscale_skips_bad_films_by_name(run, trained, tmp_path):
    films = spoil(tmp_path / "films")
    save(films / "good.png", size=(8, 8))
    result = run("upscale", trained["tflite"], films, "-o", tmp_path / "out")
    assert result.code == 1
    assert listing(tmp_path / "out") == ["good.png"]
    for name, (_, reason) in BAD.items():
        (line,) = (line for line in result.err.splitlines() if str(films / name) in line)
        assert line.startswith(("skipped: ", "left out: "))
        assert reason in line
    assert "Traceback" not in result.err


@pytest.mark.parametrize("other", [None, "notes.txt"])
def test_upscale_refuses_a_folder_without_films(run, trained, tmp_path, other):
    films = tmp_path / "films"
    films.mkdir()
    if other:
        (films / other).write_text("notes")
    result = run("upscale", trained["tflite"], films, "-o", tmp_path / "out")
    assert_refused(result, "No films in", str(films))
    assert not (tmp_path / "out").exists()


def test_upscale_keeps_an_existing_output(run, trained, tmp_path):
    source, target = save(tmp_path / "film.png", size=(8, 8)), tmp_path / "sr.png"
    target.write_text("kept")
    words = ("upscale", trained["tflite"], source, "-o", target)
    assert_refused(run(*words), str(target), "exists", "--overwrite")
    assert target.read_text() == "kept"
    assert run(*words, "--overwrite").code == 0
    assert read(target).size == (32, 32)


def test_upscale_says_how_far_it_contradicts_the_film(run, trained, tmp_path):
    source = save(tmp_path / "film.png", size=(24, 24))
    found = {}
    for option in ([], ["--faithful"], ["--ensemble"], ["--maps"], ["--tile", "40"]):
        out = tmp_path / f"{'-'.join(option)}sr.png"
        result = run("upscale", trained["keras"], source, "-o", out, *option)
        assert result.code == 0, result.err
        said = result.out.splitlines()[0]
        assert said.startswith(f"{out}: LR-consistency ")
        found[tuple(option)] = float(said.split()[-2])
    assert found["--faithful",] > found[()] == found["--tile", "40"]
    assert (tmp_path / "--mapssr.added.overlay.png").is_file()
    result = run("upscale", trained["keras"], source, "-o", out, "--resume")
    assert (result.code, result.out) == (0, "1 film was there before\n")
    result = run("upscale", trained["tflite"], source, "-o", out, "--resume", "--faithful")
    assert_refused(result, "was made by", "asked for is", "--overwrite")
    result = run("upscale", trained["keras"], source, "-o", tmp_path / "x.png", "--tile", 5)
    assert_refused(result, "tile must be at least", "Received: 5")


def test_upscale_needs_no_output_for_one_film(run, trained, tmp_path):
    source = save(tmp_path / "film.png", size=(8, 8))
    assert run("upscale", trained["tflite"], source).code == 0
    assert read(tmp_path / "film_x4.png").size == (32, 32)
    assert_refused(run("upscale", trained["tflite"], source), "film_x4.png exists")
    assert_refused(run("upscale", trained["tflite"], source, source), "name one with out")


def test_what_functions_call_arguments_are_flags_at_the_command_line(run, tmp_path):
    pixels = np.random.default_rng(0).integers(3000, size=(24, 24), dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result = run("upscale", tflite_path("edge-x4"), tmp_path / "a.png")
    assert "notice range-12-in-16" in result.err
    assert "--bits 12" in result.err and "bits=12" not in result.err
    result = run("upscale", tflite_path("edge-x4"), tmp_path / "a.png", "--overwrite", "--bits", 12)
    assert "range-12-in-16" not in result.err
    assert as_flags("x. Pass value_range, or allow_all=True") == "x. Pass --range, or --allow-all"


def test_upscale_prints_and_counts_notices_and_strict_skips(run, tmp_path):
    """Checks are unlike films, and what a preset makes of them shows it."""
    checks, film = np.indices((24, 24)).sum(0) % 2, np.indices((24, 24)).sum(0) / 50
    for name, pixels in (("a.png", checks), ("b.png", film)):
        Image.fromarray((255 * pixels).astype(np.uint8)).save(tmp_path / name)
    words = ("upscale", tflite_path("edge-x4"), tmp_path / "a.png", tmp_path / "b.png")
    result = run(*words, "-o", tmp_path / "out")
    assert result.code == 0
    assert "notices: 1 lr-consistency" in result.out
    assert f"{tmp_path / 'a.png'}: notice lr-consistency: reduced again, SR agrees" in result.err
    result = run(*words, "-o", tmp_path / "strict", "--strict")
    assert result.code == 1
    assert f"skipped: {tmp_path / 'a.png'}: notice lr-consistency" in result.err
    assert listing(tmp_path / "strict") == ["b.png"]


@pytest.mark.parametrize("out", ["file/sr.png", "file/folder"])
def test_upscale_to_where_nothing_can_be_written(run, trained, tmp_path, out):
    source = save(tmp_path / "film.png", size=(8, 8))
    (tmp_path / "file").write_text("kept")
    result = run("upscale", trained["tflite"], source, "-o", tmp_path / out)
    assert_refused(result, str(tmp_path / "file"))
    assert listing(tmp_path) == ["file", "film.png"]


@pytest.fixture
def no_models(tmp_path, trained) -> list[Path]:
    """Paths that hold no model that can be used."""
    folder = tmp_path / "no_models"
    (folder / "folder").mkdir(parents=True)
    (folder / "text.keras").write_text("not a model")
    (folder / "text.tflite").write_text("not a model")
    shutil.copy(trained["keras"].with_suffix(".spec.json"), folder / "half.spec.json")
    shutil.copy(ModelSpec.path_for(trained["tflite"]), folder / "half.tflite.spec.json")
    for name in ("keras", "tflite"):
        content = trained[name].read_bytes()
        (folder / f"half.{name}").write_bytes(content[: len(content) // 2])
    return [*sorted(path for path in folder.iterdir() if path.suffix != ".json"), folder / "none"]


def test_an_unknown_model_is_refused(run, no_models, tmp_path):
    data = save_split(tmp_path / "data", test=1)
    out = tmp_path / "out.json"
    for model in no_models:
        assert_refused(run("upscale", model, data, "-o", out), str(model))
        words = ("evaluate", model, "--data", data, "--pair", "16:64", "--json", out)
        assert_refused(run(*words), str(model))
        assert_refused(
            run("export", model, tmp_path / "out", "--format", "saved_model"), model.name
        )
    assert not out.exists()
    assert not (tmp_path / "out").exists()


# prepare


def prepare(run, source: Path, out: Path, pair: str = "16:64", *more: object) -> Result:
    return run("prepare", source, out, "--pair", pair, "--workers", 1, *more)


def test_prepare_names_what_it_skips_and_takes_the_rest(run, tmp_path):
    films, out = spoil(tmp_path / "films" / "train"), tmp_path / "out"
    save(films / "good.png")
    save(films / "deep.png", bits=16)
    save(films / "small.png", size=(63, 200))
    save(films / "pixel.png", size=(1, 1))
    grey = Image.open(films / "good.png")
    for mode in ("RGBA", "P"):
        grey.convert(mode).save(films / f"{mode}.png")
    result = prepare(run, films.parent, out)
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    taken = sorted(path.stem for path in (out / "16x64" / "train" / "hr").iterdir())
    assert taken == ["P", "RGBA", "deep", "good"]
    assert read(out / "16x64" / "train" / "lr" / "deep.png").bits == 16
    manifest = json.loads((out / "manifest.json").read_text())
    reasons = {each["path"]: each["reason"] for each in manifest["skipped"]}
    expected = {name: reason for name, (_, reason) in BAD.items()}
    expected |= {"small.png": "63x200 < 64x64", "pixel.png": "1x1 < 64x64"}
    assert set(reasons) == {f"train/{name}" for name in expected}
    for name, reason in expected.items():
        assert reason in reasons[f"train/{name}"]
        assert name in result.out


@pytest.mark.parametrize("films", ["small", "none", "text", "one patient"])
def test_prepare_refuses_data_it_cannot_use(run, tmp_path, films):
    folder = tmp_path / "films"
    folder.mkdir()
    if films == "small":
        for number in range(30):
            save(folder / f"{number}.png", size=(20, 20))
    elif films == "text":
        (folder / "notes.txt").write_text("notes")
    elif films == "one patient":
        for visit in range(3):
            save(folder / f"00000001_{visit:03d}.png")
    words = {
        "small": ("20",),
        "none": ("No films under", str(folder), "empty"),
        "text": ("No films under", "text, which is not read"),
        "one patient": ("Only one patient", "00000001"),
    }[films]
    assert_refused(prepare(run, folder, tmp_path / "out"), *words)
    assert not list(tmp_path.rglob("out/**/*.png"))


def test_prepare_makes_lr_of_a_named_detector(run, tmp_path):
    data, out = save_split(tmp_path / "films", train=1, test=1), tmp_path / "out"
    result = prepare(run, data, out, "16:64", "--degradation", "cr")
    assert result.code == 0, result.err
    assert f"LR: {NAMED['cr'].text}" in result.out
    said = json.loads((out / "manifest.json").read_text())["settings"]["degradation"]
    assert said == NAMED["cr"].text
    assert_refused(prepare(run, data, out), "degradation was box, blur 0.5 px", "--overwrite")
    assert_refused(prepare(run, data, out, "16:64", "--degradation", "fax"), "chat-jpeg", "fax")


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_prepare_to_where_nothing_can_be_written(run, tmp_path, out):
    data = save_split(tmp_path / "films", train=1, test=1)
    (tmp_path / "file").write_text("kept")
    assert_refused(prepare(run, data, tmp_path / out), str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "kept"


def test_prepare_keeps_an_existing_output(run, tmp_path):
    data, out = save_split(tmp_path / "films", train=1, test=1), tmp_path / "out"
    (out / "16x64").mkdir(parents=True)
    (out / "16x64" / "thesis.txt").write_text("kept")
    assert_refused(prepare(run, data, out), str(out / "16x64"), "exists")
    assert listing(out) == ["16x64", "16x64/thesis.txt"]


# pairs


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("64:100", ("do not divide", "64", "100")),
        ("64:64", ("from 2 to 8", "x1")),
        ("16:144", ("from 2 to 8", "x9")),
        ("64x64:256x128", ("disagree", "256x128")),
        ("0:64", ("whole pixels",)),
        ("sixteen", ("written LR:HR", "sixteen")),
    ],
)
def test_a_pair_that_cannot_be_is_refused_everywhere(run, trained, tmp_path, pair, words):
    data, out = save_split(tmp_path / "films", train=2, val=1, test=1), tmp_path / "out"
    for command in (
        ("prepare", data, out, "--workers", 1),
        ("train", "--data", data, "--out", out),
        ("evaluate", trained["tflite"], "--data", data, "--json", out),
        ("demo", "--data", data, "--out", out),
    ):
        assert_refused(run(*command, "--pair", pair), *words)
    assert not out.exists()


# evaluate


def test_evaluate_prints_a_table_and_writes_scores_film_by_film(run, trained, tmp_path):
    data, out = save_split(tmp_path / "films", test=3), tmp_path / "scores" / "films.json"
    result = run("evaluate", trained["tflite"], "--data", data, "--pair", "16:64", "--json", out)
    assert result.code == 0, result.err
    for text in ("16:64", "3 films", "PSNR", "SSIM", "bicubic", "Lanczos", "generator"):
        assert text in result.out
    scores = json.loads(out.read_text())
    assert [entry["name"] for entry in scores["films"]] == ["test0", "test1", "test2"]
    assert set(scores["films"][0]["scores"]) == {"bicubic", "Lanczos", "generator"}
    mean = np.mean([entry["scores"]["generator"]["psnr"] for entry in scores["films"]])
    assert scores["methods"]["generator"]["psnr"]["mean"] == pytest.approx(mean)
    assert f"{mean:.2f}" in result.out
    assert str(out) in result.err


# compare


def test_compare_draws_a_film_of_the_user_and_keeps_an_earlier_picture(run, trained, tmp_path):
    data, out = save_split(tmp_path / "films", train=1, test=1), tmp_path / "picture.png"
    words = ("compare", trained["tflite"], "--data", data, "--pair", "16:64", "-o", out)
    result = run(*words)
    assert result.code == 0, result.err
    assert str(out) in result.out
    assert read(out).size[0] > 500
    first = out.read_bytes()
    assert_refused(run(*words), "picture.png", "--overwrite")
    alone = data / "test" / "test0.png"  # the film that was taken from the folder
    result = run("compare", trained["tflite"], "--data", alone, "--pair", "16:64", "-o", out,
                 "--overwrite")  # fmt: skip
    assert result.code == 0, result.err
    assert out.read_bytes() == first


def test_compare_draws_a_phantom_without_films(run, trained, tmp_path):
    result = run("compare", trained["tflite"], "--pair", "16:64", "-o", tmp_path / "out.png")
    assert result.code == 0, result.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".png"] == ["out.png"]


def test_compare_says_why_no_film_can_be_used(run, trained, tmp_path):
    data = save_split(tmp_path / "films", test=1)
    result = run("compare", trained["tflite"], "--data", data, "--pair", "32:128",
                 "-o", tmp_path / "out.png")  # fmt: skip
    assert_refused(result, "No film can be used for 32:128", "64")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("nowhere", ("--data must be a film or a folder of films", "nowhere")),
        ("nowhere/film.png", ("No such path", "film.png")),
        ("empty", ("No films in", "empty", "it is empty")),
        ("notes", ("No films in", "notes", "text")),
    ],
)
def test_compare_says_what_is_wrong_with_data(run, trained, tmp_path, data, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "film.txt").write_text("notes")
    result = run("compare", trained["tflite"], "--data", tmp_path / data, "-o",
                 tmp_path / "out.png")  # fmt: skip
    assert_refused(result, *words)
    assert not (tmp_path / "out.png").exists()


def test_evaluate_keeps_earlier_scores(run, trained, tmp_path, monkeypatch):
    data = save_split(tmp_path / "films", test=1)
    monkeypatch.chdir(tmp_path)
    Path("generator-films-test-16-64.json").write_text("kept")
    words = ("evaluate", trained["tflite"], "--data", "films", "--pair", "16:64")
    assert_refused(run(*words), "generator-films-test-16-64.json", "exists", "--overwrite")
    assert Path("generator-films-test-16-64.json").read_text() == "kept"
    result = run(*words, "--overwrite", "--markdown")
    assert result.code == 0, result.err
    assert "| method | PSNR dB |" in result.out
    assert json.loads(Path("generator-films-test-16-64.json").read_text())["n"] == 1
    assert data.is_dir()
    result = run("evaluate", trained["tflite"], "--data", "films", "--pair", "12:48")
    assert result.code == 0, result.err
    assert json.loads(Path("generator-films-test-12-48.json").read_text())["pair"] == "12:48"


def test_evaluate_matrix_prints_a_table_and_writes_scores_and_a_heat_map(
    run, trained, tmp_path, monkeypatch
):
    data = spoil(save_split(tmp_path / "films", test=2) / "test").parent
    monkeypatch.chdir(tmp_path)
    words = ("evaluate", trained["tflite"], "--data", data, "--pair", "16:64", "--matrix")
    result = run(*words)
    assert result.code == 0, result.err
    for text in ("16:64: 2 films of 2 patients, HR 64x64", "Lanczos + JPEG 75", "generator"):
        assert text in result.out
    scores, picture = (Path(f"generator-films-test-16-64-matrix.{end}") for end in ("json", "png"))
    assert str(scores) in result.err and str(picture) in result.err
    content = json.loads(scores.read_text())
    assert (content["n"], len(content["rows"]), len(content["skipped"])) == (2, 13, 3)
    gains = [
        film["scores"]["inverted film"]["generator"] - film["scores"]["inverted film"]["Lanczos"]
        for film in content["films"]
    ]
    mean = content["rows"]["inverted film"]["psnr_over_lanczos"]["generator"]["mean"]
    assert mean == pytest.approx(np.mean(gains))
    assert f"{mean:+.2f}" in result.out
    assert f"skipped: {data / 'test' / 'text.png'}" in result.err
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.height > 500
    # Neither is replaced unasked, even where the other is gone.
    scores.unlink()
    kept = picture.read_bytes()
    assert_refused(run(*words), str(picture), "exists", "--overwrite")
    assert not scores.exists() and picture.read_bytes() == kept
    result = run(*words, "--overwrite", "--markdown")
    assert result.code == 0, result.err
    assert (
        f"| inverted film | {content['rows']['inverted film']['lanczos_psnr']:.2f} |" in result.out
    )
    assert scores.exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--degradation", "cr"), ("--matrix", "Leave out --degradation", "cr")),
        (("--json", "out.png"), ("--json must not end in .png", "out.png")),
    ],
)
def test_evaluate_matrix_refuses_what_it_cannot_do(
    run, trained, tmp_path, monkeypatch, more, words
):
    save_split(tmp_path / "films", test=1)
    monkeypatch.chdir(tmp_path)
    result = run("evaluate", trained["tflite"], "--data", "films", "--pair", "16:64", "--matrix",
                 *more)  # fmt: skip
    assert_refused(result, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


def test_evaluate_names_the_films_it_skips(run, trained, tmp_path):
    data, out = spoil(save_split(tmp_path / "films", test=1) / "test").parent, tmp_path / "out.json"
    save(data / "test" / "small.png", size=(63, 63))
    result = run("evaluate", trained["tflite"], "--data", data, "--pair", "16:64", "--json", out)
    assert result.code == 0, result.err
    for name in (*BAD, "small.png"):
        (line,) = (line for line in result.err.splitlines() if f"/{name}" in line)
        assert line.startswith("skipped: ")
    assert len(json.loads(out.read_text())["skipped"]) == 4


@pytest.mark.parametrize(
    ("films", "words"),
    [
        ({"pair": "32:64"}, ("enlarges x4", "32:64", "x2")),
        ({"pair": "32:128"}, ("None of 1 films", "64")),
        ({"split": "val"}, ("No val films",)),
        ({"split": "best"}, ("--split must be train, val, test or all", "best")),
        ({"json": "file/below.json"}, ("file",)),
        ({"data": "nowhere"}, ("existing folder", "nowhere")),
    ],
)
def test_evaluate_refuses_mistakes(run, trained, tmp_path, monkeypatch, films, words):
    save_split(tmp_path / "films", test=1)
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("kept")
    given = {"data": "films", "pair": "16:64", "json": "out.json"} | films
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    assert_refused(run("evaluate", trained["tflite"], *options), *words)
    assert not Path("out.json").exists()
    assert Path("file").read_text() == "kept"


# export


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("tflite", "g.tflite"),
        pytest.param("saved_model", "sm", marks=pytest.mark.slow),
        pytest.param("onnx", "g.onnx", marks=pytest.mark.slow),
    ],
)
def test_export_says_how_far_it_is_from_keras(run, trained, tmp_path, format, name):
    result = run("export", trained["keras"], tmp_path / name, "--format", format)
    assert result.code == 0, result.err
    path = tmp_path / name
    path = path / "generator" / "1" if format == "saved_model" else path
    assert result.out.startswith(f"{path}: differs from Keras by ")
    assert "PSNR +0.000 dB (8 phantoms, 8:32)" in result.out
    assert load(path).scale == 4


def test_export_in_int8_on_films_of_ones_own(run, trained, tmp_path):
    data = save_split(tmp_path / "data", train=2, test=2)
    out = tmp_path / "g.tflite"
    words = ("export", trained["keras"], out, "--format", "tflite", "--precision", "int8")
    assert_refused(run(*words), "name a folder of them as films")
    result = run(*words, "--films", data, "--pair", "16:64", "--max-psnr-loss", 20)
    assert result.code == 0, result.err
    assert "(2 films of data, 16:64)" in result.out
    assert load(out).spec.export["precision"] == "int8"
    result = run(*words, "--films", data, "--max-psnr-loss", "-9", "--overwrite")
    assert_refused(result, "int8 tflite export", "was not written", "--max-psnr-loss")


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [
        ("file", "saved_model", ("file", "a folder of served models")),
        ("file/below", "saved_model", ("Cannot create the folder", "file")),
        ("out.tflite", "saved_model", ("a folder of served models",)),
        ("out", "h5", ("format must be one of", "h5")),
    ],
)
def test_export_refuses_mistakes(run, trained, tmp_path, name, format, words):
    (tmp_path / "file").write_text("kept")
    assert_refused(run("export", trained["keras"], tmp_path / name, "--format", format), *words)
    assert listing(tmp_path) == ["file"]


def test_an_export_that_is_off_is_refused_in_one_line(run, trained, tmp_path, monkeypatch):
    off = {"difference": 2e-5, "psnr_change": 0.0, "pair": "8:32", "source": "8 phantoms"}
    monkeypatch.setattr("xraysr.export.writer.measure", lambda *_, exact: off)
    result = run("export", trained["keras"], tmp_path / "g.tflite", "--format", "tflite")
    assert_refused(result, "differs from Keras by 2e-05", "was not written")
    assert listing(tmp_path) == []


# phantom


def test_phantom_writes_films(run, tmp_path):
    words = ("phantom", tmp_path / "out", "--count", 2, "--size", 64)
    assert run(*words).code == 0
    assert listing(tmp_path / "out") == ["phantom_0000.png", "phantom_0001.png", "phantoms.json"]
    assert_refused(run(*words), "phantoms.json exists")
    assert run(*words, "--overwrite").code == 0


@pytest.mark.parametrize(("options", "word"), [(("--count", 0), "count"), (("--size", 8), "size")])
def test_phantom_refuses_mistakes(run, tmp_path, options, word):
    assert_refused(run("phantom", tmp_path / "out", *options), word)
    assert not list(tmp_path.rglob("*.*"))


def test_phantom_to_where_nothing_can_be_written(run, tmp_path):
    (tmp_path / "file").write_text("kept")
    result = run("phantom", tmp_path / "file" / "out", "--count", 1, "--size", 64)
    assert_refused(result, str(tmp_path / "file"))


# demo


def test_demo_to_where_nothing_can_be_written(run, tmp_path):
    data = save_split(tmp_path / "films", train=2, val=1, test=1)
    for name in ("file", "thesis/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("kept")
    before = listing(tmp_path)
    for out, word in (("file", "file"), ("file/below", "file"), ("thesis", "not from a demo")):
        words = ("demo", "--data", data, "--pair", "16:64", "--out", tmp_path / out)
        assert_refused(run(*words, "--overwrite"), word)
        assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "target", "said"),
    [
        ("prepare films out --pair 16:64", "xraysr.data.prepare.prepare", "same command goes on"),
        ("train --data films --out out", "xraysr.training.train", "Nothing was trained"),
        ("demo", "xraysr.demo.demo", "again with --overwrite"),
    ],
)
def test_ctrl_c_says_how_to_go_on(run, monkeypatch, command, target, said):
    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    module, name = target.rsplit(".", 1)
    monkeypatch.setattr(import_module(module), name, interrupted)
    result = run(*command.split())
    assert result.code == 130
    assert said in result.err
    assert "Traceback" not in result.err


# train

SMALL = ("--pair", "16:64", "--depth", 1, "--width", 8, "--crop", 8, "--batch", 2)


@pytest.mark.parametrize("out", ["file", "file/below", "full"])
def test_train_to_where_nothing_can_be_written(run, tmp_path, out):
    data = save_split(tmp_path / "films", train=2, val=1)
    (tmp_path / "full").mkdir()
    for name in ("file", "full/thesis.txt"):
        (tmp_path / name).write_text("kept")
    before = listing(tmp_path)
    for more in ((), ("--overwrite",)):
        result = run("train", "--data", data, "--out", tmp_path / out, *SMALL, *more)
        assert_refused(result, str(tmp_path / out.split("/")[0]))
        assert listing(tmp_path) == before
    assert (tmp_path / "full" / "thesis.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("films", "words"),
    [
        ("none", ("No films under", "empty")),
        ("text", ("No films under", "text, which is not read")),
        ("one patient", ("Only one patient", "00000001")),
        ("no val", ("No val films",)),
        ("missing", ("existing folder",)),
    ],
)
def test_train_refuses_data_it_cannot_use(run, tmp_path, films, words):
    folder = tmp_path / "films"
    if films != "missing":
        folder.mkdir()
    if films == "text":
        (folder / "notes.txt").write_text("notes")
    if films == "one patient":
        save(folder / "00000001_000.png")
    if films == "no val":
        save_split(folder, train=1)
    assert_refused(run("train", "--data", folder, "--out", tmp_path / "run", *SMALL), *words)
    assert not (tmp_path / "run").exists()


def test_train_on_films_smaller_than_hr(run, tmp_path):
    data = save_split(tmp_path / "films", train=2, val=1)
    words = ("train", "--data", data, "--out", tmp_path / "run", "--pair", "64:256")
    assert_refused(run(*words), "None of 2 films", "64:256")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_train_with_a_preset_takes_its_settings_and_those_of_the_command_line(run, tmp_path):
    data = save_split(tmp_path / "films", train=2, val=1)
    words = ("--preset", "edge", "--depth", 2, "--pair", "16:64", "--mix", "12:48", "--mix", "8:32",
             "--crop", 8, "--batch", 2, "--steps", 1)  # fmt: skip
    result = run("train", "--data", data, "--out", tmp_path / "first", *words)
    assert result.code == 0, result.err
    config = json.loads((tmp_path / "first" / "config.json").read_text())
    assert (config["generator"], config["depth"], config["width"]) == ("edge", 2, 32)
    assert config["mix"] == ["12:48", "8:32"]
    result = run("train", "--data", data, "--out", tmp_path / "second", *words,
                 "--init", tmp_path / "first")  # fmt: skip
    assert result.code == 0, result.err
    assert_refused(
        run("train", "--data", data, "--out", tmp_path / "third", "--preset", "huge"),
        "edge, base, gan", "huge",
    )  # fmt: skip
    assert_refused(
        run("train", "--resume", "--out", tmp_path / "second", "--preset", "edge"), "--preset"
    )


def test_train_without_films_says_which_option_is_missing(run, tmp_path):
    assert_refused(run("train", "--out", tmp_path / "run"), "--data is missing")


def test_settings_beside_resume_are_refused_by_name(run, tmp_path):
    words = ("train", "--resume", "--out", tmp_path / "run")
    more = ("--batch", 4, "--no-flips", "--adversarial-share", 0.5, "--overwrite")
    assert_refused(
        run(*words, *more), "leave out", "--batch", "--flips", "--adversarial-share", "--overwrite"
    )
    assert_refused(run(*words), "No run in", str(tmp_path / "run"))


@pytest.mark.slow
def test_ctrl_c_in_training_says_how_to_go_on_and_that_works(run, tmp_path):
    data, out = save_split(tmp_path / "films", train=4, val=1), tmp_path / "run"
    length = ("--steps", 40, "--validate-every", 5)
    words = map(str, ["train", "--data", data, "--out", out, *SMALL, *length])
    process = subprocess.Popen(
        [*MAIN, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("step 5: val PSNR"):
            process.send_signal(signal.SIGINT)
            break
    _, rest = process.communicate(timeout=120)
    said.append(rest)
    assert process.returncode == 130, said
    assert "Traceback" not in "".join(said)
    last = rest.splitlines()[-1]
    assert last.startswith("SIGINT: stopped at step ")
    assert f"Go on with: xraysr train --resume --out {out}" in last
    stopped = int(last.split()[4].rstrip(";"))
    assert 5 <= stopped < 40
    assert not (out / "generator.keras").exists()
    assert not [path for path in listing(out) if Path(path).name.startswith(".")]
    records = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(record)["step"] for record in records if "val_psnr" in record] == [
        *range(0, stopped + 1, 5)
    ]

    assert_refused(run("upscale", out, data, "-o", tmp_path / "sr"), "not finished", "resume")
    result = run("train", "--resume", "--out", out)
    assert result.code == 0, result.err
    assert str(out / "generator.keras") in result.out
    assert load(out).scale == 4
    after = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in after if "val_psnr" in r] == [*range(0, 41, 5)]
    assert_refused(run("train", "--resume", "--out", out), "finished", "nothing to resume")
    assert_refused(run("train", "--data", data, "--out", out, *SMALL), "exists", "--overwrite")
    assert (out / "generator.keras").is_file()
