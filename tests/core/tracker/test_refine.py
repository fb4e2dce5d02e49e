"""The solver's derivatives against the objective's own, and its equations against dense ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emosh_core.artifacts import KEYPOINTS, TRUST_PARTS, keypoint_slice
from emosh_core.tracker import priors, refine
from emosh_core.tracker.initialize import CAM_TO_WORLD
from emosh_core.tracker.marks import on_body
from emosh_core.tracker.normal import NormalEquations
from emosh_core.tracker.objective import BONES, objective
from emosh_core.tracker.parameters import UNTRUSTED, Observations, Parameters
from emosh_core.tracker.points import landmarks_of, place
from emosh_core.tracker.uncertainty import shape_std

FRAMES, WEIGHTS = 7, {"kpt": 1.0, "3d": 0.7, "reg": 0.9, "smooth": 0.8}
POINTS = sum(KEYPOINTS.values())


@pytest.fixture(scope="module")
def double(body):
    """The body in double precision."""
    from emosh_core.body.assets import load_body

    return load_body(dtype=torch.float64).for_landmarks()


def random_parameters(body, seed=0) -> Parameters:
    rng = torch.Generator().manual_seed(seed)
    noise = lambda *dims, scale=1.0: scale * torch.randn(*dims, generator=rng, dtype=torch.float64)  # noqa: E731
    import roma

    return Parameters(
        root=roma.rotvec_to_rotmat(noise(FRAMES, 3, scale=0.3)),
        body_pose=priors.body_mean().double() + noise(FRAMES, 21, 3, scale=0.25),
        left_hand_pose=noise(FRAMES, 15, 3, scale=0.3), right_hand_pose=noise(FRAMES, 15, 3, scale=0.3),
        eye_pose=noise(FRAMES, 2, 3, scale=0.1), expression=noise(FRAMES, 52, scale=0.3).abs() - 0.1,
        transl=torch.tensor([0.1, 0.2, -3.0]).double() + noise(FRAMES, 3, scale=0.05),
        betas_body=noise(32, scale=0.7), betas_head=noise(64, scale=0.7),
    )  # fmt: skip


def random_observations(p, body, seed=1) -> Observations:
    """What somebody else in about that pose would look like, with contacts, doubts and a cut."""
    rng = torch.Generator().manual_seed(seed)
    near = random_parameters(body, seed)
    posed = body.with_shape(near.betas_body, near.betas_head).with_rotmats(near.rotmats(), near.expression, near.transl)
    points = on_body(posed) @ CAM_TO_WORLD.double()
    K = torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]).double()
    pixels = points[..., :2] / points[..., 2:] * 600 + K[:2, 2]
    uniform = lambda *dims: torch.rand(*dims, generator=rng, dtype=torch.float64)  # noqa: E731
    directions = torch.nn.functional.normalize(uniform(FRAMES, len(BONES), 3) - 0.5, dim=-1)
    begins = torch.zeros(FRAMES, dtype=torch.bool)
    begins[[0, 4]] = True
    return Observations(
        pixels=pixels, weight=0.1 + uniform(FRAMES, POINTS), depth=40 * (uniform(FRAMES, POINTS) - 0.5),
        directions=directions, direction_weight=uniform(FRAMES, len(BONES)), metre=180 + 40 * uniform(FRAMES),
        trust=uniform(FRAMES, 8), begins=begins, planted=uniform(FRAMES, 4) > 0.3, touch=uniform(FRAMES) > 0.5,
        touching=torch.randint(0, 21, (FRAMES, 2), generator=rng), body_mean=near.body_pose,
        left_hand_mean=near.left_hand_pose, right_hand_mean=near.right_hand_pose, K=K, rate=0.8,
    )  # fmt: skip


@pytest.mark.parametrize("name", list(refine.BLOCKS))
def test_each_blocks_gradient_is_the_objectives(double, monkeypatch, name):
    monkeypatch.setattr(refine, "FACE_STRIDE", {"body": 1, "face": 1})
    refine._rows.cache_clear()
    p = random_parameters(double)
    seen = random_observations(p, double)
    weight = seen.weight.clone()
    if name == "body":  # irises are the gaze's to explain
        weight[:, keypoint_slice("face").start + 468 :] = 0
        seen = replace(seen, weight=weight)
    else:  # points of the body that hang on fingers and face are the body's
        weight[:, keypoint_slice("body")] = 0
        seen = replace(seen, weight=weight, touch=torch.zeros_like(seen.touch))
    who, block = refine.subject(double, p.betas), refine.BLOCKS[name]
    equations = block(p, seen, who, WEIGHTS, 1.5)
    step = torch.zeros_like(equations.gradient, requires_grad=True)
    cost = objective(refine.apply_step(block, p, step, who), seen, double, WEIGHTS, 1.5)
    (wanted,) = torch.autograd.grad(cost, step)
    refine._rows.cache_clear()
    got = 2 * equations.gradient
    assert float((got - wanted).abs().max()) < 2e-5 * float(wanted.abs().max())


def test_priors_count_more_where_nobody_looks(double):
    p = random_parameters(double)
    seen = replace(random_observations(p, double), trust=torch.ones(FRAMES, 8))
    assert (seen.doubt(("left_arm", "face")) == 1).all()
    trust = torch.ones(FRAMES, 8)
    trust[2, TRUST_PARTS.index("left_arm")], trust[3, TRUST_PARTS.index("person")] = 0, 0
    doubt = replace(seen, trust=trust).doubt(("left_arm", "face"))
    assert doubt[2].tolist() == [1 + UNTRUSTED, 1] and doubt[3].tolist() == [1 + UNTRUSTED] * 2 and UNTRUSTED > 1


def test_a_shape_that_nobody_saw_is_as_sure_as_the_population(double):
    p = random_parameters(double)
    seen = random_observations(p, double)
    looked = shape_std(p, seen, double)
    blind = shape_std(p, replace(seen, weight=1e-9 * seen.weight), double)
    for known, unknown in zip(looked, blind, strict=True):
        assert np.abs(unknown - 1).max() < 1e-3 and known.min() < 0.6 and known.max() < 1


def test_points_are_the_bodys_landmarks(double):
    p = random_parameters(double)
    points, skeleton = (part.shaped(p.betas) for part in landmarks_of(double))
    turned, joints = skeleton.posed(p.rotmats(), p.transl)
    posed = double.with_shape(p.betas_body, p.betas_head).with_rotmats(p.rotmats(), p.expression, p.transl)
    torch.testing.assert_close(joints, posed.joints, atol=1e-9, rtol=0)
    torch.testing.assert_close(place(points, turned, joints, p.expression).places, posed.landmarks(), atol=1e-4, rtol=0)


def test_equations_are_those_of_the_dense_problem():
    """One Gauss–Newton step of a quadratic problem is its minimum, whatever frames and differences couple."""
    rng = torch.Generator().manual_seed(3)
    make = lambda *dims: torch.randn(*dims, generator=rng, dtype=torch.float64)  # noqa: E731
    frames, size, far = 6, 3, 1e9  # so wide a reach that the robust terms are squares
    jacobian, residual, weight = make(frames, 4, 2, size), make(frames, 4, 2), make(frames, 4).abs()
    value, slope = make(frames, 2, 3), make(frames, 2, 3, size)
    equations = NormalEquations(frames, size, far)
    equations.add(jacobian, residual, weight)
    equations.add_second(value, slope, 1.3, torch.ones(frames - 2, 2))
    equations.add_first(value, slope, 0.7, torch.full((frames - 1, 2), 0.5))
    step = equations.solve(0.0, torch.ones(frames, dtype=torch.bool))

    def cost(flat):
        d = flat.reshape(frames, size)
        moved = value + torch.einsum("tndb,tb->tnd", slope, d)
        first, second = moved.diff(dim=0) * 0.7, moved.diff(n=2, dim=0) * 1.3
        gap = residual + torch.einsum("tndb,tb->tnd", jacobian, d)
        return (weight * gap.square().sum(-1)).sum() + second.square().sum() + 0.5 * first.square().sum()

    hessian = torch.autograd.functional.hessian(cost, torch.zeros(frames * size, dtype=torch.float64))
    gradient = torch.autograd.functional.jacobian(cost, torch.zeros(frames * size, dtype=torch.float64))
    torch.testing.assert_close(step.flatten(), -torch.linalg.solve(hessian, gradient), atol=1e-4, rtol=1e-4)
    assert equations.cost == pytest.approx(float(cost(torch.zeros(frames * size, dtype=torch.float64))), rel=1e-9)


def test_frames_that_are_not_live_stay():
    equations = NormalEquations(5, 2)
    equations.add(torch.randn(5, 3, 2, 2), torch.randn(5, 3, 2), 1.0)
    equations.add_second(torch.randn(5, 1, 2), None, 1.0, torch.ones(3, 1), slice(0, 2))
    live = torch.tensor([False, False, True, True, True])
    step = equations.solve(1e-2, live)
    assert not step[:2].any() and step[2:].abs().min() > 0


def test_steps_only_ever_lower_the_cost(double):
    p = random_parameters(double)
    seen = random_observations(p, double)
    who = refine.subject(double, p.betas)
    costs = []
    for _ in range(4):
        for block in refine.BLOCKS.values():
            before = block(p, seen, who, WEIGHTS, 1.0, derivatives=False).cost
            p, _ = refine.improve(block, p, seen, who, WEIGHTS, 1.0, 1e-2, torch.ones(FRAMES, dtype=torch.bool))
            costs.append((before, block(p, seen, who, WEIGHTS, 1.0, derivatives=False).cost))
    assert all(after <= before for before, after in costs) and p.finite
    assert np.mean([after < before for before, after in costs]) > 0.8
