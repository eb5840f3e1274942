"""A generator and a discriminator trained against each other."""

from xraysr.training.config import TrainConfig
from xraysr.training.devices import choose_strategy
from xraysr.training.families import settings_of
from xraysr.training.run import Run
from xraysr.training.srgan import SRGAN
from xraysr.training.train import Interrupted, resume_training, train

__all__ = [
    "SRGAN",
    "Interrupted",
    "Run",
    "TrainConfig",
    "choose_strategy",
    "resume_training",
    "settings_of",
    "train",
]
