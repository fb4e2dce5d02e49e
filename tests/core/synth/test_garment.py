"""Garments follow the body: in shape, in expression and under joints; and what they cover is found."""

import numpy as np
import torch

from emosh_core.body import load_body
from emosh_core.synth.base import load_base
from emosh_core.synth.cards import deal
from emosh_core.synth.covered import covered, inner, neighbours, surface_points
from emosh_core.synth.garment import covered_shoe, hidden_faces, wear
from emosh_core.synth.pack import Geometry, load_pack

BODY = load_body()
BASE = load_base(BODY)


def somebody(seed=0):
    rng = np.random.default_rng(seed)
    return BASE.model.with_shape(torch.tensor(rng.normal(size=32)).float(), torch.tensor(rng.normal(size=64)).float())


def bound(ids, offsets, deleted=(), weights=(0.5, 0.3, 0.2)) -> Geometry:
    """Tie vertices to three vertices each of the base mesh; the scale is the distance of two vertices of the head."""
    ids = np.asarray(ids)
    mask = np.zeros(19158, bool)
    mask[list(deleted)] = True
    return Geometry(
        ref_ids=ids, ref_weights=np.tile(np.float32(weights), (len(ids), 1)), offsets=np.asarray(offsets, np.float32),
        scale_ids=np.tile(ids[[0, -1], 0], (3, 1)), scale_den=np.ones(3, np.float32),
        faces=np.arange(len(ids)).reshape(-1, 3), corners=np.arange(len(ids)).reshape(-1, 3),
        uv=np.zeros((len(ids), 2)), owner=np.arange(len(ids)), deleted=mask,
    )  # fmt: skip


def mouth_ids(count=12):
    names = list(BODY.expression_names)
    moving = BODY.expression_dirs[:, 1, names.index("jawOpen")].abs().topk(3 * count).indices
    return BASE.body_ids[BODY.expression_verts[moving].numpy()].reshape(-1, 3)


def test_offsets_grow_with_the_distance_of_the_two_vertices():
    ids, shaped = mouth_ids(), somebody()
    flat, raised = (wear(bound(ids, np.full((12, 3), size)), BASE, shaped) for size in (0, 0.1))
    first, last = BASE.rows[torch.as_tensor(ids[[0, -1], 0].astype(np.int64))]
    span = shaped.rest_verts[first] - shaped.rest_verts[last]
    assert torch.allclose(raised.verts - flat.verts, (0.1 * span.norm()).expand(12, 3), atol=1e-6)


def test_expressions_are_those_of_a_garment_fitted_to_the_moved_face():
    # The definition: fit to the rest mesh with its expression applied. Small weights, as the offset is linearised.
    geometry, shaped = bound(mouth_ids(), np.full((12, 3), 5.0)), somebody(1)
    weights = 1e-2 * torch.rand(52, generator=torch.Generator().manual_seed(0))
    worn = wear(geometry, BASE, shaped)
    moved = (BASE.model.expression_dirs * shaped.expression_gain[..., None]) @ weights
    face = type(shaped)(model=BASE.model, rest_joints=shaped.rest_joints, expression_gain=shaped.expression_gain,
                        rest_verts=shaped.rest_verts.index_add(0, BASE.model.expression_verts, moved))  # fmt: skip
    predicted = worn.verts.index_add(0, worn.expression_verts, worn.expression_dirs @ weights)
    assert (wear(geometry, BASE, face).verts - worn.verts).abs().max() > 1e-4
    assert torch.allclose(predicted, wear(geometry, BASE, face).verts, atol=3e-6)


def test_weights_count_by_size_and_add_up():
    worn = wear(bound(mouth_ids(), np.zeros((12, 3)), weights=(1.4, -0.3, -0.1)), BASE, somebody())
    assert torch.allclose(worn.lbs_weights.sum(1), torch.ones(12), atol=1e-6)
    assert worn.lbs_weights.min() >= 0


def test_only_faces_all_of_whose_corners_are_hidden_vanish():
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    assert hidden_faces(faces, np.array([True, True, True, False])).tolist() == [True, False]


def test_a_shoe_vanishes_where_two_of_three_anchors_are_under_the_trousers():
    shoe = bound([[1, 2, 3], [1, 2, 9], [1, 8, 9]], np.zeros((3, 3)))
    trousers = bound([[1, 2, 3]] * 3, np.zeros((3, 3)), deleted=(1, 2))
    assert covered_shoe(shoe, trousers).tolist() == [True, True, False]


def test_skin_is_covered_under_a_sheet_and_not_beside_it():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 21), [0.0], np.linspace(0, 1, 21), indexing="ij"), -1).reshape(-1, 3)
    normals = np.tile([0.0, 1, 0], (len(grid), 1))
    sheet = np.array([[0, 0.02, 0], [0, 0.02, 1], [0.5, 0.02, 1], [0.5, 0.02, 0]])
    under = covered(grid, normals, sheet, np.array([[0, 1, 2], [0, 2, 3]]), 0.04)
    assert under[grid[:, 0] < 0.49].all()
    assert not under[grid[:, 0] > 0.53].any()
    assert not covered(grid, -normals, sheet, np.array([[0, 1, 2], [0, 2, 3]]), 0.04).any()


def test_points_of_a_surface_lie_close_together():
    from scipy.spatial import cKDTree

    corners = np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.07, 0.02]])
    tree = cKDTree(surface_points(corners, np.array([[0, 1, 2]]), 0.005))
    share = np.random.default_rng(0).dirichlet([1] * 3, 200)
    assert tree.query(share @ corners)[0].max() < 0.005


def test_a_rim_of_a_set_is_taken_off():
    strip = np.array([[i, i + 1, i + 2] for i in range(8)])
    near = neighbours(strip, 10)
    mask = np.arange(10) < 8
    assert inner(mask, near, 1).tolist() == (np.arange(10) < 6).tolist()
    assert inner(np.ones(10, bool), near, 3).all()


def test_cards_one_behind_the_other_go_to_different_layers():
    card = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0.1, 0.1, 0.0]])
    faces = np.array([[0, 1, 2], [1, 3, 2]])
    stack = np.concatenate([card + np.array([0, 0, 0.01 * k]) for k in range(3)])
    layers = deal(stack, np.concatenate([faces + 4 * k for k in range(3)]), 3)
    assert sorted(layers[::2]) == [0, 1, 2]
    assert (layers[::2] == layers[1::2]).all()


def test_a_pack_garment_is_its_place_of_the_body(pack_folder):
    pack = load_pack(pack_folder)
    worn = wear(pack.geometry(pack.item("outfit", "suit")), BASE, somebody(2))
    body = somebody(2).rest_verts[: len(BODY.template)]
    assert torch.cdist(worn.verts, body).min(1).values.max() < 0.05
