"""Writes the tables of presets in README.md and docs/presets.md from their cards.

    python recipes/table.py

Each stands between two comments that name it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xraysr.errors import UserError
from xraysr.files import whole_file
from xraysr.pair import Pair
from xraysr.presets import ModelCard, names

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
PAGE = HERE.parent / "docs" / "presets.md"
BEGIN, END = "<!-- {}: written by recipes/table.py -->\n", "<!-- end of {} -->"
SCORED_ON = "nih_chest_xray"
MAIN_PAIR = Pair.parse("128:512")  # of other scales one pair is enough
TELLING = (
    "Lanczos (as trained)",
    "box average (detector binning)",
    "Lanczos + noise of 2 %",
    "Lanczos + JPEG 75",
)


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
    return ", ".join(f"{pair} {_gain(gain, intervals)}" for pair, gain in gains.items() if gain)


def matrix() -> str:
    """By how LR was made: every preset scored so, a table for each pair."""
    tables = []
    for scale, cards in by_scale("matrix").items():
        scored = {card.name: card.matrix[SCORED_ON] for card in cards}
        pairs = list(dict.fromkeys(pair for entries in scored.values() for pair in entries))
        for pair in pairs if scale == MAIN_PAIR.scale else pairs[-1:]:
            entries = {name: found[pair] for name, found in scored.items() if pair in found}
            rows = {name: entry["rows"] for name, entry in entries.items()}
            tables.append(f"{pair}, NIH test films, {_count(entries)}:\n\n{_rows('LR', rows)}")
    return "\n".join(tables)


def native() -> str:
    """At a detector's own sampling: every preset scored so, a table for each scale."""
    tables = []
    for scale, cards in by_scale("native").items():
        entries = {card.name: card.native for card in cards}
        rows = {name: entry["rows"] for name, entry in entries.items()}
        caption = f"x{scale}, {cards[0].native['films']}, {_count(entries)}"
        tables.append(f"{caption}:\n\n{_rows('film', rows, intervals=True)}")
    return "\n".join(tables)


def both() -> str:
    """The rows that say most of either, of the presets that have both at the main pair."""
    ways, own, found = {}, {}, {}
    for card in by_scale("native")[MAIN_PAIR.scale]:
        if entry := card.matrix.get(SCORED_ON, {}).get(str(MAIN_PAIR)):
            ways[card.name], own[card.name] = entry, card.native
            rows = {f"own sampling, {row}": scores for row, scores in card.native["rows"].items()}
            found[card.name] = {way: entry["rows"][way] for way in TELLING} | rows
    caption = f"{MAIN_PAIR}: {_count(ways)}; own sampling: {_count(own)} and reduced"
    return f"{caption}:\n\n{_rows('LR', found)}"


def by_scale(measured: str) -> dict[int, list[ModelCard]]:
    """The cards in which `measured` is not empty, the main scale first."""
    found: dict[int, list[ModelCard]] = {}
    for card in map(ModelCard.load, names()):
        if getattr(card, measured):
            found.setdefault(card.scale, []).append(card)
    return dict(sorted(found.items(), key=lambda each: (each[0] != MAIN_PAIR.scale, each[0])))


def _count(entries: dict[str, dict[str, Any]]) -> str:
    """Of how many films the scores are, which must be the same for all presets of a table."""
    counts = {(entry["n"], entry["patients"], entry["hr"]) for entry in entries.values()}
    if len(counts) > 1:
        raise UserError(f"{', '.join(entries)} were scored on other films: {sorted(counts)}")
    ((films, patients, hr),) = counts
    return f"{films} films of {patients} patients, HR {hr}"


def _rows(first: str, found: dict[str, dict[str, Any]], intervals: bool = False) -> str:
    """A Markdown table of presets by row: PSNR of Lanczos, then gains over it, in dB."""
    rows = next(iter(found.values()))
    lines = [f"| {first} | Lanczos PSNR | bicubic | {' | '.join(f'`{each}`' for each in found)} |"]
    lines.append("| --- " * (len(found) + 3) + "|")
    for row, scores in rows.items():
        gains = [scores["psnr_over_lanczos"]["bicubic"]]
        gains += [found[each][row]["psnr_over_lanczos"][each] for each in found]
        cells = [_gain(gain, intervals) for gain in gains]
        lines.append(f"| {row} | {scores['lanczos_psnr']:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _gain(gain: dict[str, float], interval: bool) -> str:
    ends = f" [{gain['low']:+.2f}, {gain['high']:+.2f}]" if interval else ""
    return f"{gain['mean']:+z.2f}{ends}"


def blocks() -> dict[Path, dict[str, str]]:
    """What stands between the comments, by file and by the comments' name."""
    return {
        README: {"presets": table(intervals=False), "matrix": both()},
        PAGE: {"presets": table(intervals=True), "matrix": matrix(), "native": native()},
    }


def main() -> None:
    """Renews all tables."""
    for path, texts in blocks().items():
        page = path.read_text("utf-8")
        for name, text in texts.items():
            before, rest = page.split(BEGIN.format(name))
            _, after = rest.split(END.format(name))
            page = f"{before}{BEGIN.format(name)}\n{text}\n{END.format(name)}{after}"
        with whole_file(path) as temporary:
            temporary.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
