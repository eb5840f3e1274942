"""Generators, discriminators and feature extractors: Keras 3 without a backend of their own."""

from xraysr.models.discriminator import Discriminator, PatchDiscriminator
from xraysr.models.features import VGG19Features
from xraysr.models.generator import Generator

__all__ = ["Discriminator", "Generator", "PatchDiscriminator", "VGG19Features"]
