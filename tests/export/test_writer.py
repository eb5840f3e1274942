from __future__ import annotations

import json
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.evaluation.evaluate import evaluate
from xraysr.export import FORMATS, ParityError, export_model
from xraysr.export.check import measure, phantom_pixels
from xraysr.export.converters import write_tflite
from xraysr.export.writer import TOLERANCE, WRITERS
from xraysr.films.index import index_films
from xraysr.lanczos import degrade, resize
from xraysr.models import EdgeGenerator, SRResNet, open_model
from xraysr.models.open import load_generator, save_generator
from xraysr.pair import Pair
from xraysr.phantom.film import make_phantom, write_phantoms
from xraysr.spec import ModelSpec
from xraysr.upscale import load

# The quick tests convert to TFLite alone; the other formats take the same way and more time.
EACH_FORMAT = [
    each if each == "tflite" else pytest.param(each, marks=pytest.mark.slow) for each in FORMATS
]

NAMES = {"saved_model": "models", "tflite": "model.tflite", "onnx": "model.onnx"}
WRITTEN = {
    "saved_model": ["generator"],
    "tflite": ["model.tflite", "model.tflite.spec.json"],
    "onnx": ["model.onnx", "model.onnx.spec.json"],
}


def listing(folder: Path) -> list[str]:
    """Names in `folder`, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def content(path: Path) -> dict[str, bytes]:
    """Every file of an artefact."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {str(p.relative_to(path.parent)): p.read_bytes() for p in files}


def identity(spec: ModelSpec) -> tuple[Any, ...]:
    """What an export takes over from the generator's card."""
    return spec.name, spec.scale, spec.receptive_radius, spec.weights_sha256, spec.training


def changed(generator: SRResNet, change) -> SRResNet:
    """A generator like another, with `change` done to its weights."""
    other = type(generator).from_config(generator.get_config())
    other.build((None, None, None, 1))
    other.set_weights([change(weight) for weight in generator.get_weights()])
    return other


def writes(format: str, change):
    """A writer of `format` whose generator had `change` done to its weights."""
    write = WRITERS[format]

    def writer(generator: SRResNet, path: Path, spec: ModelSpec, calibration) -> None:
        write(changed(generator, change), path, spec, calibration)

    return writer


@pytest.mark.parametrize("format", EACH_FORMAT)
@pytest.mark.parametrize("scale", [2, 3, 6])
def test_what_is_written_computes_what_keras_computes(tmp_path, save_model, format, scale):
    model = save_model(tmp_path / "generator.keras", scale)
    out = tmp_path / "out" / NAMES[format]
    written = export_model(model, out, format)
    assert written.checked["difference"] <= TOLERANCE
    assert abs(written.checked["psnr_change"]) < 1e-3
    assert listing(out if format == "saved_model" else out.parent) == WRITTEN[format]
    lr = np.random.default_rng(6).random((2, 13, 22, 1), dtype=np.float32)
    expected = np.asarray(load_generator(model)(lr))
    assert expected.shape == (2, 13 * scale, 22 * scale, 1)
    np.testing.assert_allclose(load(written.path)(lr), expected, atol=1e-5)


def test_a_weight_that_differs_is_noticed(trained, tmp_path):
    """Not only zeros are compared with zeros: one weight moved by 1e-3 shows in the check."""
    model = load_generator(trained["keras"])
    moved = changed(model, lambda weight: weight)
    bias = moved.tail.bias
    bias.assign(np.asarray(bias) + np.float32(1e-3))
    same = export_model(model, tmp_path / "same.tflite", "tflite")
    found = measure(moved, load(same.path), phantom_pixels(Pair.parse("8:32")), exact=True)
    assert found["difference"] > 50 * TOLERANCE > same.checked["difference"]


def own_model() -> keras.Model:
    """A user's model: plain layers, no card, not clipped."""
    lr = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(lr)
    x = keras.layers.Conv2DTranspose(1, 3, 3, kernel_initializer="he_normal")(x)
    return keras.Model(lr, keras.layers.Add()([x, keras.layers.UpSampling2D(3)(lr)]), name="mine")


@pytest.mark.parametrize(
    ("format", "saved"),
    [
        ("tflite", False),
        ("saved_model", True),
        *(pytest.param("onnx", saved, marks=pytest.mark.slow) for saved in (False, True)),
    ],
)
def test_a_model_of_ones_own_is_exported(tmp_path, format, saved):
    model = own_model()
    if saved:
        model.save(tmp_path / "mine.keras")
    target = tmp_path / "mine.keras" if saved else model
    written = export_model(target, tmp_path / "out" / NAMES[format], format)
    assert (written.spec.name, written.spec.scale) == ("mine", 3)
    assert "measured" in written.spec.training
    if format == "saved_model":
        assert written.path == tmp_path / "out" / "models" / "mine" / "1"
    image = np.random.default_rng(1).random((10, 13), dtype=np.float32)
    expected = np.clip(np.asarray(model(image[None, ..., None])), 0, 1)[0, ..., 0]
    np.testing.assert_allclose(load(written.path)(image), expected, atol=1e-5)


