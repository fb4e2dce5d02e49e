"""Painted people: the contract of a figure, hair where hair grows, the same person from the same seed."""

import numpy as np
import pytest
import torch

from emosh_core.synth.painted.hair import STYLES, grow_hair, scalp
from emosh_core.synth.painted.tube import hull_radius
from emosh_core.synth.painted.wardrobe import PaintedWardrobe


@pytest.fixture(scope="module")
def wardrobe(body):
    return PaintedWardrobe(body)


@pytest.fixture(scope="module")
def figures(wardrobe):
    return [wardrobe.figure(wardrobe.person(np.random.default_rng(seed), "train"), 200) for seed in range(4)]


def test_the_first_vertices_are_the_bodys_and_all_is_finite(figures, body):
    for figure in figures:
        assert torch.equal(figure.rest_verts[: len(body.template)], figure.shaped.rest_verts)
        assert bool(torch.isfinite(figure.rest_verts).all())
        total = figure.binding.lbs_weights.sum(1)
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)
        assert float(figure.tint.min()) >= 0 and float(figure.gloss.min()) >= 0 and float(figure.gloss.max()) <= 1
        for part in figure.parts:
            height, width = part.texture.shape[:2]
            assert int(part.faces.max()) < len(figure.rest_verts) and int(part.corners.max()) < len(part.texels)
            assert torch.equal(part.owner[part.corners.long()], part.faces.long())
            used = part.texels[part.corners.unique().long()]
            assert float(used.min()) > -1 and float((used - torch.tensor([width, height])).max()) < 1
            assert float((part.texture[..., :3] - part.texture[..., 3:]).max()) < 1e-4  # times alpha


def test_the_same_person_looks_the_same_and_splits_differ(wardrobe):
    people = [wardrobe.person(np.random.default_rng(7), split) for split in ("train", "train", "test")]
    one, again = (wardrobe.figure(person, 150) for person in people[:2])
    assert torch.equal(one.rest_verts, again.rest_verts) and torch.equal(one.parts[0].texture, again.parts[0].texture)
    assert (people[0].shape.betas_body != people[2].shape.betas_body).any()


@pytest.mark.parametrize("style", STYLES)
def test_hair_grows_on_the_scalp_and_not_over_the_eyes(body, style):
    zeros = torch.zeros
    shaped = body.with_shape(zeros(32), zeros(64))
    pieces = grow_hair(shaped, style, np.array([0.2, 0.1, 0.05]), np.random.default_rng(0))
    cap = pieces[0]
    rest = shaped.rest_verts.numpy()
    eyes = rest[body.faces[body.face_part == body.part_names.index("eye_front.L")].unique().numpy()]
    front = cap.verts[cap.verts[:, 2] > eyes[:, 2].mean()]
    assert front[:, 1].min() > eyes[:, 1].max() + 0.01
    under = scalp(shaped) > 0.9
    distance = np.linalg.norm(cap.verts[:, None] - rest[under][None, ::7], axis=-1).min(1)
    assert np.median(distance) < 0.03 and cap.texture[..., 3].max() == pytest.approx(1, abs=1e-3)
    assert len(pieces) == (1 if style in ("cropped", "short", "side") else 2)


def test_bald_people_have_no_hair(body):
    shaped = body.with_shape(torch.zeros(32), torch.zeros(64))
    assert grow_hair(shaped, "bald", np.zeros(3), np.random.default_rng(0)) == []


def test_the_hull_of_a_square_reaches_its_corners_and_sides():
    square = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
    reach = hull_radius(square, np.array([0.0, np.pi / 4, np.pi / 2]))
    np.testing.assert_allclose(reach, [1, 2**0.5, 1], rtol=0.01)
