"""The geometry of the phantom's patient."""

import numpy as np
import pytest

from xraysr.phantom import anatomy
from xraysr.phantom.anatomy import RANGES, Anatomy


@pytest.fixture(scope="module")
def patients():
    return [Anatomy.sample(np.random.default_rng(seed)) for seed in range(8)]


def plane():
    axis = np.linspace(-18, 18, 181)
    return np.meshgrid(axis, axis)


def test_patients_vary_within_their_ranges(patients):
    for name, (low, high) in RANGES.items():
        values = [getattr(patient, name) for patient in patients]
        assert min(values) >= low and max(values) <= high
        assert max(values) - min(values) > 0.3 * (high - low)
    assert len({patient.rib_pairs for patient in patients}) > 1
    assert len({len(patient.nodules) for patient in patients}) > 2


def test_vessels_keep_murrays_law_at_every_branching(patients):
    for tree in patients[0].vessels:
        parents, counts = np.unique(tree.parent[tree.parent >= 0], return_counts=True)
        assert (counts == 2).all()
        cubes = np.bincount(tree.parent[1:], tree.radius[1:] ** 3)[parents]
        np.testing.assert_allclose(cubes, tree.radius[parents] ** 3, rtol=1e-9)


def test_vessels_begin_in_the_lungs_and_are_pruned_where_they_leave(patients):
    patient = patients[0]
    assert sum(len(tree.radius) for tree in patient.vessels) > 5000
    for tree in patient.vessels:
        parents = np.unique(tree.parent[tree.parent > 0])
        x, y, z = tree.end[parents].T
        assert (np.abs(z) < anatomy.lung(patient, x, y)).all()


def test_nodules_lie_in_aerated_lung(patients):
    nodules = [(patient, *nodule) for patient in patients for nodule in patient.nodules]
    assert len(nodules) >= 4
    for patient, x, y, radius in nodules:
        assert 0.4 <= radius <= 1.5
        assert anatomy.air(patient, np.array([x]), np.array([y]))[0] > 2 * radius


def test_organs_nest(patients):
    x, y = plane()
    for patient in patients:
        air, space = anatomy.air(patient, x, y), anatomy.lung(patient, x, y)
        cavity = anatomy.body(patient, x, y, patient.fat + patient.muscle)
        assert (air >= -1e-9).all() and (air <= 2 * space + 1e-9).all()
        assert (cavity <= anatomy.body(patient, x, y)).all()
        assert np.mean(space[air > 1] <= cavity[air > 1] + 0.3) > 0.99


def test_the_lungs_hold_a_plausible_volume(patients):
    x, y = plane()
    for patient in patients:
        litres = anatomy.air(patient, x, y).sum() * 0.2**2 / 1000
        assert 3.0 < litres < 8.0


def test_ribs_are_symmetric_and_follow_the_lungs(patients):
    for patient in patients:
        ribs = anatomy.ribs(patient)
        left = ribs.start[:, 0] > 0
        assert left.sum() * 2 == len(left) == 2 * 21 * patient.rib_pairs
        assert ribs.end[:, 0].max() == pytest.approx(-ribs.end[:, 0].min())
        assert 12 < ribs.end[:, 0].max() < 16
        assert (ribs.end[:, 1] > ribs.start[:, 1] - 0.2).all()


def test_the_cavity_of_the_spine_lies_within_it(patients):
    x, y = plane()
    whole, core = (anatomy.spine(patients[0], x, y, wall) for wall in (0.0, 0.06))
    assert (core <= whole).all() and core.max() > 1.0
    assert not whole[np.abs(x) > 2.5].any()
