"""The base mesh: the embedded body with MakeHuman's helper vertices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emosh_core.body import load_body
from emosh_core.errors import AssetError
from emosh_core.synth.base import BASE_SIZE, load_base, read_base

BODY = load_body()
BASE = load_base(BODY)


def draw(seed: int):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=32)).float(), torch.tensor(rng.normal(size=64)).float()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.9, 1.1))
def test_the_body_is_unchanged_within_the_base(seed, scale):
    plain, whole = (model.with_shape(*draw(seed), head_scale=scale) for model in (BODY, BASE.model))
    assert torch.allclose(plain.rest_verts, whole.rest_verts[: len(BODY.template)], atol=1e-6)
    assert torch.equal(plain.rest_joints, whole.rest_joints)


def test_every_vertex_has_one_row_and_the_body_keeps_its_place():
    assert sorted(BASE.rows.tolist()) == list(range(BASE_SIZE))
    assert BASE.rows[torch.as_tensor(BASE.body_ids)].tolist() == list(range(len(BODY.template)))


def test_helpers_stay_at_the_body_when_it_changes():
    # Clothes' anchors surround the body: whoever it is, they stay within a hand's breadth of the nearest skin.
    count = len(BODY.template)
    near = torch.cdist(BASE.model.template[count:], BODY.template).argmin(1)
    before = BASE.model.template[count:] - BODY.template[near]
    for seed in range(6):
        verts = BASE.model.with_shape(*draw(seed)).rest_verts
        moved = (verts[count:] - verts[near] - before).norm(dim=1)
        assert moved.median() < 0.006
        assert moved.quantile(0.95) < 0.06


def test_weights_of_helpers_are_shares():
    weights = BASE.model.lbs_weights
    assert torch.allclose(weights.sum(1), torch.ones(BASE_SIZE), atol=1e-5)
    assert weights.min() >= 0


def test_file_is_small_and_holds_no_pickle():
    content, arrays = read_base()
    assert len(content) <= 3e6
    assert all(values.dtype != object for values in arrays.values())


def test_inside_of_the_mouth_is_closed_and_a_shoulder_open():
    parts = np.array(BODY.part_names)[BODY.face_part.numpy()]
    inside = np.unique(BODY.faces.numpy()[parts == "mouth_cavity"])
    assert np.median(BASE.openness[inside]) < 0.05
    assert np.median(BASE.openness) > 0.8


def test_another_body_is_refused():
    with pytest.raises(AssetError, match="another body"):
        load_base(replace(BODY, fingerprint="0" * 64))
