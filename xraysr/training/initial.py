"""Where a run begins that does not begin from nothing: the weights of a trained generator."""

from __future__ import annotations

from xraysr.errors import UserError
from xraysr.models import SRNetwork, open_model

TRUNK = ("head", "conv_", "block_", "body")
BUILD = ("depth", "width", "batch_norm")


def initialise(generator: SRNetwork, init: str) -> None:
    """Gives `generator` the weights of the trained one that `init` names.

    Of a generator of another scale only the trunk is taken, the layers at LR size; what enlarges
    starts anew, as [Lim et al., 2017](https://arxiv.org/abs/1707.02921) did from x2 to x4.

    Raises:
        UserError: if there is no such generator, or it is built otherwise.
    """
    source, _ = open_model(init)
    ours, theirs = _build_of(generator), _build_of(source)
    if ours != theirs:
        raise UserError(
            f"The run begins from {init}, which must be built alike. Expected: {_text(ours)}. "
            f"Received: {_text(theirs)}"
        )
    if generator.scale == source.scale:
        generator.set_weights(source.get_weights())
        return
    trained = {layer.name: layer for layer in source.layers}
    for layer in generator.layers:
        if layer.name.startswith(TRUNK):
            layer.set_weights(trained[layer.name].get_weights())


def _build_of(generator: SRNetwork) -> dict[str, object]:
    settings = {name: value for name, value in generator.get_config().items() if name in BUILD}
    return {"generator": type(generator).__name__, **settings}


def _text(build: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in build.items())
