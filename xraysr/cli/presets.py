"""The command `models`: what comes with the package."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from xraysr.errors import UserError


def models(
    name: Annotated[str | None, typer.Argument(help="A preset, for its card in full.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """List the presets that come with xraysr, or show the model card of one."""
    from xraysr.presets import ModelCard

    if name is not None:
        card = ModelCard.load(name)
        text = json.dumps(card.to_json(), indent=2, ensure_ascii=False)
        print(text if as_json else card.markdown())
        return
    if as_json:
        raise UserError("--json shows the card of one preset: name it. Received: no name")
    from xraysr.presets.page import presets_table
    from xraysr.progress import show

    show(presets_table())
