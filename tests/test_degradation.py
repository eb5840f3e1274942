"""What is said of LR is what was done to HR, and caches know one way from another."""

from __future__ import annotations

import numpy as np
import pytest

from xraysr.degradation import AS_FOUND, DEFAULT, degradation_key, degradation_name, degrade_with
from xraysr.errors import UserError


def mean(hr, lr_size):
    scale = hr.shape[0] // lr_size[0]
    return hr.reshape(lr_size[0], scale, lr_size[1], scale).mean((1, 3))


def first(hr, lr_size):
    return hr[: lr_size[0], : lr_size[1]]


class Blur:
    def __init__(self, sigma: float) -> None:
        self.sigma, self.text = sigma, f"blurred by {sigma}"

    def __call__(self, hr, lr_size):
        return first(hr, lr_size) * self.sigma


def test_names():
    assert degradation_name(None) == DEFAULT != AS_FOUND
    assert degradation_name(mean) == "mean"
    assert degradation_name(Blur(0.5)) == "blurred by 0.5"


def test_keys_tell_two_apart_by_what_they_do():
    def times(factor):
        return lambda hr, lr_size: first(hr, lr_size) * factor

    assert degradation_key(mean) == degradation_key(mean)
    keys = [None, mean, first, Blur(0.5), Blur(0.6), times(0.5), times(0.6)]
    assert len(set(map(degradation_key, keys))) == len(keys)


def test_lr_is_clipped_and_rounded_as_a_file_would_hold_it():
    hr = np.linspace(-0.1, 1.1, 64, dtype=np.float32).reshape(8, 8)
    lr = degrade_with(mean, hr, (4, 4), 8)
    expected = np.clip(mean(hr, (4, 4)).astype(np.float64), 0, 1)
    np.testing.assert_array_equal(lr, np.round(expected * 255) / 255)


@pytest.mark.parametrize("wrong", [lambda hr, lr_size: hr, lambda hr, lr_size: hr[:4, :4] * np.nan])
def test_another_shape_or_no_number_is_refused(wrong):
    with pytest.raises(UserError, match=r"finite pixels of shape \(4, 4\)"):
        degrade_with(wrong, np.ones((8, 8), np.float32), (4, 4), 8)
