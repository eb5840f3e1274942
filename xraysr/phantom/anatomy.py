"""The chest as a few parameters and primitives: what is drawn from a seed, and where it lies.

A parametrised patient whose organs are smooth surfaces is the idea of XCAT (Segars et al. 2010,
"4D XCAT phantom", Med. Phys. 37(9):4902); the surfaces here are far simpler, super-ellipsoids and
tubes. Axes and units are those of `xraysr.phantom.projection`: cm, ``x`` to the patient's left,
``y`` to the feet, ``z`` to the front.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xraysr.phantom.projection import Tree, Tubes, grow, half_depth

RANGES = {
    "breadth": (0.92, 1.08),
    "height": (0.92, 1.06),
    "depth": (0.88, 1.12),
    "fat": (0.5, 2.2),
    "muscle": (1.4, 2.2),
    "dome": (5.6, 8.2),
    "heart": (0.86, 1.12),
    "heart_tilt": (0.45, 0.85),
    "arch": (0.85, 1.25),
    "yaw": (-0.06, 0.06),
    "lean": (-0.03, 0.03),
    "rib_slope": (0.27, 0.46),
    "rib_height": (0.5, 0.68),
    "clavicle_slope": (0.08, 0.32),
    "breast": (-1.5, 2.6),
    "gas": (-0.8, 1.9),
}
DOME_FORWARD = 2.4  # z of the middle of the diaphragm: the lungs reach lower behind it
THINNEST = 0.034  # radius in cm at which vessels stop branching
ROOTS = (  # heading in degrees below the horizontal and radius in cm of the vessels of a hilum
    (-78, 0.50), (-60, 0.50), (-42, 0.42), (-15, 0.40), (12, 0.45),
    (32, 0.50), (48, 0.60), (62, 0.75), (74, 0.60), (86, 0.45),
)  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """One patient. Scales are relative to an adult of average size, lengths are in cm."""

    breadth: float  # scale of the chest's width
    height: float  # scale of the lungs' height
    depth: float  # scale of the chest from back to front
    fat: float  # thickness of the fat under the skin
    muscle: float  # thickness of the muscle of the chest wall
    dome: float  # y of the right dome of the diaphragm
    heart: float  # scale of the heart
    heart_tilt: float  # angle of the heart's axis below the horizontal, radians
    arch: float  # scale of the aorta
    yaw: float  # shift in x per cm of z: how far the patient is turned
    lean: float  # shift in x per cm of y: how far the patient leans
    rib_slope: float  # fall of the ribs from spine to side, per cm of reach
    rib_height: float  # half the height of a rib
    clavicle_slope: float  # rise of the clavicles towards the shoulders
    breast: float  # half depth of the breasts, none if negative
    gas: float  # half height of the gas in the stomach, none if negative
    rib_pairs: int
    vessels: tuple[Tree, ...] = ()
    nodules: tuple[tuple[float, float, float], ...] = ()  # x, y and radius of each

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Anatomy:
        """Draw a patient with 9 to 11 pairs of ribs in view and 0 to 3 nodules."""
        values = {name: float(rng.uniform(*limits)) for name, limits in RANGES.items()}
        patient = cls(**values, rib_pairs=int(rng.integers(9, 12)))  # type: ignore[arg-type]
        nodules = [_nodule(patient, rng) for _ in range(rng.integers(0, 4))]
        return replace(patient, nodules=tuple(nodules), vessels=_vessels(patient, rng))


def body(patient: Anatomy, x, y, under: float = 0.0) -> np.ndarray:
    """Half depth of trunk and neck, ``under`` cm below the skin."""
    wall = patient.fat + patient.muscle
    shoulders = 1 / (1 + np.exp((y + 6.5) / 1.8))
    breadth = 15.2 * patient.breadth + wall + 7.0 * shoulders - under
    across = np.maximum(1 - np.abs(x / breadth) ** 2.6, 0) ** (1 / 2.6)
    neck = 9.0 * np.exp(-(np.abs(x / 4.8) ** 4))
    below = (y + 18.6 * patient.height - 0.16 * np.abs(x) + neck - under) / 7.5
    below = np.clip(below, 0, 1)
    return (8.6 * patient.depth + wall - under) * across * np.sqrt(below * (2 - below))


def breasts(patient: Anatomy, x, y) -> np.ndarray:
    """Half depth of the breasts, paraboloids that rise gently from the chest."""
    dome = half_depth(np.abs(x), y, (8.0 * patient.breadth, 4.5), (7.0, 6.5, 1.0))
    return max(patient.breast, 0.0) * dome**2


def lung(patient: Anatomy, x, y) -> np.ndarray:
    """Half depth of the space of the lungs, before diaphragm and mediastinum indent it."""
    axes = (6.4 * patient.breadth, 15.8 * patient.height, 8.0 * patient.depth)
    return half_depth(np.abs(x) - _lung_axis(patient, y), y, (0.0, 1.0), axes, 2.3)


def _lung_axis(patient: Anatomy, y) -> np.ndarray:
    """Distance of the lungs' axes from the midline: they lean inwards to the apex."""
    high = np.maximum((1.0 - y) / (15.6 * patient.height), 0)
    return (7.4 - 2.7 * high**2.2) * patient.breadth


