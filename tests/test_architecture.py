"""The plan of the house: who may import whom, what an import costs, how large a module gets."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import xraysr

PACKAGE = Path(xraysr.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 300

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
IMPORTS = """
import json, sys
def loaded():
    return [name for name in ("tensorflow", "keras", "matplotlib", "pydicom", "tensorflow_datasets")
            if name in sys.modules]
import xraysr
first = loaded()
import xraysr.upscale.edge
xraysr.load, xraysr.Upscaler, xraysr.Pair, xraysr.Radiograph
print(json.dumps([first, loaded()]))
"""


def test_imports_point_one_way():
    result = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_every_room_stands_in_the_plan():
    """A module that no layer names would be free to import anything."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in settings["contracts"] if each["type"] == "layers")
    named = {name.strip() for layer in layers for name in layer.split("|")}
    rooms = {
        f"xraysr.{path.stem}"
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms - {"xraysr.__init__"} == named


def test_imports_are_light():
    result = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    at_the_top, at_the_edge = json.loads(result.stdout)
    assert at_the_top == []
    assert not {"tensorflow", "keras", "matplotlib"} & set(at_the_edge)


@pytest.mark.parametrize("name", xraysr.__all__)
def test_every_public_name_is_a_class_or_function_with_a_docstring(name):
    thing = getattr(xraysr, name)
    assert callable(thing), "a module of the same name must not stand in front of it"
    assert thing.__name__ == name
    assert thing.__doc__
    assert name in dir(xraysr)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'xraysr' has no attribute 'nonsense'"):
        _ = xraysr.nonsense


def test_version_is_the_installed_one():
    from importlib.metadata import version

    from xraysr.version import __version__

    assert xraysr.__version__ == version("xraysr") == __version__


def lines_of_code(source: str) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    tree = ast.parse(source)
    prose = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose.update(range(node.lineno, node.end_lineno + 1))
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in prose
        for number, line in enumerate(source.splitlines(), 1)
    )


def test_lines_of_code_are_counted_right():
    assert lines_of_code('"""A\n\nB"""\n\n# c\nx = 1  # d\n\ndef f():\n    """E."""\n    x\n') == 3


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_is_too_long(path):
    assert lines_of_code(path.read_text("utf-8")) <= MAX_LINES
