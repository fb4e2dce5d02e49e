"""Identities: plausible, reproducible, and of one split only."""

import numpy as np
import pytest

from emosh_core.body import load_body
from emosh_core.errors import ConfigError
from emosh_core.synth.people import BODY_NOISE, MIXED_IN, SPLITS, draw_identity, load_people, split_of


def test_splits_share_the_people_as_promised_and_for_good():
    people = load_people()
    for name, share in SPLITS.items():
        assert abs((people.split == name).mean() - share) < 0.02
    # Were these to change, sets made earlier would no longer be held out.
    assert [split_of(row) for row in (0, 1, 5, 17, 100, 2024)] == people.split[[0, 1, 5, 17, 100, 2024]].tolist()
    assert people.split[:12].tolist() == FIRST


FIRST = ["train", "train", "train", "val", "train", "train", "train", "val", "train", "train", "train", "train"]


@pytest.mark.parametrize("split", SPLITS)
def test_somebody_comes_from_rows_of_their_split(split):
    people = load_people()
    rng = np.random.default_rng(3)
    for _ in range(20):
        shape, _ = draw_identity(rng, split)
        far = np.abs(people.betas_body - shape.betas_body).mean(1)
        assert people.split[far.argmin()] == split
        spread = np.abs(people.betas_body[people.split == split] - shape.betas_body).mean(1).min()
        assert spread < 2 * (MIXED_IN + BODY_NOISE)


def test_same_seed_same_person_and_others_differ():
    one, other, third = (draw_identity(np.random.default_rng(seed), "train") for seed in (5, 5, 6))
    assert one[0].betas_head.tobytes() == other[0].betas_head.tobytes()
    assert one[1] == other[1]
    assert np.abs(one[0].betas_head - third[0].betas_head).max() > 0.5


def test_people_are_adults_of_believable_size():
    body, rng = load_body(), np.random.default_rng(0)
    heights = {True: [], False: []}
    for _ in range(60):
        shape, who = draw_identity(rng, "train")
        assert 17 < who.age < 81
        assert abs(who.african + who.asian + who.caucasian - 1) < 0.01
        assert shape.betas_body_std.max() == shape.betas_head_std.max() == 0
        height = body.with_shape_of(shape).rest_verts[:, 1]
        heights[who.female].append(float(height.max() - height.min()))
    assert 1.57 < np.mean(heights[True]) < 1.70
    assert 1.70 < np.mean(heights[False]) < 1.85
    assert 1.3 < min(heights[True] + heights[False])
    assert max(heights[True] + heights[False]) < 2.1


def test_an_unknown_split_is_refused():
    with pytest.raises(ConfigError, match="no split"):
        draw_identity(np.random.default_rng(0), "dev")
