"""`presets_table`: the presets side by side, for `xraysr models`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from xraysr.presets.card import ModelCard, names
from xraysr.presets.page import size_text

COLUMNS = ("preset", "for", "parameters", "weights", "over Lanczos dB", "training data")
SCORED_ON = "nih_chest_xray"


def presets_table() -> Table:
    """Every preset with its size, its PSNR over Lanczos on the NIH test films, its licences."""
    table = Table(title="Presets; PSNR over Lanczos on NIH test films", show_lines=True)
    for column in COLUMNS:
        table.add_column(
            column,
            justify="right" if column in ("parameters", "weights", "over Lanczos dB") else "left",
            no_wrap=column not in ("for", "training data"),
        )
    for name in names():
        table.add_row(*map(Text, _cells(ModelCard.load(name))))
    return table


def _cells(card: ModelCard) -> tuple[str, ...]:
    gains = {pair: card.gain(SCORED_ON, pair) for pair in card.scores.get(SCORED_ON, {})}
    return (
        card.name,
        card.purpose,
        f"{card.parameters:,}",
        size_text(card),
        "\n".join(f"{pair} {gain['mean']:+.2f}" for pair, gain in gains.items() if gain),
        "\n".join(f"{each['name']}: {each['licence']}" for each in card.data),
    )
