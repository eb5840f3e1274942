"""environment.json says what a run depends on, and what changed when it was resumed."""

import json
import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version

import pytest
import tensorflow as tf

from xraysr.films.index import index_films
from xraysr.training import environment as module
from xraysr.training.environment import environment, resumed


@pytest.fixture
def films(film_folder):
    return index_films(film_folder).films


def sha256(films) -> str:
    return environment(tf.distribute.get_strategy(), films, 0)["data_sha256"]


def test_it_names_versions_devices_data_and_seed_as_json(films):
    content = environment(tf.distribute.get_strategy(), films, 7)
    assert json.loads(json.dumps(content)) == content
    assert content["packages"]["tensorflow"] == tf.__version__
    assert content["packages"]["keras"] == version("keras")
    assert content["python"].startswith("3.")
    assert any("CPU" in device for device in content["devices"])
    assert content["replicas"] == 1
    assert content["seed"] == 7
    assert len(content["data_sha256"]) == 64


def test_the_hash_of_the_data_follows_the_films_and_not_their_folder(film_folder, films, tmp_path):
    moved = index_films(shutil.copytree(film_folder, tmp_path / "moved")).films
    assert sha256(films) == sha256(tuple(reversed(films))) == sha256(moved)
    assert sha256(films[1:]) != sha256(films)
    assert sha256((replace(films[0], split="other"), *films[1:])) != sha256(films)
    with moved[0].path.open("ab") as file:
        file.write(b"x")
    assert sha256(moved) != sha256(films)


def test_the_commit_is_that_of_the_source_tree_and_of_no_other(tmp_path, monkeypatch):
    def git(*arguments):
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    source = tmp_path / "environment.py"
    source.write_text("one")
    monkeypatch.setattr(module, "__file__", str(source))
    git("init")
    (tmp_path / ".gitignore").write_text("environment.py")
    git("add", ".gitignore")
    git("commit", "-m", "a project the package is installed in")
    assert module._commit() is None
    git("add", "-f", "environment.py")
    git("commit", "-m", "the package's own tree")
    assert module._commit() == git("rev-parse", "HEAD")
    source.write_text("two")
    assert module._commit() == git("rev-parse", "HEAD") + "-dirty"
    monkeypatch.setenv("PATH", "")
    assert module._commit() is None


def test_a_resumed_run_keeps_its_first_environment_and_notes_what_differs():
    before = {"python": "3.11.7", "seed": 0}
    assert resumed(before, dict(before)) == before
    once = resumed(before, {"python": "3.12.0", "seed": 0})
    assert once == {**before, "resumed": [{"python": "3.12.0"}]}
    assert resumed(once, {"python": "3.13.0", "seed": 0})["resumed"] == [
        {"python": "3.12.0"}, {"python": "3.13.0"},
    ]  # fmt: skip