def _flank(patient: Anatomy, y: float) -> float:
    """Distance of the lungs' outer edge from the midline."""
    axes = (1.0, 15.8 * patient.height, 6.4 * patient.breadth)
    return float(_lung_axis(patient, y) + half_depth(0.0, y, (0.0, 1.0), axes, 2.3))


def diaphragm(patient: Anatomy, x, y) -> np.ndarray:
    """Half depth of the domes about ``DOME_FORWARD``; the left one is lower."""
    outward = np.abs(x) - 6.3 * patient.breadth
    outward = np.where(outward < 0, 0.6 * outward, outward)
    axes = (8.4 * patient.breadth, 10.0, 9.5 * patient.depth)
    return half_depth(outward, y - np.where(x > 0, 1.1, 0.0), (0.0, patient.dome + 10.0), axes)


def heart(patient: Anatomy, x, y) -> np.ndarray:
    """Half depth of the chambers of the heart, the pulmonary trunk, the aorta and the cava."""
    h, a = patient.heart, patient.arch
    low = patient.dome - 2.5
    parts = (
        half_depth(x, y, (2.9 * h, low), (6.9 * h, 4.7 * h, 5.2 * h), 2.1, patient.heart_tilt),
        half_depth(x, y, (-1.3, low - 0.6), (3.2 * h, 4.8 * h, 4.8 * h), 2.2, 0.25),
        half_depth(x, y, (1.5, low - 5.0), (2.6 * h, 3.6, 4.2), 2.0, 0.9),
        half_depth(x, y, (1.7, -6.4), (1.8 * a, 1.9 * a, 4.2)),
        half_depth(x, y, (-1.0, -4.4), (1.85 * a, 7.0, 4.6)),
        half_depth(x, y, (1.3, 0.0), (1.6 * a, 9.0, 4.0)),
    )
    return np.maximum.reduce(parts)


def air(patient: Anatomy, x, y) -> np.ndarray:
    """Path length in cm through aerated lung: its space less mediastinum and diaphragm."""
    space = lung(patient, x, y)
    column = half_depth(x - 0.4 * np.sin(0.3 * y), 0.0, (0.2, 0.0), (2.6, 1.0, 6.0))
    middle = np.minimum(np.maximum(heart(patient, x, y), column * patient.depth), space)
    dome = diaphragm(patient, x, y)
    front = np.minimum(DOME_FORWARD + dome, space)
    back = np.minimum(np.maximum(DOME_FORWARD - dome, -space), front)
    shared = np.maximum(np.minimum(front, middle) - np.maximum(back, -middle), 0)
    return 2 * space - 2 * middle - (front - back) + shared


def _nodule(patient: Anatomy, rng: np.random.Generator) -> tuple[float, float, float]:
    """A sphere of 4 to 15 mm radius where the lung is deep enough to hold it."""
    radius = rng.uniform(0.4, 1.5)
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    while True:
        x, y = rng.choice([-1, 1]) * rng.uniform(3, 13), rng.uniform(-12, 8)
        rim = air(patient, x + radius * np.cos(angle), y + radius * np.sin(angle))
        if rim.min() > 2 * radius + 2:
            return float(x), float(y), float(radius)


def _vessels(patient: Anatomy, rng: np.random.Generator) -> tuple[Tree, ...]:
    """Arteries and veins of both lungs, fanning out from each hilum."""

    def inside(points: np.ndarray) -> np.ndarray:
        x, y, z = points.T
        above = np.abs(z - DOME_FORWARD) > diaphragm(patient, x, y)
        return above & (np.abs(z) < 0.97 * lung(patient, x, y))

    trees = []
    for side, level in ((-1, -2.4), (1, -3.3)):
        hilum = np.array([side * 3.3 * patient.breadth, level, 0.0])
        for degrees, radius in ROOTS:
            angle = np.radians(rng.normal(degrees, 6))
            heading = np.array([side * np.cos(angle), np.sin(angle), rng.normal(0, 0.3)])
            root = hilum + rng.normal(0, 0.3, 3) + [0, 1.2 * np.sin(angle), 0]
            trees.append(grow(rng, root, heading, radius * rng.uniform(0.8, 1.1), THINNEST, inside))
    return tuple(trees)


