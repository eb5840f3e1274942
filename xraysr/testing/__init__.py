"""A small stand-in for TF Serving, for tests and notebooks."""

from xraysr.testing.server import LocalServer

__all__ = ["LocalServer"]
