"""Colour drift: CIEDE2000 against published pairs, and chunks against the first one."""

import numpy as np
import pytest

from emosh_core.metrics.drift import LINEAR, chunk_drift, ciede2000, lab

SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""Pairs of Sharma, Wu and Dalal (2005), table 1: L a b, L a b, ΔE00."""


def test_ciede2000_is_that_of_the_published_pairs_in_both_directions():
    rows = np.array([line.split() for line in SHARMA.split("\n") if line], float)
    np.testing.assert_allclose(ciede2000(rows[:, :3], rows[:, 3:6]), rows[:, 6], atol=6e-5)
    np.testing.assert_allclose(ciede2000(rows[:, 3:6], rows[:, :3]), rows[:, 6], atol=6e-5)


def test_lab_of_known_colours():
    colours = LINEAR[np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [119, 119, 119]])]
    wanted = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]]
    np.testing.assert_allclose(lab(colours), wanted, atol=0.02)


def picture(background, person):
    frame, mask = np.full((8, 10, 3), background, np.uint8), np.zeros((8, 10), bool)
    mask[2:6, 3:6] = True
    frame[mask] = person
    return frame, mask


def test_each_part_of_each_chunk_is_compared_with_the_first_over_the_frames_it_delivered():
    grey, brighter, skin = (119,) * 3, (131,) * 3, (200, 150, 120)
    # Windows [0, 4), [3, 7), [6, 10) of nine frames: they deliver 0..3, 4..6 and 7..8.
    pairs = [picture(grey, skin)] * 4 + [picture(brighter, skin)] * 3 + [picture(grey, skin[::-1])] * 2
    frames, masks = zip(*pairs, strict=True)
    first, second, third = chunk_drift(frames, masks, np.array([[0, 4], [3, 7], [6, 10]]))
    assert [chunk["frames"] for chunk in (first, second, third)] == [[0, 4], [4, 7], [7, 9]]
    assert (first["background"], first["person"]) == (0, 0)
    wanted = ciede2000(lab(LINEAR[np.array(grey)]), lab(LINEAR[np.array(brighter)]))
    assert second["background"] == pytest.approx(wanted, abs=1e-6) and 4 < wanted < 6
    assert second["person"] == pytest.approx(0, abs=1e-6) and third["background"] == pytest.approx(0, abs=1e-6)
    assert third["person"] > 20


def test_a_part_that_is_not_there_has_no_drift():
    frame, mask = picture((90, 90, 90), (200, 0, 0))
    chunks = chunk_drift([frame] * 4, [mask, mask, ~mask & False, ~mask & False], np.array([[0, 2], [2, 4]]))
    assert chunks[1]["person"] is None and chunks[1]["background"] is not None
