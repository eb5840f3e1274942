"""Chords, tubes and trees."""

import numpy as np
import pytest

from xraysr.phantom.projection import Grid, Tubes, draw, grow, half_depth


def tube(*points, across=0.5, along=0.5):
    return Tubes.through(np.array(points, float), across, along)


def test_a_sphere_has_its_chord():
    x = np.array([0.0, 0.6, 0.99, 1.2])
    depth = half_depth(x, 0.0, (0.0, 0.0), (1.0, 1.0, 1.0))
    np.testing.assert_allclose(depth, [1.0, 0.8, np.sqrt(1 - 0.99**2), 0.0], atol=1e-12)


def test_a_tilted_ellipse_turns_its_long_axis():
    step = np.array([0.0, 1.5 * np.cos(0.5)]), np.array([0.0, 1.5 * np.sin(0.5)])
    assert half_depth(*step, (0, 0), (2.0, 1.0, 1.0), tilt=0.5)[1] > 0.6
    assert half_depth(*step, (0, 0), (2.0, 1.0, 1.0), tilt=-0.5)[1] == 0.0


def test_a_tube_has_the_chord_of_its_ellipse():
    grid = Grid(256, 12.8)
    image = draw(grid, tube((-4, -2, 0), (4, -2, 0), across=0.8, along=0.3))
    y = grid.coordinates()[1][:, 128]
    chord = 0.6 * np.sqrt(np.maximum(1 - ((y + 2) / 0.8) ** 2, 0))
    np.testing.assert_allclose(image[:, 128], chord, atol=0.04)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("radius", [0.02, 0.1, 0.6])
@pytest.mark.parametrize("tip", [(3, 1, 0), (2, 2, 3), (0, 0, 3)])
def test_a_tube_keeps_its_volume(size, radius, tip):
    grid = Grid(size, 12.8)
    image = draw(grid, tube((0, 0, 0), tip, across=radius, along=radius))
    volume = np.pi * radius**2 * np.linalg.norm(tip)
    assert image.sum() * grid.pitch**2 == pytest.approx(volume, rel=0.03)


def test_segments_join_without_a_seam():
    grid = Grid(128, 12.8)
    whole = draw(grid, tube((-4, -1, 0), (4, 1, 0)))
    pieces = draw(grid, tube((-4, -1, 0), (-1, -0.25, 0), (0.4, 0.1, 0), (4, 1, 0)))
    np.testing.assert_allclose(pieces, whole, atol=1e-4)


def test_tubes_beyond_the_film_leave_no_mark():
    assert not draw(Grid(64, 12.8), tube((20, 20, 0), (25, 20, 0))).any()


def test_points_project_to_the_pixels_that_hold_them():
    grid = Grid(128, 32.0, yaw=0.05, lean=0.03)
    x, y = grid.coordinates()
    points = np.array([[x[40, 70], y[40, 70], 0.0], [x[40, 70], y[40, 70], 10.0]])
    film = grid.project(points)
    np.testing.assert_allclose(film[0], (70, 40), atol=1e-4)
    np.testing.assert_allclose(film[1], (70 + 0.5 / grid.pitch, 40), atol=1e-4)


def test_a_tree_branches_by_murray_and_stops():
    def inside(points):
        return np.linalg.norm(points, axis=1) < 15

    rng = np.random.default_rng(0)
    tree = grow(rng, np.zeros(3), np.array([1.0, 0, 0]), 0.4, 0.05, inside)
    cubes = np.bincount(tree.parent[1:], tree.radius[1:] ** 3, len(tree.radius))
    branched = cubes > 0
    assert branched.sum() > 50
    np.testing.assert_allclose(cubes[branched], tree.radius[branched] ** 3, rtol=1e-9)
    np.testing.assert_allclose(tree.start[1:], tree.end[tree.parent[1:]])
    assert (tree.radius[branched] > 0.05).all()
    assert inside(tree.end[branched]).all()
