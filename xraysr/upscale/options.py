"""What `xraysr upscale` does beyond enlarging: `ensemble`, `faithful`, `maps`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xraysr.io import Radiograph
from xraysr.upscale.data_consistency import ConsistentRuntime
from xraysr.upscale.ensemble import DeviationRuntime, EnsembleRuntime
from xraysr.upscale.maps import added_detail, write_maps
from xraysr.upscale.upscaler import Runtime, Upscaler


class UpscaleOptions:
    """An upscaler with what was asked for around it.

    Args:
        upscaler: The model as it was opened.
        ensemble: Take the mean over eight views of the film; eight times the work.
        faithful: Let SR, reduced again, be the film; see `ConsistentRuntime`.
        maps: Show what was added, and where the network is unsure; eight times the work.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        *,
        ensemble: bool = False,
        faithful: bool = False,
        maps: bool = False,
    ) -> None:
        runtime: Runtime = upscaler.runtime
        if ensemble:
            runtime = EnsembleRuntime(runtime)
        if faithful:
            runtime = ConsistentRuntime(runtime)
        asked = {"ensemble": ensemble, "faithful": faithful}
        self.names = tuple(name for name, wanted in asked.items() if wanted)
        self.upscaler = Upscaler(runtime, upscaler.tile, upscaler.batch)
        self.maps = maps
        self._unsure = Upscaler(DeviationRuntime(upscaler.runtime), upscaler.tile)

    def write_maps(self, stem: Path, film: Radiograph, sr: np.ndarray) -> dict[str, Any]:
        """Writes both maps of a film beside its SR (height, width); the numbers for the sidecar."""
        maps = {
            "added": added_detail(sr, self.upscaler.scale),
            "uncertainty": self._unsure(film.pixels),
        }
        return write_maps(stem, sr, maps, film.bits, overwrite=True)
