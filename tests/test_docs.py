"""README is short, its commands and links are real, and the site leaves nothing public out."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
import yaml

import xraysr
from xraysr.cli import app
from xraysr.presets import names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
COMMANDS = typer.main.get_command(app).commands
# Pages by hand; the kits' READMEs have tests of their own.
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "recipes" / "README.md"])
MADE = re.compile(r"(index|changelog|contributing|security|tutorials/.*|kits/.*|presets/.*)\.md")

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.S | re.M)


def command_lines(page: Path, text: bool = True) -> list[list[str]]:
    """Every `xraysr ...` in the page's shell blocks, and in its text, as words."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith("xraysr ")]
    if text:
        found += re.findall(r"`(xraysr [a-z][^`]*)`", prose(page))
    return [shlex.split(line, comments=True)[1:] for line in found]


def options(*names: str) -> set[str]:
    """Options of these commands."""
    params = [param for name in names for param in COMMANDS[name].params]
    return {word for param in params for word in (*param.opts, *param.secondary_opts)}


def test_readme_is_short():
    assert len(README.read_bytes()) <= 7 * 1024


@by_name
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", prose(page)):
        path = (page.parent / target).resolve()
        made = path.is_relative_to(DOCS) and MADE.fullmatch(path.relative_to(DOCS).as_posix())
        assert "://" in target or path.exists() or made, f"{page.name} links to {target}"


@by_name
def test_commands_and_their_options_are_real(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it also names commands of the past")
    for name, *words in command_lines(page):
        assert name in COMMANDS
        given = {word for word in words if re.match("--?[a-z]", word)}
        assert given <= options(name) | {"--help"}, name


@by_name
def test_commands_in_blocks_are_whole(page):
    """As far as the command line looks before it does something."""
    for name, *words in command_lines(page, text=False):
        COMMANDS[name].make_context(name, [word for word in words if word != "..."])


@by_name
def test_python_blocks_are_python_and_use_public_names(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")
        for name in re.findall(r"\bxraysr\.([A-Za-z_]\w*)\b(?!\.)", block):
            assert name in xraysr.__all__ or name in {"training"}, name


@by_name
def test_options_named_in_the_text_exist(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it also names options of the past")
    named = {line.split()[0] for line in re.findall(r"`(--[a-z][^`]*)`", prose(page))}
    assert named <= options(*COMMANDS) | {"--write", "--native"}  # those of benchmarks


@pytest.mark.slow
def test_the_page_on_own_parts_runs(tmp_path):
    """A generator of twenty lines, a loss, a degradation and a callback train and are loaded."""
    from xraysr.phantom.film import write_phantoms

    for split, count, first in (("train", 6, 0), ("val", 2, 6), ("test", 1, 8)):
        write_phantoms(tmp_path / "films" / split, count, size=128, seed=first)
    (block,) = (each for each in blocks(DOCS / "howto" / "parts.md", "python") if "OUT" in each)
    names = {"STEPS": 4, "FILMS": tmp_path / "films", "OUT": tmp_path / "run"}
    exec(compile(block, "parts.md", "exec"), names)
    assert names["upscaler"].spec.scale == 4
    assert "antialias" not in names["upscaler"].spec.degradation


@pytest.mark.slow
def test_the_page_on_detectors_runs(tmp_path, monkeypatch):
    """From the data sheet to a phantom, a run, its scores, and pairs on disk."""
    from xraysr.phantom.film import write_phantoms

    monkeypatch.chdir(tmp_path)
    for split, count, first in (("train", 4, 0), ("val", 2, 4), ("test", 1, 6)):
        write_phantoms(Path("films") / split, count, size=256, seed=first)
    code = "\n".join(blocks(DOCS / "howto" / "degradation.md", "python"))
    names: dict = {}
    short = code.replace("minutes=60", "steps=2, batch=2").replace("(0, 512,", "(0, 128,")
    exec(compile(short, "degradation.md", "exec"), names)
    text = names["detector"].text
    assert names["run"].generator.exists() and text.startswith("box of fill 0.82")
    manifest = json.loads((tmp_path / "pairs" / "manifest.json").read_text())
    assert manifest["settings"]["degradation"] == text


def test_every_public_name_is_in_the_reference():
    text = (DOCS / "reference" / "python.md").read_text("utf-8")
    assert sorted(re.findall(r"^::: xraysr\.(\w+)$", text, re.M)) == xraysr.__all__


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_and_its_options_do(name):
    """The page of commands is made from these words."""
    command = COMMANDS[name]
    assert command.help and command.help.strip()
    silent = [p.name for p in command.params if p.param_type_name == "option" and not p.help]
    assert silent == []


def test_every_page_stands_in_the_navigation_once():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")

    def leaves(node):
        if isinstance(node, str):
            return [node]
        children = node if isinstance(node, list) else node.values()
        return [leaf for child in children for leaf in leaves(child)]

    pages = leaves(yaml.safe_load(text)["nav"])
    assert len(pages) == len(set(pages))
    by_hand = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert by_hand <= set(pages)
    assert all(MADE.fullmatch(page) for page in set(pages) - by_hand)


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_command_setting_and_preset(hooks):
    commands = hooks.on_page_markdown("<!-- commands -->")
    for name, command in COMMANDS.items():
        assert f"\n## xraysr {name}\n" in f"\n{commands}"
        assert all(param.opts[-1].upper() in commands.upper() for param in command.params)
    settings = hooks.on_page_markdown("<!-- settings -->")
    assert all(f"| `{each.name}` |" in settings for each in fields(xraysr.TrainConfig))
    navigation = {"nav": [{"Presets": ["presets.md"]}]}
    hooks.on_config(SimpleNamespace(**navigation))
    assert navigation["nav"][0]["Presets"][1:] == [f"presets/{name}.md" for name in names()]


def test_links_of_readme_lead_to_pages_of_the_site(hooks):
    index = hooks._relinked("index.md", "README.md")
    targets = set(re.findall(r"\]\(([^)#:]+)", index))
    assert {"howto/films.md", "tutorials/01_quickstart.md", "changelog.md"} <= targets
    assert all((DOCS / each).exists() or MADE.fullmatch(each) for each in targets)
    assert "](../tutorials/" not in index


def test_a_public_name_is_documented_where_it_is_defined(hooks):
    text = hooks.on_page_markdown("a\n\n::: xraysr.Pair\n")
    assert "::: xraysr.pair.Pair\n    options: {heading: xraysr.Pair}" in text


def test_the_site_fetches_nothing():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in settings
    assert not re.search(r"https?://", settings)
