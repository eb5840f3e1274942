"""What belongs to an extra is missed in a sentence that says what to install."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from xraysr.errors import UserError, needs


def test_a_missing_package_is_named_with_what_brings_it():
    with (
        pytest.raises(UserError, match=r"^A test needs no_such_package, .*pip install 'x\[y\]'$"),
        needs("A test", "x[y]"),
    ):
        import_module("no_such_package")


def test_other_errors_pass_through():
    with pytest.raises(ZeroDivisionError), needs("A test", "x"):
        _ = 1 / 0


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("xraysr.data.tfds_builder", "tensorflow_datasets", "tfds"),
        ("xraysr.testing", "tensorflow_serving", "serving"),
        ("xraysr.testing", "grpc", "serving"),
    ],
)
def test_a_module_of_an_extra_says_which(monkeypatch, module, package, extra):
    for name in list(sys.modules):
        if f"{name}.".startswith((f"{module}.", f"{package}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"needs {package}.*pip install 'xraysr\[{extra}\]'"):
        import_module(module)
