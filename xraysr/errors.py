"""The two ways in which a user's input can be wrong."""


class UserError(ValueError):
    """An argument or a path the user can mend; the command line prints it without a traceback.

    The message names the argument, what was expected and what came.
    """


class BadImageError(UserError):
    """One file cannot be used; long runs skip it by name and go on."""
