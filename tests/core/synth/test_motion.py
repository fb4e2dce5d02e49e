"""Procedural motion: inside human limits, smooth, feet on the floor and still, hands on their targets, on any body."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from winding import depth

from emosh_core.artifacts import CONTACTS
from emosh_core.body.joints import JOINT_NAMES
from emosh_core.errors import ArtifactError, ConfigError
from emosh_core.synth.motion.limits import components, ranges
from emosh_core.synth.motion.mannequin import proportions, walk_chain
from emosh_core.synth.motion.recorded import read_bvh, read_deepmimic, to_score
from emosh_core.synth.motion.score import KINDS, compose
from emosh_core.synth.motion.stage import stage

FPS, FRAMES = 25.0, 60
SOLE = 300
DEEP = 0.015
"""Soft parts give way by so much [m]."""


def somebody(body, seed: int):
    rng = np.random.default_rng(seed)
    betas = torch.as_tensor(rng.normal(0, 1, 32), dtype=torch.float32)
    return body.with_shape(betas, torch.zeros(64))


def draw(kind: str, seed: int = 0, **options):
    return compose(np.random.default_rng(seed), frames=FRAMES, fps=FPS, motion=kind, **options)


@pytest.fixture(scope="module")
def staged(body):
    """Every kind on somebody of another build."""
    made = {}
    for seed, kind in enumerate(KINDS):
        score, shaped = draw(kind, seed), somebody(body, seed)
        result = stage(score, shaped)
        made[kind] = (score, result, shaped.with_pose(result.pose))
    return made


def soles(posed, k: int) -> torch.Tensor:
    """Return the vertices (T, SOLE, 3) under a foot."""
    model = posed.model
    own = torch.nonzero(model.lbs_weights[:, [7 + k, 10 + k]].sum(1) > 0.95)[:, 0]
    return posed.verts[:, own[model.template[own, 1].argsort()[:SOLE]]]


@pytest.mark.parametrize("kind", KINDS)
def test_joints_stay_inside_human_ranges_and_move_smoothly(staged, kind):
    _, result, posed = staged[kind]
    pose = result.pose
    turns = torch.cat([torch.zeros(FRAMES, 1, 3), pose.body_pose, torch.zeros(FRAMES, 3, 3), pose.left_hand_pose,
                       pose.right_hand_pose], 1)  # fmt: skip
    low, high = ranges()
    parts = components(turns.numpy().astype(float))
    assert (parts > low - 0.01).all() and (parts < high + 0.01).all()
    acceleration = np.linalg.norm(np.diff(posed.joints.numpy(), 2, axis=0), axis=-1) * FPS**2
    assert np.quantile(acceleration, 0.999) < 90 and acceleration.max() < 160  # m/s²
    turned = Rotation.from_rotvec(pose.body_pose.reshape(-1, 3).numpy()).as_matrix().reshape(FRAMES, -1, 3, 3)
    steps = turned[:-1].swapaxes(-1, -2) @ turned[1:]
    speed = Rotation.from_matrix(steps.reshape(-1, 3, 3)).as_rotvec().reshape(FRAMES - 1, -1, 3) * FPS
    jerky = np.linalg.norm(np.diff(speed, axis=0), axis=-1) * FPS
    assert np.quantile(jerky, 0.999) < 250 and jerky.max() < 350  # rad/s²


def arm_rows(body, side: str) -> dict[str, torch.Tensor]:
    """Return the vertices of a hand and a forearm."""
    hand = [j for j, name in enumerate(JOINT_NAMES) if name.startswith(side) and (name[-1] in "123" or "wrist" in name)]
    elbow = JOINT_NAMES.index(f"{side}_elbow")
    return {"hand": torch.nonzero(body.lbs_weights[:, hand].sum(1) > 0.6)[:, 0],
            "forearm": torch.nonzero(body.lbs_weights[:, elbow] > 0.6)[:, 0]}  # fmt: skip


def mesh_of(body, names: str) -> torch.Tensor:
    """Return the faces between vertices that belong to these joints."""
    own = body.lbs_weights[:, [JOINT_NAMES.index(name) for name in names.split()]].sum(1) > 0.5
    return body.faces[own[body.faces].all(1)]


TRUNK = "pelvis spine1 spine2 spine3 neck left_collar right_collar left_hip right_hip left_knee right_knee"


@pytest.mark.parametrize("kind", KINDS)
def test_arms_are_never_inside_the_body(body, staged, kind):
    _, _, posed = staged[kind]
    trunk, head = mesh_of(body, TRUNK), mesh_of(body, "head jaw")
    for side in ("left", "right"):
        for part, rows in arm_rows(body, side).items():
            for t in range(0, FRAMES, 6):
                points = posed.verts[t, rows[::8]]
                assert depth(points, posed.verts[t], trunk) < DEEP, f"{side} {part} in the trunk in frame {t}"
                assert depth(points, posed.verts[t], head) < DEEP, f"{side} {part} in the head in frame {t}"


def test_contacts_of_hands_are_what_the_surfaces_say(body, staged):
    """Against the full mesh: a contact means surfaces that meet, none means surfaces apart."""
    others = {"torso": TRUNK.replace(" left_knee right_knee", ""), "head": "head"}
    told = {True: 0, False: 0}
    for _, result, posed in staged.values():
        for name in CONTACTS[:5]:
            hand, other = name.split("-")
            here = arm_rows(body, hand[:-5])["hand"]
            there = arm_rows(body, "right")["hand"] if other == "right_hand" else mesh_of(body, others[other]).unique()
            for t in range(0, FRAMES, 4):
                gap = float(torch.cdist(posed.verts[t, here[::2]], posed.verts[t, there]).min())
                flag = bool(result.contacts[t, CONTACTS.index(name)])
                told[flag] += 1
                assert gap < 0.015 if flag else gap > 0.002, f"{name} in frame {t}: {flag}, {gap * 1e3:.0f} mm"
    assert told[True] > 30 and told[False] > 500


@pytest.mark.parametrize("kind", KINDS)
def test_planted_feet_stand_on_the_floor_and_do_not_slide(staged, kind):
    score, _, posed = staged[kind]
    assert float(posed.verts[..., 1].min()) > -0.006
    for k in range(2):
        under, on = soles(posed, k), torch.as_tensor(score.planted[:, k])
        lowest = under[..., 1].amin(1)
        if on.any():
            assert float(lowest[on].abs().max()) < 0.006
        both = on[1:] & on[:-1]
        flat = both & torch.as_tensor(np.abs(np.diff(score.ankles[:, k, 1])) < 1e-4)
        if flat.any():
            step = (under[1:] - under[:-1])[flat][..., [0, 2]].norm(dim=-1)
            assert float(step.median()) < 0.003


def test_the_face_and_the_fingers_are_never_frozen(staged):
    for kind, (score, _, _) in staged.items():
        fingers = np.abs(np.diff(score.turns[:, 25:], axis=0)).max((1, 2))
        assert (fingers > 1e-4).mean() > 0.9, kind
        assert (np.abs(np.diff(score.expression, axis=0)).max(1) > 1e-4).mean() > 0.9, kind
    talking = draw("talk", 3)
    jaw = talking.expression.max(0)
    assert jaw.max() > 0.2 and talking.expression.min() >= 0 and talking.expression.max() <= 1
    assert any(draw("talk", seed).blink.max() > 0.8 for seed in range(4))


@pytest.mark.parametrize("seed", range(3))
def test_palms_meet_when_they_clap(body, seed):
    shaped = somebody(body, 10 + seed)
    score = draw("clap", seed)
    result = stage(score, shaped)
    posed = shaped.with_pose(result.pose)
    left, right = (arm_rows(body, side)["hand"] for side in ("left", "right"))
    met = np.minimum(*(touch.weight for touch in score.touches)) > 0.98
    assert met.any() and result.contacts[met, CONTACTS.index("left_hand-right_hand")].all()
    for t in range(FRAMES):
        gap = float(torch.cdist(posed.verts[t, left], posed.verts[t, right]).min())
        if met[t]:
            assert gap < 0.012
            mesh = body.faces[torch.isin(body.faces, right).all(1)]
            assert depth(posed.verts[t, left], posed.verts[t], mesh) < 0.008  # fingers give way
            palms = [posed.landmarks(f"{side}_hand")[t, [0, 5, 17]].mean(0) for side in ("left", "right")]
            assert float((palms[0] - palms[1]).norm()) < 0.09  # flat hands are this thick together
        elif score.touches[0].weight[t] < 0.01:
            assert gap > 0.03


def test_a_hand_on_the_face_is_on_the_face(body):
    for seed in range(3):
        shaped, score = somebody(body, 20 + seed), draw("face", seed)
        posed = shaped.with_pose(stage(score, shaped).pose)
        touch = score.touches[0]
        held = touch.weight > 0.98
        hand = posed.landmarks(("left_hand", "right_hand")[touch.hand])[:, [8, 12]].mean(1)
        face = posed.landmarks("face") if touch.target != "head" else posed.landmarks("face")[:, [297, 67]]
        assert held.any() and float((face - hand[:, None]).norm(dim=-1).amin(1)[torch.as_tensor(held)].max()) < 0.07


@pytest.mark.parametrize("kind", ["idle", "walk"])
def test_arms_that_would_enter_the_trunk_are_held_out(body, kind):
    shaped, score = somebody(body, 4), draw(kind, 5)
    turns = score.turns.copy()
    turns[:, [16, 17], 2] += [-0.35, 0.35]  # arms that hang are pressed into the hips
    posed = shaped.with_pose(stage(replace(score, turns=turns), shaped).pose)
    for side in ("left", "right"):
        for rows in arm_rows(body, side).values():
            for t in range(0, FRAMES, 6):
                assert depth(posed.verts[t, rows[::8]], posed.verts[t], mesh_of(body, TRUNK)) < DEEP


def test_the_same_seed_is_the_same_score_and_another_body_keeps_its_rotations(body):
    first, again, other = draw("gesture", 4), draw("gesture", 4), draw("gesture", 5)
    assert (first.turns == again.turns).all() and (first.expression == again.expression).all()
    assert np.abs(first.turns - other.turns).max() > 0.1
    poses = [stage(first, somebody(body, seed)).pose for seed in (1, 2)]
    assert torch.equal(poses[0].expression, poses[1].expression)
    same = [JOINT_NAMES.index(name) - 1 for name in ("spine1", "neck", "head", "left_wrist", "right_elbow")]
    torch.testing.assert_close(poses[0].body_pose[:, same], poses[1].body_pose[:, same])


def test_tempos_of_splits_never_meet():
    from emosh_core.synth.motion.score import _tempo

    rngs = [np.random.default_rng(seed) for seed in range(300)]
    drawn = {split: [_tempo(rng, split) for rng in rngs] for split in ("train", "val", "test")}
    edges = 0.75 * (1.3 / 0.75) ** (np.arange(12) / 11)
    bins = {split: set(np.digitize(tempos, edges).tolist()) for split, tempos in drawn.items()}
    assert not bins["train"] & bins["val"] and not bins["train"] & bins["test"] and not bins["val"] & bins["test"]
    assert len(bins["train"]) == 7


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="neither a kind") as caught:
        draw("moonwalk")
    assert "gesture" in caught.value.fix


BVH_JOINTS = [
    ("Hips", "", (0, 90, 0)), ("Spine", "Hips", (0, 20, 0)), ("Neck", "Spine", (0, 25, 0)),
    ("Head", "Neck", (0, 10, 0)),
]  # fmt: skip


def write_bvh(path, turns: dict[str, np.ndarray]):
    """Write a file with arms that hang at rest, whose joints turn as given in x, y, z degrees (T, 3)."""
    joints = list(BVH_JOINTS)
    for side, sign in (("Left", 1), ("Right", -1)):
        joints += [(f"{side}UpLeg", "Hips", (9 * sign, -5, 0)), (f"{side}Leg", f"{side}UpLeg", (0, -40, 0)),
                   (f"{side}Foot", f"{side}Leg", (0, -40, 0)), (f"{side}Arm", "Spine", (16 * sign, 20, 0)),
                   (f"{side}ForeArm", f"{side}Arm", (0, -28, 0)),
                   (f"{side}Hand", f"{side}ForeArm", (0, -25, 0))]  # fmt: skip
    order = []

    def block(name, depth):
        order.append(name)
        offset = next(o for n, _, o in joints if n == name)
        channels = "6 Xposition Yposition Zposition " if depth == 0 else "3 "
        inner = "".join(block(child, depth + 1) for child, parent, _ in joints if parent == name)
        end = "" if inner else "End Site { OFFSET 0 -5 0 }\n"
        word = "ROOT" if depth == 0 else "JOINT"
        return (f"{word} {name} {{\nOFFSET {offset[0]} {offset[1]} {offset[2]}\nCHANNELS {channels}"
                f"Zrotation Xrotation Yrotation\n{inner}{end}}}\n")  # fmt: skip

    text = "HIERARCHY\n" + block("Hips", 0)
    count = len(next(iter(turns.values())))
    rows = []
    for t in range(count):
        row = ["0", "90", "0"]
        for name in order:
            x, y, z = turns.get(name, np.zeros((count, 3)))[t]
            row += [f"{z:.6f}", f"{x:.6f}", f"{y:.6f}"]
        rows.append(" ".join(row))
    path.write_text(text + f"MOTION\nFrames: {count}\nFrame Time: 0.04\n" + "\n".join(rows) + "\n")


def about(axis: str, degrees: np.ndarray) -> Rotation:
    return Rotation.from_euler(axis, degrees[:, None], degrees=True)


def test_a_bvh_file_moves_the_bones_as_it_says(tmp_path):
    count = 20
    bend = np.linspace(0, 80, count)
    none = 0 * bend
    turns = {"LeftForeArm": np.stack([-bend, none, none], 1), "RightUpLeg": np.stack([-0.6 * bend, none, none], 1),
             "LeftArm": np.stack([none, none, bend], 1)}  # fmt: skip
    write_bvh(tmp_path / "a.bvh", turns)
    recording = read_bvh(tmp_path / "a.bvh")
    joints, _ = walk_chain(recording.turns, proportions().joints)

    def unit(a: int, b: int) -> np.ndarray:
        bone = joints[:, b] - joints[:, a]
        return bone / np.linalg.norm(bone, axis=1, keepdims=True)

    down, upper = np.array([0, -1.0, 0]), about("z", bend)
    np.testing.assert_allclose(unit(16, 18), upper.apply(down), atol=1e-6)
    np.testing.assert_allclose(unit(18, 20), (upper * about("x", -bend)).apply(down), atol=1e-6)
    np.testing.assert_allclose(unit(2, 5), about("x", -0.6 * bend).apply(down), atol=1e-6)
    score = to_score(recording, np.arange(count) / 25, "a")
    assert score.planted[:, 0].all() and np.isfinite(score.place).all()


EMPTY = "HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 0 } MOTION Frames: 0 Frame Time: 0.04"


@pytest.mark.parametrize("text", ["", "HIERARCHY", EMPTY])
def test_a_broken_bvh_is_refused(tmp_path, text):
    (tmp_path / "b.bvh").write_text(text)
    with pytest.raises(ArtifactError, match="cannot use the recording"):
        read_bvh(tmp_path / "b.bvh")


def test_a_deepmimic_text_moves_the_bones_as_it_says(tmp_path):
    frames = np.zeros((10, 44))
    frames[:, 0], frames[:, 2] = 0.04, 0.9
    for column in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        frames[:, column] = 1  # unit quaternions
    frames[:, 20] = np.linspace(0, -1.2, 10)  # the right knee
    (tmp_path / "walk.txt").write_text(json.dumps({"Loop": "wrap", "Frames": frames.tolist()}))
    recording = read_deepmimic(tmp_path / "walk.txt")
    joints, _ = walk_chain(recording.turns, proportions().joints)
    upper = np.abs(joints[:, 18] - joints[:, 16])
    assert (upper[:, 1] > 3 * upper[:, 0]).all()  # arms hang
    assert joints[-1, 8, 2] < joints[0, 8, 2] - 0.3 and abs(joints[-1, 7, 2] - joints[0, 7, 2]) < 1e-6
    (tmp_path / "bad.txt").write_text('{"Frames": [[1, 2]]}')
    with pytest.raises(ArtifactError, match="cannot use"):
        read_deepmimic(tmp_path / "bad.txt")
