"""Primitives whose path lengths along a parallel beam have a closed form, and their projection.

Lengths are in cm. ``x`` points to the patient's left (the right of the image), ``y`` to the feet
and ``z`` along the beam, from back to front (PA). There are two primitives: the super-ellipsoid,
known by its half depth in ``z`` at each ``(x, y)``, as the ellipses of Shepp and Logan (1974,
IEEE Trans. Nucl. Sci. 21:21) are, and the tube, drawn as a run of straight segments. Trees of
tubes branch by Murray's law (1926, PNAS 12:207).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BATCH = 1 << 18  # samples drawn at once: few enough to stay in the cache
RISE = 2.0  # cm from the middle of the film down to the origin of y


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a square film ``width`` cm wide, and the pose of the patient on it."""

    size: int
    width: float
    yaw: float = 0.0
    lean: float = 0.0

    @property
    def pitch(self) -> float:
        """The distance between pixels in cm."""
        return self.width / self.size

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """The patient's ``x`` and ``y`` at each pixel, float32, ``(size, size)`` each."""
        axis = ((np.arange(self.size) + 0.5) * self.pitch - self.width / 2).astype(np.float32)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        y = y - np.float32(RISE)
        return x - np.float32(self.lean) * y, y

    def project(self, points: np.ndarray) -> np.ndarray:
        """Columns and rows, in pixels, of points ``(n, 3)`` of the patient."""
        x, y, z = points.T
        film = np.stack([x + self.lean * y + self.yaw * z, y + RISE], axis=1)
        return (film + self.width / 2) / self.pitch - 0.5


