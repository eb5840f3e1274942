"""What `xraysr models` shows: all presets as a table, or one card as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from xraysr.presets.card import REFERENCE, Interval, ModelCard, names, tflite_path, weights_path

COLUMNS = ("preset", "for", "parameters", "weights", "over Lanczos dB", "training data")
SCORED_ON = "nih_chest_xray"
OVER_LANCZOS = "PSNR over Lanczos interpolation of the same LR in dB, 95 % intervals over patients."
HEAD = ("method", "PSNR dB", "over Lanczos dB", "SSIM", "LR-consistency dB")


def page(card: ModelCard) -> str:
    """Everything the card says, the scores as tables, without line breaks inside paragraphs."""
    sections = {
        "Network": _bullets(_network(card)),
        "Trained on": _data(card),
        "Whom the films show": [card.population],
        "Scores": _scores(card),
        "Worst cases": _worst(card),
        "When LR was made in other ways": _matrix(card),
        "At a detector's own sampling": _native(card),
        "Networks trained on photographs": _photographs(card),
        "Perception": _bullets(card.perceptual),
        "Downstream": _bullets(card.downstream),
        "Not for": [f"- {each}" for each in card.not_for],
    }
    lines = [f"# {card.name}", "", f"{card.purpose}. Research use only; not a medical device."]
    for title, body in sections.items():
        text = list(body)
        if text:
            lines += ["", f"## {title}", "", *text]
    return "\n".join(lines)


def size_text(card: ModelCard) -> str:
    """Size of the weights in this package, such as `2.6 MB`."""
    return _size(weights_path(card.name))


def _size(path: Path) -> str:
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _network(card: ModelCard) -> dict[str, Any]:
    network = card.architecture
    small = tflite_path(card.name)
    return {
        "scale": f"x{card.scale}, any image size",
        "architecture": f"{network['generator']}, depth {network['depth']}, "
        f"width {network['width']}",
        "parameters": f"{card.parameters:,}",
        "weights": f"{size_text(card)}, float16",
        **({"without TensorFlow": f"{_size(small)}, TFLite, int8 weights"} if small else {}),
        "sha256": card.spec.weights_sha256,
        "looks": f"{card.spec.receptive_radius} LR pixels around each",
        "degradation it was trained for": card.spec.degradation,
        "training": card.spec.training,
    }


def _data(card: ModelCard) -> Iterator[str]:
    for each in card.data:
        yield (
            f"- {each['name']}: {each['films']} films of {each['patients']} patients, "
            f"{each['population']}. Licence: {each['licence']}. Cite: {each['cite']}."
        )


def _scores(card: ModelCard) -> Iterator[str]:
    yield card.protocol
    for data, pairs in card.scores.items():
        for pair, entry in pairs.items():
            yield from (
                "",
                f"{data}, {pair}: {entry['n']} test films of {entry['patients']} patients",
                "",
            )
            yield from _table(HEAD, (_row(*each) for each in entry["methods"].items()))


def _row(method: str, scores: dict[str, Interval]) -> tuple[str, ...]:
    gain = scores["psnr_over_lanczos"]
    return (
        method,
        _text(scores["psnr"], ".2f"),
        "" if method == REFERENCE else _text(gain, "+.2f"),
        _text(scores["ssim"], ".4f"),
        _text(scores["lr_consistency"], ".1f"),
    )


def _worst(card: ModelCard) -> Iterator[str]:
    if card.gains:
        yield "Test films with the least PSNR over Lanczos, in dB:"
        yield ""
    for data, pairs in card.gains.items():
        for pair in pairs:
            films = ", ".join(f"{name} {gain:+.2f}" for name, gain in card.worst(data, pair))
            yield f"- {data}, {pair}: {films}"


def _matrix(card: ModelCard) -> Iterator[str]:
    if card.matrix:
        yield f"{OVER_LANCZOS} Test films, evenly spread over their list."
    for data, pairs in card.matrix.items():
        for pair, entry in pairs.items():
            yield from ("", f"{data}, {pair}: {_count(entry)}", "")
            yield from _rows("LR", entry)


def _native(card: ModelCard) -> Iterator[str]:
    if card.native:
        yield (
            f"{OVER_LANCZOS} HR is the film as it is, halved or quartered, LR is HR reduced by "
            f"{card.scale}, both by antialiased Lanczos. What is sharper than LR is mostly noise "
            "and blur there."
        )
        yield from ("", f"{card.native['films']}: {_count(card.native)}", "")
        yield from _rows("film", card.native)


def _count(entry: dict[str, Any]) -> str:
    return f"{entry['n']} films of {entry['patients']} patients, HR {entry['hr']}"


def _rows(first: str, entry: dict[str, Any]) -> Iterator[str]:
    """PSNR by row, as a table."""
    methods = next(iter(entry["rows"].values()))["psnr_over_lanczos"]
    yield from _table(
        (first, f"{REFERENCE} PSNR dB", *methods),
        (
            (
                row,
                f"{scores['lanczos_psnr']:.2f}",
                *(_text(gain, "+z.2f") for gain in scores["psnr_over_lanczos"].values()),
            )
            for row, scores in entry["rows"].items()
        ),
    )


def _photographs(card: ModelCard) -> Iterator[str]:
    for pair, figures in card.photographs.items():
        yield f"- {pair}: {figures}"


def _text(interval: Interval, style: str) -> str:
    mean, low, high = (f"{interval[end]:{style}}" for end in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table whose columns stand below each other in a terminal too."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"| {' | '.join(cells)} |"


def _bullets(content: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield f"{indent}- {key}:"
            yield from _bullets(value, indent + "  ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{indent}- {key}: {text}"


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
