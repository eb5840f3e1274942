"""A preset on a shelf of its own, in place of those that ship."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xraysr.presets import ModelCard
from xraysr.spec import ModelSpec

METRICS = {"psnr": 33.0, "psnr_over_lanczos": 0.0, "ssim": 0.9, "lr_consistency": 45.0}


def scores(name: str) -> dict:
    """Scores of bicubic, Lanczos and the preset, 1.5 dB apart."""
    methods = {}
    for step, method in enumerate(("bicubic", "Lanczos", name)):
        methods[method] = {
            metric: {"mean": value + 1.5 * (step - 1), "low": value - 2, "high": value + 2}
            for metric, value in METRICS.items()
        }
    return {"n": 3, "patients": 2, "methods": methods}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty shelf, where the library looks for presets."""
    shelf = tmp_path / "shelf"
    monkeypatch.setattr("xraysr.presets.card.HOME", shelf)
    return shelf


@pytest.fixture
def make_card() -> Callable[..., ModelCard]:
    """A complete card; its weights exist only in its words."""

    def make(name: str = "base-x4", sha256: str = "0" * 64, **changes) -> ModelCard:
        scale = int(name[-1])
        spec = ModelSpec(name, scale, 5, sha256, training={"steps": 7, "data": ["films"]})
        pair = f"32:{32 * scale}"
        entries = dict(
            name=name,
            purpose="Best fidelity",
            architecture={"generator": "srresnet", "depth": 1, "width": 8},
            parameters=1234,
            spec=spec,
            data=[
                {
                    "name": "nih_chest_xray",
                    "films": 683,
                    "patients": 467,
                    "licence": "no restriction on use",
                    "cite": "Wang 2017",
                    "population": "adults",
                }
            ],
            protocol="PSNR in float64",
            scores={"nih_chest_xray": {pair: scores(name)}},
            gains={"nih_chest_xray": {pair: {f"film{n}": 1.5 - n for n in range(7)}}},
            population="one hospital",
            not_for=["diagnosis"],
            photographs={pair: "FSRCNN 31 dB"},
        )
        return ModelCard(**entries | changes)

    return make


@pytest.fixture
def put(home, make_card) -> Callable[..., ModelCard]:
    """Puts a card without weights on the shelf."""

    def put(name: str, **changes) -> ModelCard:
        card = make_card(name, **changes)
        card.save(home / "cards" / f"{name}.json")
        return card

    return put


@pytest.fixture
def generator():
    """A small x4 network with seeded noise for weights, not rounded."""
    from xraysr.models import SRResNet

    network = SRResNet.for_pair("8:32", depth=1, width=8)
    random = np.random.default_rng(0)
    network.set_weights(
        [w + random.normal(0, 0.05, w.shape).astype(np.float32) for w in network.get_weights()]
    )
    return network


@pytest.fixture
def shipped(home, make_card, generator) -> tuple:
    """`generator`, rounded, as the preset base-x4 on the shelf; and its card."""
    from xraysr.models.open import save_preset
    from xraysr.models.weights import round_weights, weights_sha256

    round_weights(generator)
    card = make_card(sha256=weights_sha256(generator))
    save_preset(generator, card, home)
    return generator, card
