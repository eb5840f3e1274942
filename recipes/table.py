"""Writes the tables of presets in README.md and recipes/README.md from their cards.

python recipes/table.py
"""

from __future__ import annotations

from pathlib import Path

from xraysr.files import whole_file
from xraysr.presets import ModelCard, names

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- presets: written by recipes/table.py -->\n", "<!-- end of presets -->"
SCORED_ON = "nih_chest_xray"


def table() -> str:
    """The gain of every preset over Lanczos on the NIH test films, as Markdown."""
    lines = [
        "| preset | parameters | PSNR over Lanczos in dB, NIH test films | Kermany test films |",
        "| --- | --- | --- | --- |",
    ]
    for card in map(ModelCard.load, names()):
        cells = [_gains(card, data) for data in (SCORED_ON, "kermany_224")]
        lines.append(f"| `{card.name}` | {card.parameters:,} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _gains(card: ModelCard, data: str) -> str:
    gains = {pair: card.gain(data, pair) for pair in card.scores.get(data, {})}
    return ", ".join(
        f"{pair} {gain['mean']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"
        for pair, gain in gains.items()
        if gain
    )


def main() -> None:
    """Renews the table in README.md."""
    text = README.read_text("utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    with whole_file(README) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
