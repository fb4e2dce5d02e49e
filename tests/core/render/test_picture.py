"""Looking up and filling pictures."""

import numpy as np

from emosh_core.render.picture import fill, sample


def test_sample_is_bilinear_with_centres_at_one_half():
    ramp = np.tile(np.arange(8, dtype=np.float32)[:, None, None], (1, 6, 3)) * 10
    found = sample(ramp, np.array([[2.5, 3.5], [2.5, 4.0], [2.5, -9]]))
    np.testing.assert_allclose(found[:, 0], [30, 35, 0], atol=0.5)


def test_sample_takes_more_points_than_a_cv2_row():
    assert sample(np.ones((4, 4, 2)), np.full((70001, 2), 2.0)).shape == (70001, 2)


def test_fill_keeps_what_is_known_and_continues_it_smoothly():
    image = np.zeros((60, 90, 3), np.float32)
    image += np.linspace(50, 150, 90)[None, :, None]
    weight = np.ones((60, 90), np.float32)
    weight[15:45, 30:60] = 0
    damaged = image * weight[..., None]
    filled = fill(damaged, weight)
    assert np.array_equal(filled[weight == 1], image[weight == 1])
    assert np.abs(filled - image).max() < 15


def test_fill_of_nothing_known_is_the_mean_of_the_picture():
    assert np.allclose(fill(np.full((9, 7, 3), 4, np.float32), np.zeros((9, 7))), 4)
