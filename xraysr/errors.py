"""The ways in which a user's input, or what it names, can be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """An argument or a path the user can mend; the command line prints it without a traceback.

    The message names the argument, what was expected and what came.
    """


class BadImageError(UserError):
    """One file cannot be used; long runs skip it by name and go on."""


class ServerError(UserError):
    """A server of models is down or slow, or answers what no model of xraysr does."""


@contextmanager
def needs(what: str, install: str) -> Iterator[None]:
    """Around imports: a package that is missing becomes a `UserError` that says what to install.

    Args:
        what: What needs it, the beginning of a sentence.
        install: What pip is to install, such as `xraysr[serving]`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what} needs {error.name}, which is not installed: pip install '{install}'"
        ) from error
