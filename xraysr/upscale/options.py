"""`UpscaleOptions`: what is asked for beyond enlarging, whatever model and film it is for.

The command line makes its flags of them, so importing this costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xraysr.errors import UserError

if TYPE_CHECKING:
    from xraysr.io import Provenance
    from xraysr.upscale.upscaler import Runtime, Upscaler


@dataclass(frozen=True)
class UpscaleOptions:
    """How films are enlarged.

    Args:
        faithful: SR, reduced again, is exactly the film.
        ensemble: The mean over eight views of the film; eight times the work.
        maps: Also write what was added, and where the model is unsure; eight times the work.
        mark: Burn a small "SR x4", or whatever the scale is, into a corner.
        strict: Skip a film that has notices.
        tile: Largest side in LR pixels at once; by default 512.
        bits: Bits that the values of a PNG or TIFF have, where the file does not say so.
        page: Which page of a TIFF, counted from 1; by default the first of full size.
        value_range: The values of a float TIFF that become 0 and 1, where they are not 0 and 1.
    """

    faithful: bool = False
    ensemble: bool = False
    maps: bool = False
    mark: bool = False
    strict: bool = False
    tile: int | None = None
    bits: int | None = None
    page: int | None = None
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and not 1 <= self.bits <= 16:
            raise UserError(f"bits must be from 1 to 16. Received: {self.bits}")
        if self.page is not None and self.page < 1:
            raise UserError(f"page must be 1 or more. Received: {self.page}")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise UserError(
                f"value_range must be two numbers, the lower one first. "
                f"Received: {self.value_range}"
            )

    def applied(self, upscaler: Upscaler) -> Upscaler:
        """`upscaler` with what was asked for around its network."""
        from xraysr.upscale.data_consistency import ConsistentRuntime
        from xraysr.upscale.ensemble import EnsembleRuntime
        from xraysr.upscale.upscaler import Upscaler

        runtime: Runtime = upscaler.runtime
        if self.ensemble:
            runtime = EnsembleRuntime(runtime)
        if self.faithful:
            runtime = ConsistentRuntime(runtime)
        return Upscaler(runtime, self.tile or upscaler.tile, upscaler.batch)

    def unsure(self, upscaler: Upscaler) -> Upscaler:
        """What gives the standard deviation over eight views in place of an image."""
        from xraysr.upscale.ensemble import DeviationRuntime
        from xraysr.upscale.upscaler import Upscaler

        return Upscaler(DeviationRuntime(upscaler.runtime), self.tile or upscaler.tile)

    def provenance(self, upscaler: Upscaler, source_sha256: str = "") -> Provenance:
        """What an output says of how it was made; its `maker` is the same for the same pixels."""
        from xraysr.io import Provenance

        applied = self.applied(upscaler)
        said = {
            "marked": self.mark,
            f"bits {self.bits}": self.bits is not None,
            f"page {self.page}": self.page is not None,
            "range {:g}:{:g}".format(*self.value_range or (0, 1)): self.value_range is not None,
        }
        words = (*applied.words, *(each for each, wanted in said.items() if wanted))
        return Provenance(
            applied.spec.name,
            applied.spec.weights_sha256,
            applied.scale,
            options=words,
            source_sha256=source_sha256,
        )

    def makers(self, upscaler: Upscaler) -> frozenset[str]:
        """What an output of `upscaler` may say of its maker."""
        return frozenset(self.provenance(each).maker for each in upscaler.candidates)
