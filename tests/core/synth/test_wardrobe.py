"""People from a pack: the contract of figures, and that they can be made again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emosh_core.body import load_body, zero_pose
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.synth.atlas import Piece, cut, join
from emosh_core.synth.people import Phenotype
from emosh_core.synth.tinting import dyed, turned
from emosh_core.synth.wardrobe import PackWardrobe

BODY = load_body()
COUNT = len(BODY.template)


@pytest.fixture(scope="module")
def wardrobe(pack_folder):
    return PackWardrobe(pack_folder, BODY)


@pytest.fixture(scope="module")
def people(wardrobe):
    return [wardrobe.person(np.random.default_rng(seed), "val") for seed in range(24)]


@pytest.fixture(scope="module")
def figure(wardrobe, people):
    return wardrobe.figure(next(person for person in people if person.looks["hair"] != "none"), 200)


def test_the_body_comes_first_and_unchanged(wardrobe, people):
    bent = replace(zero_pose(2), body_pose=0.3 * torch.randn(2, 21, 3, generator=torch.Generator().manual_seed(0)),
                   expression=torch.full((2, 52), 0.2))  # fmt: skip
    for person in people[:2]:
        verts, _, posed = wardrobe.figure(person, 100).pose(bent)
        bare = BODY.with_shape_of(person.shape).with_pose(bent)
        assert torch.allclose(verts[:, :COUNT], bare.verts, atol=2e-6)
        assert torch.allclose(posed.joints, bare.joints)


def test_parts_hold_together(figure):
    assert figure.rest_verts.shape == (len(figure.tint), 3) == figure.tint.shape
    for number, part in enumerate(figure.parts):
        assert torch.equal(part.owner[part.corners.long()].int(), part.faces)
        height, width, _ = part.texture.shape
        assert part.texels.min() >= 0
        assert (part.texels <= torch.tensor([width, height])).all()
        assert (part.texture[..., :3] <= part.texture[..., 3:] + 1e-5).all()
        if number == 0:
            assert part.texture[part.texels[:, 1].long().clamp(max=height - 1),
                                part.texels[:, 0].long().clamp(max=width - 1), 3].min() > 0.99  # fmt: skip


def test_skin_under_clothes_is_not_drawn_but_knees_are(figure):
    drawn = torch.zeros(len(figure.rest_verts), dtype=torch.bool)
    drawn[figure.parts[0].faces.long()] = True
    rest = figure.rest_verts[:COUNT]
    belly = (figure.shaped.rest_joints[3] - rest).norm(dim=1) < 0.2
    assert drawn[:COUNT][belly].float().mean() < 0.05
    # The toy garments end above and below the knee.
    knee = (figure.shaped.rest_joints[JOINT_NAMES.index("left_knee")] - rest).norm(dim=1) < 0.07
    assert drawn[:COUNT][knee].all()


def test_same_seed_same_bytes_and_figures_are_made_of_looks_alone(wardrobe, people):
    again = wardrobe.person(np.random.default_rng(3), "val")
    assert again.looks == people[3].looks
    one, other = wardrobe.figure(people[3], 150), wardrobe.figure(replace(again), 150)
    assert one.parts[0].texture.numpy().tobytes() == other.parts[0].texture.numpy().tobytes()
    assert torch.equal(one.rest_verts, other.rest_verts)


def test_clothes_suit_who_wears_them_and_eyes_stay_free(wardrobe, people):
    for person in people:
        assert wardrobe.pack.item("outfit", person.looks["outfit"]).suits(person.looks["gender"])
        assert person.looks["hair"] in ("none", "short02")
    assert {person.looks["outfit"] for person in people} == {"gown", "suit"}


def test_textures_grow_with_the_person_but_not_beyond_the_pack(wardrobe, people):
    small, large, huge = (wardrobe.figure(people[0], pixels).parts[0].texture.shape for pixels in (8, 40, 10000))
    assert small[0] < large[0] <= huge[0] <= 64 * 12


def test_fingerprint_changes_with_the_pack(wardrobe, pack_folder, tmp_path):
    (tmp_path / "manifest.json").write_bytes((pack_folder / "manifest.json").read_bytes() + b"\n")
    assert PackWardrobe(tmp_path, BODY).fingerprint != wardrobe.fingerprint
    assert PackWardrobe(pack_folder, BODY).fingerprint == wardrobe.fingerprint


def test_a_cut_shows_the_same_colours_at_the_same_corners():
    y, x = np.mgrid[:64, :48]
    picture = np.stack([x * 5, y * 3, 0 * x + 90, 0 * x + 255], -1).astype(np.uint8)
    uv = np.random.default_rng(0).uniform(0.3, 0.8, (50, 2))
    texture, texels = join([Piece(np.ones((9, 5, 4), np.float32), np.zeros((1, 2), np.float32)), cut(picture, uv, 0.5)])
    at = np.floor(texels[1]).astype(int)
    expected = np.stack([uv[:, 0] * 48 * 5, (1 - uv[:, 1]) * 64 * 3], 1)
    assert np.abs(255 * texture[at[:, 1], at[:, 0], :2] - expected).max() < 12


def test_dye_sets_the_mean_and_a_turn_keeps_greys():
    rng = np.random.default_rng(0)
    alpha = rng.random((20, 20, 1)).astype(np.float32)
    picture = np.concatenate([0.4 * rng.random((20, 20, 3)).astype(np.float32) * alpha, alpha], -1)
    dye = dyed(picture, (0.3, 0.2, 0.1))
    assert np.allclose(dye[..., :3].sum((0, 1)) / alpha.sum(), (0.3, 0.2, 0.1), atol=0.03)
    grey = np.concatenate([np.full((4, 4, 3), 0.5), np.ones((4, 4, 1))], -1).astype(np.float32)
    assert np.allclose(turned(grey, 1.3, 0.5, np.ones(3)), grey, atol=1e-6)


def test_ancestry_is_the_largest_share():
    who = Phenotype(0.1, 30, 0.5, 0.5, 0.5, 0.2, 0.5, 0.3)
    assert who.ancestry == "asian"
    assert not who.female