@pytest.fixture
def full_disk():
    """Files end after 3,000 bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_a_full_disk_ends_with_a_sentence_and_leaves_nothing(trained, tmp_path, format, request):
    model, _ = open_model(trained["keras"])
    out = tmp_path / "out" / NAMES[format]
    request.getfixturevalue("full_disk")
    with pytest.raises(UserError, match="^Cannot write .*: .+"):
        export_model(model, out, format)
    assert content(tmp_path / "out") == {}


def test_without_the_serving_extra_the_warm_up_is_left_out_and_that_is_said(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    written = export_model(trained["keras"], tmp_path, "saved_model")
    assert "pip install 'xraysr[serving]'" in written.notes[0]
    assert not (written.path / "assets.extra").exists()
    assert load(written.path).scale == 4


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_the_card_travels_and_says_what_was_exported(trained, tmp_path, format):
    written = export_model(trained["keras"], tmp_path / NAMES[format], format)
    spec = ModelSpec.load(written.path)
    assert spec == written.spec == load(written.path).spec
    assert identity(spec) == identity(ModelSpec.load(trained["keras"]))
    assert (spec.export["format"], spec.export["precision"]) == (format, "float32")
    if format != "saved_model":
        assert spec.export["psnr_change"] == written.checked["psnr_change"]
        assert (spec.export["source"], spec.export["pair"]) == ("8 phantoms", "8:32")


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_a_run_folder_stands_for_its_generator(tmp_path, save_model, format):
    model = save_model(tmp_path / "mine" / "generator.keras")
    written = export_model(model.parent, tmp_path / NAMES[format], format)
    assert identity(written.spec) == identity(ModelSpec.load(model))
    if format == "saved_model":
        assert written.path == tmp_path / "models" / "mine" / "1"


@pytest.mark.slow
def test_each_export_is_the_next_version(trained, tmp_path, save_model):
    out = tmp_path / "models"
    other = save_model(tmp_path / "other.keras", seed=1)
    assert export_model(trained["keras"], out, "saved_model").path == out / "generator" / "1"
    assert export_model(other, out, "saved_model", name="generator").path.name == "2"
    assert export_model(trained["keras"], out, "saved_model", version=7).path.name == "7"
    assert export_model(other, out, "saved_model", name="generator").path.name == "8"
    assert listing(out) == ["generator"]
    assert listing(out / "generator") == ["1", "2", "7", "8"]
    hashes = {n: load(out / "generator" / n).spec.weights_sha256 for n in ("1", "2", "7", "8")}
    assert hashes["1"] == hashes["7"] != hashes["2"] == hashes["8"]
    assert load(out / "generator").spec.weights_sha256 == hashes["8"]


@pytest.mark.parametrize("format", EACH_FORMAT)
@pytest.mark.parametrize(
    "change", [lambda w: w + np.float32(1e-3), lambda w: w * np.float32("nan")], ids=["off", "nan"]
)
def test_an_artefact_that_computes_something_else_is_not_kept(
    trained, tmp_path, monkeypatch, format, change
):
    monkeypatch.setitem(WRITERS, format, writes(format, change))
    words = rf"{format} export of .*differs from Keras by|gave pixels that are not numbers"
    with pytest.raises((ParityError, UserError), match=words):
        export_model(trained["keras"], tmp_path / "out" / NAMES[format], format)
    assert content(tmp_path / "out") == {}


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_a_failed_export_leaves_the_earlier_one(trained, tmp_path, monkeypatch, format):
    out = tmp_path / NAMES[format]
    version = 1 if format == "saved_model" else None
    export_model(trained["keras"], out, format, version=version)
    before = content(tmp_path)
    monkeypatch.setitem(WRITERS, format, writes(format, lambda w: w + np.float32(1e-3)))
    with pytest.raises(ParityError):
        export_model(trained["keras"], out, format, version=version, overwrite=True)
    assert content(tmp_path) == before


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_a_writer_that_stops_half_way_leaves_nothing(trained, tmp_path, monkeypatch, format):
    def writer(generator: SRResNet, path: Path, spec: ModelSpec, calibration) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(WRITERS, format, writer)
    with pytest.raises(KeyboardInterrupt):
        export_model(trained["keras"], tmp_path / "out" / NAMES[format], format)
    assert content(tmp_path / "out") == {}


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_an_existing_export_is_replaced_only_when_told(trained, tmp_path, save_model, format):
    out = tmp_path / "out" / NAMES[format]
    version = {"name": "m", "version": 3} if format == "saved_model" else {}
    path = export_model(trained["keras"], out, format, **version).path
    other = save_model(tmp_path / "other.keras", seed=1)
    before = content(path)
    with pytest.raises(UserError, match=f"{path} exists. Pass overwrite=True"):
        export_model(other, out, format, **version)
    assert content(path) == before
    if path.is_dir():
        (path / "left_over").touch()
    export_model(other, out, format, overwrite=True, **version)
    assert load(path).spec.weights_sha256 == ModelSpec.load(other).weights_sha256
    assert not (path / "left_over").exists()
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_what_is_no_export_is_never_replaced(trained, tmp_path, format):
    out = tmp_path / NAMES[format]
    path = out / "generator" / "1" if format == "saved_model" else out
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text("kept")
    before = content(tmp_path)
    version = 1 if format == "saved_model" else None
    with pytest.raises(UserError, match=f"is not a {format} export; it is not overwritten"):
        export_model(trained["keras"], out, format, version=version, overwrite=True)
    assert content(tmp_path) == before


@pytest.mark.slow
def test_exports_lie_beside_the_generator_and_each_other(tmp_path, save_model):
    model = save_model(tmp_path / "model.keras")
    before = content(tmp_path)
    for format in ("tflite", "onnx"):
        export_model(model, tmp_path / NAMES[format], format)
    assert before.items() <= content(tmp_path).items()
    specs = [
        load(path).spec for path in (model, tmp_path / "model.tflite", tmp_path / "model.onnx")
    ]
    assert [spec.export.get("format") for spec in specs] == [None, "tflite", "onnx"]


def test_a_card_of_other_weights_does_not_travel(trained, tmp_path, save_model):
    model = save_model(tmp_path / "model.keras", seed=1)
    shutil.copy(trained["keras"], model)
    with pytest.raises(UserError, match="does not hold the weights its card names"):
        export_model(model, tmp_path / "out", "saved_model")
    assert not (tmp_path / "out").exists()


def test_a_card_of_another_scale_does_not_travel(trained, tmp_path):
    model = Path(shutil.copy(trained["keras"], tmp_path / "model.keras"))
    card = json.loads(trained["keras"].with_suffix(".spec.json").read_text())
    (tmp_path / "model.spec.json").write_text(json.dumps({**card, "scale": 2}))
    with pytest.raises(UserError, match="does not fit its card: expected x2"):
        export_model(model, tmp_path / "out", "saved_model")
    assert listing(tmp_path) == ["model.keras", "model.spec.json"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory) -> Path:
    """An edge generator that is not plain Lanczos."""
    generator = EdgeGenerator(2, depth=1, width=16)  # large enough to be quantised
    generator.build((None, None, None, 1))
    noise = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("edge") / "edge.keras"
    save_generator(
        changed(generator, lambda w: w + noise.normal(0, 0.03, w.shape).astype(np.float32)), path
    )
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Films in train and test folders, one of them too small."""
    root = tmp_path_factory.mktemp("films")
    write_phantoms(root / "train", 4, size=128, seed=0)
    write_phantoms(root / "test", 3, size=128, seed=10)
    write_phantoms(root / "test", 1, size=64, seed=20)  # too small for 64:128
    return root


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
def test_a_quantised_file_says_what_it_loses(edge, films, tmp_path, precision):
    out = tmp_path / "edge.tflite"
    written = export_model(
        edge, out, "tflite", precision=precision, films=films, pair="64:128", max_psnr_loss=3
    )
    spec = load(out).spec
    assert spec.export == {"format": "tflite", "precision": precision, **written.checked}
    assert (spec.export["source"], spec.export["pair"]) == (f"3 films of {films.name}", "64:128")
    assert len(written.skipped) == 1 and "phantom_0020" in written.skipped[0]
    # What is said is what an independent look finds.
    report = evaluate(
        {"keras": load(edge), "out": load(out)}, index_films(films).of("test"), "64:128"
    )
    means = [report.interval(name, "psnr").mean for name in ("out", "keras")]
    assert spec.export["psnr_change"] == pytest.approx(means[0] - means[1], abs=1e-6)
    assert spec.export["difference"] > TOLERANCE


