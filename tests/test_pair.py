"""`Pair`: what it accepts, what follows from it, and what it refuses in so many words."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xraysr.errors import UserError
from xraysr.pair import PRESETS, Pair, prime_factors

sides = st.integers(1, 600)


def enlarged(lr: tuple[int, int], scale: int) -> Pair:
    return Pair(lr, (lr[0] * scale, lr[1] * scale))


pairs = st.builds(enlarged, st.tuples(sides, sides), st.integers(2, 8))


def test_presets_are_the_three_of_the_mission():
    assert [Pair.parse(text) for text in PRESETS] == [
        Pair((32, 32), (128, 128)),
        Pair((64, 64), (256, 256)),
        Pair((128, 128), (512, 512)),
    ]
    assert {Pair.parse(text).scale for text in PRESETS} == {4}


@pytest.mark.parametrize("scale", range(2, 9))
def test_every_integer_scale_from_2_to_8(scale):
    pair = enlarged((10, 14), scale)
    assert pair.scale == scale
    assert pair.hr == (10 * scale, 14 * scale)


@pytest.mark.parametrize(
    ("text", "lr", "hr", "shown", "folder"),
    [
        ("64:256", (64, 64), (256, 256), "64:256", "64x256"),
        (" 48x64 : 192x256 ", (48, 64), (192, 256), "48x64:192x256", "48x64_192x256"),
        ("64x64:256", (64, 64), (256, 256), "64:256", "64x256"),
        ("50:150", (50, 50), (150, 150), "50:150", "50x150"),
    ],
)
def test_parse_and_its_way_back(text, lr, hr, shown, folder):
    pair = Pair.parse(text)
    assert (pair.lr, pair.hr, str(pair), pair.folder) == (lr, hr, shown, folder)


def test_parse_passes_a_pair_through():
    pair = Pair.parse("32:128")
    assert Pair.parse(pair) is pair


@given(pairs)
def test_text_says_everything(pair):
    assert Pair.parse(str(pair)) == pair


@given(pairs, pairs)
def test_two_pairs_never_share_a_folder(first, second):
    assert (first.folder == second.folder) == (first == second)


def test_a_pair_is_a_value():
    assert len({Pair.parse("64:256"), Pair((64, 64), (256, 256))}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Pair.parse("64:256").lr = (1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("64:250", ("do not divide", "64", "250")),
        ("256:64", ("do not divide", "256", "64")),
        ("48x64:192x250", ("do not divide", "48x64", "192x250")),
        ("64:192x256", ("disagree", "x3", "x4", "64", "192x256")),
        ("64:64", ("from 2 to 8", "x1", "LR 64, HR 64")),
        ("64:576", ("from 2 to 8", "x9", "LR 64, HR 576")),
        ("0:0", ("lr", "(0, 0)")),
        ("64x0:256", ("lr", "(64, 0)")),
    ],
)
def test_sizes_that_make_no_pair_are_refused_with_both(text, said):
    with pytest.raises(UserError) as error:
        Pair.parse(text)
    assert all(part in str(error.value) for part in said), error.value


@pytest.mark.parametrize("text", ["", "64", "64:", "64:256:512", "64.5:258", "-64:256", "a:b", 64])
def test_what_is_not_lr_colon_hr_is_shown_how_to_write_it(text):
    with pytest.raises(UserError, match=rf'"64:256".*Received: {re.escape(repr(text))}'):
        Pair.parse(text)


@pytest.mark.parametrize(
    "size", [64, (64,), (64, 64, 1), [64, 64], (64.0, 64.0), (True, True), ("64", "64"), (-4, 4)]
)
def test_a_size_is_a_tuple_of_two_whole_numbers(size):
    with pytest.raises(UserError, match=rf"lr must be .*Received: {re.escape(str(size))}"):
        Pair(size, (256, 256))
    with pytest.raises(UserError, match=rf"hr must be .*Received: {re.escape(str(size))}"):
        Pair((64, 64), size)


@given(st.integers(2, 10_000))
def test_prime_factors(number):
    factors = prime_factors(number)
    assert math.prod(factors) == number
    assert factors == sorted(factors)
    assert all(factor % d for factor in factors for d in range(2, math.isqrt(factor) + 1))
