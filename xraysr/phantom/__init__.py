"""Synthetic chest films by physics, so that everything runs with no download."""

from xraysr.phantom.film import Nodule, Phantom, make_phantom, write_phantoms

__all__ = ["Nodule", "Phantom", "make_phantom", "write_phantoms"]