def test_a_loss_beyond_the_limit_is_refused(edge, films, tmp_path):
    words = {"precision": "int8", "films": films, "pair": "64:128"}
    with pytest.raises(ParityError, match=r"int8 tflite export .* loses .* dB against Keras"):
        export_model(edge, tmp_path / "e.tflite", "tflite", max_psnr_loss=-9.0, **words)
    assert listing(tmp_path) == []
    export_model(edge, tmp_path / "e.tflite", "tflite", max_psnr_loss=3, **words)


@pytest.mark.parametrize(
    ("precision", "limit"), [("float16", 0.1), ("dynamic", 0.1), ("int8", 0.5)]
)
def test_the_limits_without_a_word(edge, films, tmp_path, monkeypatch, precision, limit):
    """A loss just above the documented limit is refused, one just below is kept."""
    write_tflite(load_generator(edge), tmp_path / "ready.tflite")

    def write(generator, path: Path, spec: ModelSpec, calibration) -> None:
        shutil.copy(tmp_path / "ready.tflite", path)
        spec.save(path)

    monkeypatch.setitem(WRITERS, "tflite", write)
    for loss, kept in ((limit + 0.01, False), (limit - 0.01, True), (float("nan"), False)):
        monkeypatch.setattr(
            "xraysr.export.writer.measure",
            lambda *_, exact, loss=loss: {
                "difference": 0.1, "psnr_change": -loss, "pair": "64:128", "source": "3 films"
            },
        )  # fmt: skip
        out = tmp_path / f"{loss}.tflite"
        words = {"precision": precision, "films": films, "pair": "64:128"}
        if kept:
            export_model(edge, out, "tflite", **words)
        else:
            with pytest.raises(ParityError):
                export_model(edge, out, "tflite", **words)
        assert out.exists() == kept


