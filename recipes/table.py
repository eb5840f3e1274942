"""Writes the tables of presets in README.md and docs/presets.md from their cards.

python recipes/table.py
"""

from __future__ import annotations

from pathlib import Path

from xraysr.files import whole_file
from xraysr.presets import ModelCard, names

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
PAGE = HERE.parent / "docs" / "presets.md"
BEGIN, END = "<!-- presets: written by recipes/table.py -->\n", "<!-- end of presets -->"
SCORED_ON = "nih_chest_xray"


def table(intervals: bool) -> str:
    """The gain of every preset over Lanczos on the test films, as Markdown."""
    lines = [
        "| preset | parameters | PSNR over Lanczos in dB, NIH test films | Kermany test films |",
        "| --- | --- | --- | --- |",
    ]
    for card in map(ModelCard.load, names()):
        cells = [_gains(card, data, intervals) for data in (SCORED_ON, "kermany_224")]
        lines.append(f"| `{card.name}` | {card.parameters:,} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _gains(card: ModelCard, data: str, intervals: bool) -> str:
    gains = {pair: card.gain(data, pair) for pair in card.scores.get(data, {})}
    return ", ".join(
        f"{pair} {gain['mean']:+.2f}"
        + (f" [{gain['low']:+.2f}, {gain['high']:+.2f}]" if intervals else "")
        for pair, gain in gains.items()
        if gain
    )


def main() -> None:
    """Renews both tables; the one in README.md leaves out the intervals."""
    for path, intervals in ((README, False), (PAGE, True)):
        before, rest = path.read_text("utf-8").split(BEGIN)
        _, after = rest.split(END)
        with whole_file(path) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n{table(intervals)}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
