"""Damaged and hostile films: `xraysr upscale` ends in a result or a named error, every time.

Cases run in child processes, some hundred in each, because a codec may crash, hang or grow.
XRAYSR_FUZZ_CASES=50000 makes the run longer; each batch has its own seed, so that a longer run
begins with the cases of a shorter one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

CHILD = Path(__file__).parent / "fuzzing" / "child.py"
CASES = int(os.environ.get("XRAYSR_FUZZ_CASES", 500))
BATCH = 250
SECONDS = 500  # for a batch; one case that hangs ends its child sooner
SHOWN = 12000  # characters of what a child said


def run_child(folder: Path, *options: object) -> dict[str, int]:
    """What a child counted; fails with its words, and says where the film is that ended it."""
    folder.mkdir()
    command = [sys.executable, str(CHILD), str(folder), *map(str, options)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{options} took more than {SECONDS} s")
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-SHOWN:]
        left = [str(path) for path in folder.glob("in/*")]
        died = f"killed by the film {left}" if left else "with the message above"
        pytest.fail(f"{said}\n{options} ended with code {done.returncode}, {died}")
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> list[object]:
    """The option that adds the real films, where there are any."""
    try:
        return ["--real", request.getfixturevalue("shared_data")]
    except pytest.skip.Exception:
        return []


@pytest.mark.slow
def test_each_film_tag_and_bomb_ends_in_a_result_or_a_named_error(tmp_path, real):
    counts = run_child(tmp_path / "plain", *real)
    assert counts["cases"] > 1000
    assert counts["results"] > 300
    assert counts["refused"] > 300


def test_mutated_films_end_in_a_result_or_a_named_error(tmp_path, real):
    numbers = range(-(-CASES // BATCH))

    def batch(number: int) -> dict[str, int]:
        return run_child(tmp_path / str(number), "--number", number, "--count", BATCH, *real)

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(batch, numbers))
    assert sum(count["cases"] for count in counts) >= CASES
    assert sum(count["results"] for count in counts) > CASES // 10
    assert sum(count["refused"] for count in counts) > CASES // 10
