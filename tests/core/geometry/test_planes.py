"""The homography through a plane agrees with projecting the plane's points."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emosh_core.geometry.camera import pixel_rays, plane_map, project, to_camera

K = np.array([[500.0, 0, 160], [0, 520, 120], [0, 0, 1]])
small = st.floats(-0.3, 0.3)


@given(st.tuples(small, small, small), st.tuples(small, small, small), st.tuples(small, small), st.floats(0.5, 2))
def test_plane_map_maps_points_of_the_plane_as_projecting_them_does(turn, step, tilt, zoom):
    normal = np.array([*tilt, 1.0]) / np.linalg.norm([*tilt, 1.0])
    across = np.linalg.svd(normal[None])[2][1:]
    points = 4.5 * normal + np.random.default_rng(0).uniform(-1, 1, (20, 2)) @ across
    other, w2c = K * [[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]], np.eye(4)
    w2c[:3, :3], w2c[:3, 3] = cv2.Rodrigues(np.array(turn))[0], step
    matrix = plane_map(K, np.eye(4), normal, 4.5, *pixel_rays(other[None], w2c[None]))[0]
    moved = np.append(project(to_camera(points, w2c), other), np.ones((20, 1)), 1) @ matrix.T
    assert (moved[:, 2] > 0).all()
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], project(points, K), atol=1e-6)
