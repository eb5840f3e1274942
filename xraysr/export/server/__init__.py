"""A small stand-in for TF Serving, for tests and notebooks."""

from xraysr.export.server.local import LocalServer

__all__ = ["LocalServer"]