@pytest.mark.parametrize(
    ("format", "name", "words", "message"),
    [
        ("h5", "model.h5", {}, "format must be one of saved_model, tflite, onnx. Received: h5"),
        ("tflite", "model", {}, "a file ending in .tflite. Received: .*model"),
        ("onnx", "model.tflite", {}, "a file ending in .onnx"),
        ("saved_model", "model.tflite", {}, "a folder of served models"),
        ("saved_model", "file", {}, "a folder of served models"),
        ("saved_model", "file/model", {}, "Cannot create the folder .*file"),
        ("tflite", "file/below/model.tflite", {}, "Cannot create the folder .*file"),
        ("saved_model", "out", {"name": "my model"}, "Pass another name.*'my model'"),
        ("saved_model", "out", {"name": "../up"}, "Pass another name"),
        ("saved_model", "out", {"version": 0}, "a number from 1. Received: 0"),
        ("tflite", "m.tflite", {"precision": "int4"}, "must be one of float32.*Received: int4"),
        ("tflite", "m.tflite", {"precision": "int8"}, "name a folder of them as films"),
        ("onnx", "m.onnx", {"precision": "float16"}, "is for tflite. Received: format onnx"),
        ("tflite", "m.tflite", {"max_psnr_loss": 0.1}, "is for quantised exports"),
        ("tflite", "m.tflite", {"faithful": True, "precision": "float16"}, "is in float32"),
        ("tflite", "m.tflite", {"pair": "8:16"}, "enlarges x4. Received: pair 8:16"),
        ("tflite", "m.tflite", {"films": "nowhere"}, "existing folder. Received: nowhere"),
    ],
)
def test_mistakes_are_refused(trained, tmp_path, format, name, words, message):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match=message):
        export_model(trained["keras"], tmp_path / name, format, **words)
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("format", EACH_FORMAT)
def test_a_faithful_export_does_not_contradict_the_film(trained, tmp_path, format):
    written = export_model(trained["keras"], tmp_path / NAMES[format], format, faithful=True)
    assert written.spec.export["faithful"] is True
    made = make_phantom(5, 96)
    lr = degrade(made.pixels / (2**made.bits - 1), (24, 24), 8).astype(np.float32)
    plain, faithful = load(trained["keras"])(lr), load(written.path)(lr)
    assert np.abs(np.clip(resize(plain, lr.shape), 0, 1) - lr).max() > 0.5 / 255
    assert np.abs(np.clip(resize(faithful, lr.shape), 0, 1) - lr).max() < 0.5 / 255
    radius = ModelSpec.load(trained["keras"]).receptive_radius
    assert load(written.path).spec.receptive_radius > radius


@pytest.mark.parametrize("extra", ["tf2onnx", "onnxruntime"])
def test_onnx_without_its_extra_says_what_to_install(trained, tmp_path, monkeypatch, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(UserError, match=r"pip install 'xraysr\[onnx\]'"):
        export_model(trained["keras"], tmp_path / "model.onnx", "onnx")
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", ["nowhere.keras", "folder", "text.keras"])
def test_an_unknown_model_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(UserError, match=name):
        export_model(tmp_path / name, tmp_path / "out", "saved_model")
    assert not (tmp_path / "out").exists()
