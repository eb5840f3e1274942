"""A small stand-in for TF Serving, for tests and notebooks."""

from xraysr.errors import needs

with needs("The stand-in for TF Serving", "xraysr[serving]"):
    from xraysr.testing.server import LocalServer

__all__ = ["LocalServer"]
