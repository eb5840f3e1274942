"""The ways in which a user's input, or what it names, can be wrong."""


class UserError(ValueError):
    """An argument or a path the user can mend; the command line prints it without a traceback.

    The message names the argument, what was expected and what came.
    """


class BadImageError(UserError):
    """One file cannot be used; long runs skip it by name and go on."""


class ServerError(UserError):
    """A server of models is down or slow, or answers what no model of xraysr does."""