def _vertebra(number: int) -> float:
    """y of the middle of a thoracic vertebra, counted from 0."""
    return -14.6 + 2.05 * number + 0.04 * number**2


def ribs(patient: Anatomy) -> Tubes:
    """The ribs: arcs from the spine, round the flanks, to the front, lower at each step."""
    parts = []
    for number in range(patient.rib_pairs):
        level = _vertebra(number) * patient.height
        fall = 14.0 * patient.rib_slope * min(0.3 + 0.12 * number, 1.0)
        reach = _flank(patient, min(level + fall, 5.0)) - 1.5
        angle = np.linspace(0.06, np.radians(132 - 0.35 * (number - 3) ** 2), 22)
        x = 1.6 + reach * np.sin(angle)
        y = level + fall * (1 - np.cos(angle)) - 0.2 * np.sin(2 * angle)
        z = -patient.depth * (4.6 + 0.24 * reach) * np.cos(angle)
        across = patient.rib_height * (0.85 + 0.05 * min(number, 3)) * (1 - 0.12 * np.cos(angle))
        parts += _mirrored(x, y, z, across[1:], 0.42)
    return Tubes.join(parts)


def shoulders(patient: Anatomy) -> Tubes:
    """The clavicles, and the borders and spines of the shoulder blades."""
    t = np.linspace(0, 1, 15)
    broad, slope = patient.breadth, patient.clavicle_slope
    rise = 14.0 * slope * t**1.3 - 0.5 * np.sin(2 * np.pi * t)
    thick = 0.6 + 0.5 * np.abs(t[1:] - 0.53) ** 1.5
    outer = -10.0 - 2.8 * t - 3.0 * slope
    parts = _mirrored(
        (1.9 + 14.5 * t) * broad, -10.2 * patient.height - rise, 5 - 4 * t, thick, thick
    )
    parts += _mirrored((13.0 + 2.2 * t**2) * broad, 1.0 - 12.5 * t, -8 + 0 * t, 0.28, 0.28)
    parts += _mirrored((13.0 + 4.0 * t) * broad, 1.0 - 11.0 * t, -8 + 0 * t, 0.36, 0.36)
    parts += _mirrored((14.5 + 4.5 * t) * broad, outer, -7 + 0 * t, 0.55, 0.55)
    return Tubes.join(parts)


def _mirrored(x, y, z, across, along) -> list[Tubes]:
    """A bent tube and its mirror image on the other side of the body."""
    return [Tubes.through(np.stack([s * x, y, z], axis=1), across, along) for s in (-1, 1)]


def spine(patient: Anatomy, x, y, wall: float = 0.0) -> np.ndarray:
    """Half depth of vertebrae, pedicles and spinous processes, ``wall`` cm below their surface."""
    total = np.zeros_like(x)
    columns = np.flatnonzero(np.abs(x).min(axis=0) < 2.5)
    for number in range(-6, 16):
        level, broad = _vertebra(number), 1.45 + 0.03 * number
        tall = 0.9 + 0.04 * max(number, 0)
        rows = np.flatnonzero(np.abs(y[:, 0] - level) < 2.0)
        box = np.ix_(rows, columns)
        here = x[box], y[box]
        axes = np.array([(broad, tall, 1.2), (0.36, 0.5, 0.5), (0.3, 0.75, 0.7)]) - wall
        total[box] += half_depth(*here, (0.0, level), axes[0], 4.0)
        total[box] += half_depth(np.abs(here[0]), here[1], (broad - 0.45, level - 0.15), axes[1])
        total[box] += half_depth(*here, (0.0, level + 1.0), axes[2])
    return total


def airways(patient: Anatomy) -> Tubes:
    """Trachea and main bronchi, the right one steeper."""
    wide = patient.breadth
    trachea = np.array([(0.1, -24, 0), (0, -14, 0), (-0.3, -9, 0), (-0.35, -5.2, 0)])
    right = np.array([(-0.45, -5.4, 0), (-1.7, -4.0, 0), (-3.0, -2.6, 0), (-3.9, -1.0, 0)])
    left = np.array([(-0.2, -5.4, 0), (1.5, -4.2, 0), (3.2, -3.2, 0), (4.3, -2.2, 0)])
    bores = ((trachea, 0.95), (right, 0.6), (left, 0.52))
    return Tubes.join([Tubes.through(points, wide * bore, wide * bore) for points, bore in bores])