@dataclass(frozen=True)
class Tubes:
    """Straight segments with elliptical sections: ends ``(n, 3)``, half widths and depths ``(n,)``.

    ``across`` is the half width seen on the film, ``along`` the half depth along the beam.
    """

    start: np.ndarray
    end: np.ndarray
    across: np.ndarray
    along: np.ndarray

    @classmethod
    def through(
        cls, points: np.ndarray, across: float | np.ndarray, along: float | np.ndarray
    ) -> Tubes:
        """A bent tube through ``points`` ``(n, 3)``; its half axes are numbers or ``(n - 1,)``."""
        count = len(points) - 1
        axes = [np.broadcast_to(np.asarray(axis, float), (count,)) for axis in (across, along)]
        return cls(points[:-1], points[1:], *axes)

    @classmethod
    def join(cls, parts: list[Tubes]) -> Tubes:
        """All the segments of ``parts`` together."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in vars(parts[0])))

    def shrink(self, wall: float) -> Tubes:
        """The cavity of these tubes when their wall is ``wall`` cm thick."""
        thinner = [np.maximum(axis - wall, 1e-3) for axis in (self.across, self.along)]
        return Tubes(self.start, self.end, *thinner)


@dataclass(frozen=True)
class Tree:
    """Segments of a vessel tree; ``parent`` is an index into them, -1 at the root."""

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    parent: np.ndarray

    def tubes(self) -> Tubes:
        """The segments as round tubes."""
        return Tubes(self.start, self.end, self.radius, self.radius)


def half_depth(x, y, centre, axes, exponent: float = 2.0, tilt: float = 0.0) -> np.ndarray:
    """Half the chord through a super-ellipsoid at ``(x, y)``: zero outside, ``axes[2]`` amid it."""
    dx, dy = x - centre[0], y - centre[1]
    if tilt:
        dx, dy = np.cos(tilt) * dx + np.sin(tilt) * dy, np.cos(tilt) * dy - np.sin(tilt) * dx
    inside = 1 - np.abs(dx / axes[0]) ** exponent - np.abs(dy / axes[1]) ** exponent
    return axes[2] * np.maximum(inside, 0) ** (1 / exponent)


def draw(grid: Grid, tubes: Tubes) -> np.ndarray:
    """Path length in cm through ``tubes``, float32 ``(size, size)``; overlapping tubes add up.

    Chords are averaged over a pixel's width across the tube and over a window along it, so that a
    segment keeps its volume at any slant to the beam and when it is thinner than a pixel, and
    segments that follow one another join without a seam.
    """
    start, end = grid.project(tubes.start), grid.project(tubes.end)
    run = end - start
    run[np.hypot(*run.T) < 1e-2] = (1e-2, 0.0)  # along the beam: a short stretch, very slanted
    length = np.hypot(*run.T)
    slant = np.linalg.norm(tubes.end - tubes.start, axis=1) / (length * grid.pitch)
    heading = run / length[:, None]
    pixel = np.abs(heading).sum(axis=1)  # as wide as it looks along the tube
    width = tubes.across / grid.pitch
    window = np.maximum(1, np.rint(1.2 * width)) * pixel
    peak = tubes.along * slant * width / (window * pixel)
    ends, sides = (length + window) / 2, width + pixel / 2
    box = np.abs(heading) * ends[:, None] + np.abs(heading[:, ::-1]) * sides[:, None]
    reach = np.ceil(box.max(axis=1) + 0.5).astype(int)
    reach = -(-reach // (1 + reach // 8)) * (1 + reach // 8)  # few kinds of box
    segments = np.column_stack([start, heading, length, width, pixel, window, peak])
    centre = np.rint((start + end) / 2).astype(int)
    canvas = np.zeros((grid.size + 2) ** 2)
    for half in np.unique(reach):
        chosen = np.flatnonzero(reach == half)
        for batch in np.array_split(chosen, 1 + len(chosen) * (2 * half + 1) ** 2 // BATCH):
            _splat(canvas, grid.size, segments[batch].astype(np.float32), centre[batch], half)
    return canvas.reshape(grid.size + 2, -1)[1:-1, 1:-1].astype(np.float32)


def _splat(canvas, size: int, segments: np.ndarray, centre: np.ndarray, half: int) -> None:
    """Add segments to a canvas with a border of one pixel, which takes what falls outside."""
    offsets = np.arange(-half, half + 1)
    columns, rows = centre[:, :1] + offsets, centre[:, 1:] + offsets
    x0, y0, ux, uy, length, width, pixel, window, peak = segments.T[:, :, None]
    dx, dy = columns.astype(np.float32) - x0, rows.astype(np.float32) - y0
    forward = (dx * ux)[:, None, :] + (dy * uy)[:, :, None]
    sideways = (dx * (uy / width))[:, None, :] - (dy * (ux / width))[:, :, None]
    aperture = (pixel / (2 * width))[:, None]
    margin = window[:, None] / 2
    path = np.minimum(forward + margin, length[:, None]) - np.maximum(forward - margin, 0)
    np.maximum(path, 0, out=path)
    path *= peak[:, None] * (_half_disc(sideways + aperture) - _half_disc(sideways - aperture))
    line = np.clip(rows + 1, 0, size + 1) * (size + 2)
    index = line[:, :, None] + np.clip(columns + 1, 0, size + 1)[:, None, :]
    canvas += np.bincount(index.ravel(), path.ravel(), canvas.size)


def _half_disc(edge: np.ndarray) -> np.ndarray:
    """Signed area of the unit disc from its middle to ``edge``: the integral of its chord.

    A polynomial, within 0.003 of ``t * sqrt(1 - t**2) + arcsin(t)`` and exact at the rim.
    """
    edge = np.clip(edge, -1, 1)
    square = edge * edge
    return edge * (2 - square * (1 / 3 + (5 / 3 - np.pi / 2) * square * square))


def grow(
    rng: np.random.Generator,
    root: np.ndarray,
    heading: np.ndarray,
    radius: float,
    smallest: float,
    inside: Callable[[np.ndarray], np.ndarray],
) -> Tree:
    """Branch a vessel from ``root`` until it is thinner than ``smallest`` or leaves ``inside``.

    At each branching the flow splits at random, the radii keep Murray's law
    ``r0**3 == r1**3 + r2**3`` and the angles are those of least work.
    """
    start, heading = root[None], heading[None] / np.linalg.norm(heading)
    radii, parent, total, generations = np.array([radius]), np.array([-1]), 0, []
    while len(radii):
        length = radii * rng.uniform(3.0, 7.5, len(radii))
        end = start + heading * length[:, None]
        generations.append((start, end, radii, parent))
        alive = np.flatnonzero((radii > smallest) & (inside(end) | (parent < 0)))
        parent = np.repeat(alive, 2) + total
        total += len(radii)
        start = np.repeat(end[alive], 2, axis=0)
        radii, heading = _branch(rng, radii[alive], heading[alive])
    return Tree(*(np.concatenate(column) for column in zip(*generations, strict=True)))


def _branch(rng: np.random.Generator, radius: np.ndarray, heading: np.ndarray):
    """Radii and headings of the two children of each vessel, children side by side."""
    share = rng.uniform(0.04, 0.45, len(radius))
    children = radius[:, None] * np.stack([1 - share, share], axis=1) ** (1 / 3)
    normal = np.cross(heading, rng.normal(size=heading.shape))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    mine, other = children, children[:, ::-1]
    cosine = (radius[:, None] ** 4 + mine**4 - other**4) / (2 * radius[:, None] ** 2 * mine**2)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0)) * np.array([1.0, -1.0])
    turned = cosine[..., None] * heading[:, None] + sine[..., None] * normal[:, None]
    return children.ravel(), turned.reshape(-1, 3)
