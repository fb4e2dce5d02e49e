"""Scores from recordings: BVH files and DeepMimic's mocap text.

A recording's joints are matched by name to ours; each bone that has a child among the matched joints is turned
from the direction that it has in the file's rest pose to the one it has in our T-pose, so that any rest pose will do.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation, Slerp

from emosh_core.body.joints import JOINT_NAMES, PARENTS
from emosh_core.errors import ArtifactError
from emosh_core.synth.motion.footwork import ANKLE_HEIGHT
from emosh_core.synth.motion.limits import limited
from emosh_core.synth.motion.mannequin import proportions, walk_chain
from emosh_core.synth.motion.score import Score

SUFFIXES = (".bvh", ".txt")
SLOW, LOW = 0.35, 0.06
"""A foot is planted where its ankle is slower than this [legs/s] and lower than this over its lowest place [legs]."""
NAMES = {
    "pelvis": "hips hip pelvis root", "spine1": "spine lowerback abdomen spine1 chest",
    "spine2": "spine1 spine2 chest2 torso", "spine3": "spine2 spine3 chest chest3 chest4 upperchest",
    "neck": "neck neck1 neck01", "head": "head",
    # Some rigs call the collar a shoulder: whoever has an arm as well.
    "left_shoulder": "leftarm leftuparm leftupperarm lshldr lupperarm lefthumerus upperarml upperarm01l lhumerus "
                     "leftshoulder lshoulder",
    "left_collar": "leftcollar leftshoulder lcollar lshoulder claviclel lclavicle leftclavicle",
    "left_elbow": "leftforearm leftlowarm leftlowerarm lforearm lradius lowerarml lowerarm01l leftelbow",
    "left_wrist": "lefthand lhand handl wristl leftwrist",
    "left_hip": "leftupleg leftthigh lthigh lefthip upperlegl upperleg01l lfemur",
    "left_knee": "leftleg leftlowleg leftshin lshin leftknee lowerlegl lowerleg01l ltibia",
    "left_ankle": "leftfoot lfoot footl leftankle", "left_foot": "lefttoebase lefttoe ltoe toe1-1l toebasel",
}  # fmt: skip
"""Our joints to the names that common rigs give them (CMU, Mixamo, HumanIK, Poser, MakeHuman), without case and
punctuation; right sides likewise."""
FINGERS = ("index", "middle", "ring", "pinky", "thumb")
DEEPMIMIC = (
    ("spine3", 4), ("neck", 4), ("right_hip", 4), ("right_knee", 1), ("right_ankle", 4), ("right_shoulder", 4),
    ("right_elbow", 1), ("left_hip", 4), ("left_knee", 1), ("left_ankle", 4), ("left_shoulder", 4), ("left_elbow", 1),
)  # fmt: skip
"""Numbers of a frame after time, root position (3) and root quaternion (4, w first), and the joint that each turns
(Peng et al. 2018, DeepMimic: humanoid3d). Its humanoid stands with arms hanging, x forward, y up, z to its right."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Rotations on our joints at the recording's own times."""

    times: np.ndarray
    """(N,) [s]."""
    turns: np.ndarray
    """(N, 55, 3) axis-angle [rad]."""
    root: np.ndarray
    """(N, 3) the pelvis, in legs, y up."""


def perform_recording(rng: np.random.Generator, path: Path, clock: np.ndarray) -> Score:
    """Take a random stretch of a file, or of a file of a folder, as a score.

    Raises:
        ArtifactError: there is no recording, or it cannot be read.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ArtifactError(f"no recordings in {path}", found="no .bvh and no .txt", fix="give BVH or mocap text files")
    file = files[rng.integers(len(files))]
    recording = read_bvh(file) if file.suffix.lower() == ".bvh" else read_deepmimic(file)
    length = recording.times[-1] - recording.times[0]
    start = recording.times[0] + rng.random() * max(0.0, length - clock[-1])
    # A recording that is too short is played forward and backward.
    since = np.mod(clock + start - recording.times[0], 2 * max(length, 1e-3))
    return to_score(recording, recording.times[0] + np.where(since > length, 2 * length - since, since), file.stem)


def to_score(recording: Recording, times: np.ndarray, name: str) -> Score:
    """Resample a recording at times (T,) [s] and find its steps."""
    turns = np.zeros((len(times), 55, 3))
    for joint in range(55):
        course = Rotation.from_rotvec(recording.turns[:, joint])
        turns[:, joint] = Slerp(recording.times, course)(times).as_rotvec()
    turns = limited(turns)
    root = np.stack([np.interp(times, recording.times, recording.root[:, axis]) for axis in range(3)], -1)
    body = proportions()
    joints, _ = walk_chain(turns, body.joints)
    ankles = joints[:, [7, 8]] + root[:, None]
    floor = np.quantile(ankles[..., 1].min(1), 0.05)
    middle = root[len(root) // 2] * [1, 0, 1]
    ankles = ankles - middle - [0, floor - ANKLE_HEIGHT, 0]
    place = root - middle - [0, floor - ANKLE_HEIGHT + body.standing, 0]
    step = np.gradient(times) if len(times) > 1 else np.ones(1)
    moved = np.gradient(ankles, axis=0) if len(times) > 1 else np.zeros_like(ankles)
    speed = np.abs(moved / np.abs(step).clip(1e-3)[:, None, None]).max(-1)
    planted = (speed < SLOW) & (ankles[..., 1] < ANKLE_HEIGHT + LOW)
    fps = 1 / float(np.median(np.abs(step)).clip(1e-3))
    return Score(kind=name, fps=fps, turns=turns, place=place, ankles=_held(ankles, planted), planted=planted,
                 expression=np.zeros((len(times), 52)),
                 blink=np.zeros((len(times), 2)))  # fmt: skip


def _held(ankles: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Keep each planted foot where it is on average, and lead it there and away smoothly."""
    shift = np.zeros_like(ankles)
    frames = np.arange(len(ankles))
    for k in range(2):
        edges = np.flatnonzero(np.diff(np.r_[0, planted[:, k].astype(int), 0]))
        for first, stop in zip(edges[::2], edges[1::2]):
            shift[first:stop, k] = ankles[first:stop, k].mean(0) - ankles[first:stop, k]
            shift[first:stop, k, 1] = 0
        if planted[:, k].any():
            on = planted[:, k]
            for axis in (0, 2):
                shift[:, k, axis] = np.interp(frames, frames[on], shift[on, k, axis])
    if len(shift) >= 9:
        loose = savgol_filter(shift, 9, 2, axis=0)
        shift = np.where(planted[..., None], shift, loose)
    return ankles + shift


def read_bvh(path: Path) -> Recording:
    """Read a BVH file.

    Raises:
        ArtifactError: it is not BVH, has no frames, or too few joints whose names are known.
    """
    tokens = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        skeleton, at = _hierarchy(tokens)
        count = int(tokens[tokens.index("Frames:", at) + 1])
        where = tokens.index("Time:", at)
        frame = float(tokens[where + 1])
        values = np.array(tokens[where + 2 :], np.float64)
        width = sum(len(channels) for _, _, _, channels in skeleton)
        values = values[: len(values) // width * width].reshape(-1, width)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise _unreadable(path, str(error)) from error
    if not len(values) or frame <= 0:
        raise _unreadable(path, f"{len(values)} of {count} frames, {frame} s each")
    return _match(path, skeleton, values, frame)


def _hierarchy(tokens: list[str]) -> tuple[list, int]:
    """Return (name, parent, offset, channels) of each joint, and where the motion begins."""
    skeleton, stack, place = [], [], 0
    while tokens[place] != "MOTION":
        word = tokens[place]
        if word in ("ROOT", "JOINT"):
            skeleton.append([tokens[place + 1], stack[-1] if stack else -1, np.zeros(3), []])
            stack.append(len(skeleton) - 1)
        elif word == "End":
            stack.append(-2)
        elif word == "OFFSET" and stack[-1] >= 0:
            skeleton[stack[-1]][2] = np.array(tokens[place + 1 : place + 4], np.float64)
        elif word == "CHANNELS":
            size = int(tokens[place + 1])
            skeleton[stack[-1]][3] = tokens[place + 2 : place + 2 + size]
        elif word == "}":
            stack.pop()
        place += 1
    return skeleton, place


def _match(path: Path, skeleton: list, values: np.ndarray, frame: float) -> Recording:
    """Turn a BVH's channels into rotations of our joints."""
    turned, rest, place, column = [], [], np.zeros((len(values), 3)), 0
    for name, parent, offset, channels in skeleton:
        own = values[:, column : column + len(channels)]
        column += len(channels)
        spin = [(word[0], own[:, k]) for k, word in enumerate(channels) if word.endswith("rotation")]
        moved = [word for word in channels if word.endswith("position")]
        if parent < 0 and moved:
            place = own[:, ["XYZ".index(word[0]) for word in moved]] if len(moved) == 3 else place
        local = Rotation.identity(len(values))
        for axis, angle in spin:
            local = local * Rotation.from_rotvec(np.multiply.outer(np.radians(angle), np.eye(3)["XYZ".index(axis)]))
        turned.append(local if parent < 0 else turned[parent] * local)
        rest.append(offset if parent < 0 else rest[parent] + offset)
        del name
    found = _names([row[0] for row in skeleton])
    limbs = ("hip", "knee", "shoulder", "elbow")
    needed = ["pelvis", *(f"{side}_{joint}" for side in ("left", "right") for joint in limbs)]
    missing = [name for name in needed if name not in found]
    if missing:
        raise _unreadable(path, f"no joint for {', '.join(missing)} among {', '.join(row[0] for row in skeleton[:30])}")
    ours = proportions().joints
    whole = {name: turned[row] for name, row in found.items()}
    align = {name: _aim(name, {key: rest[row] for key, row in found.items()}, ours) for name in found}
    leg = sum(np.linalg.norm(rest[found[f"left_{a}"]] - rest[found[f"left_{b}"]])
              for a, b in (("hip", "knee"), ("knee", "ankle")) if f"left_{b}" in found)  # fmt: skip
    turns = _relative({name: whole[name] * align[name] for name in found}, len(values))
    return Recording(times=np.arange(len(values)) * frame, turns=turns, root=place / max(leg, 1e-6))


def _names(names: list[str]) -> dict[str, int]:
    """Match a rig's joints to ours: our name to its row; each of its joints is used once."""
    plain = [re.sub(r"^(mixamorig|.*[:|])", "", name).lower() for name in names]
    plain = [re.sub(r"[^a-z0-9-]", "", name).replace("-", "") for name in plain]
    found: dict[str, int] = {}
    for side in ("left", "right"):
        for ours, theirs in NAMES.items():
            if ours.startswith("left_") or side == "left":
                for word in theirs.replace("-", "").split():
                    other = word if side == "left" else _mirrored(word)
                    name = ours if side == "left" else ours.replace("left_", "right_")
                    if name not in found and other in plain and plain.index(other) not in found.values():
                        found[name] = plain.index(other)
        for finger in FINGERS:
            for k in (1, 2, 3):
                for word in (f"{side}hand{finger}{k}", f"{side}{finger}{k}", f"{side[0]}{finger}{k}"):
                    if word in plain:
                        found[f"{side}_{finger}{k}"] = plain.index(word)
    return found


def _mirrored(word: str) -> str:
    if word.startswith("left"):
        return "right" + word[4:]
    return "r" + word[1:] if word.startswith("l") and not word.startswith("lower") else re.sub("l$", "r", word)


def _aim(name: str, rest: dict[str, np.ndarray], ours: np.ndarray) -> Rotation:
    """Return the turn that takes a bone's direction in our T-pose to the one in the file's rest pose."""
    joint = JOINT_NAMES.index(name)
    children = [k for k in range(55) if PARENTS[k] == joint and JOINT_NAMES[k] in rest]
    if not children or name in ("pelvis", "spine3"):
        parent = JOINT_NAMES[PARENTS[joint]] if PARENTS[joint] >= 0 else ""
        ends = name.endswith(("wrist", "foot", "ankle")) and parent in rest
        return _aim(parent, rest, ours) if ends and name.endswith("wrist") else Rotation.identity()
    child = children[0]
    theirs, mine = rest[JOINT_NAMES[child]] - rest[name], ours[child] - ours[joint]
    if name.endswith("ankle") or np.linalg.norm(theirs) < 1e-9:
        return Rotation.identity()
    return Rotation.align_vectors(theirs[None], mine[None])[0]


def _relative(whole: dict[str, Rotation], count: int) -> np.ndarray:
    """Return rotations relative to the parents (N, 55, 3); joints that were not recorded follow their parents."""
    turns, world = np.zeros((count, 55, 3)), []
    for joint, name in enumerate(JOINT_NAMES):
        above = Rotation.identity(count) if PARENTS[joint] < 0 else world[PARENTS[joint]]
        here = whole.get(name, above)
        turns[:, joint] = (above.inv() * here).as_rotvec()
        world.append(here)
    return turns


def read_deepmimic(path: Path) -> Recording:
    """Read a mocap text of DeepMimic: JSON with `Frames` of 44 numbers.

    Raises:
        ArtifactError: it is not such a file.
    """
    try:
        frames = np.array(json.loads(path.read_text(encoding="utf-8"))["Frames"], np.float64)
        if frames.ndim != 2 or frames.shape[1] != 44 or len(frames) < 2:
            raise ValueError(f"frames of shape {frames.shape}, wanted (N, 44)")
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, str(error)) from error
    # Their x is forward, z to the right; ours is x to the left, z forward.
    axes = Rotation.from_matrix([[0, 0, -1], [0, 1, 0], [1, 0, 0]])
    turn = lambda quat: axes * Rotation.from_quat(quat[:, [1, 2, 3, 0]]) * axes.inv()  # noqa: E731
    count, column, local = len(frames), 8, {}
    for name, size in DEEPMIMIC:
        own = frames[:, column : column + size]
        column += size
        # Elbows and knees turn about their own z, which is our −x: an elbow bends forward, a knee backward.
        local[name] = turn(own) if size == 4 else Rotation.from_rotvec(np.multiply.outer(own[:, 0], [-1.0, 0, 0]))
    world = {"pelvis": turn(frames[:, 4:8])}
    for side in ("left", "right"):
        hang = Rotation.from_euler("z", (-90 if side == "left" else 90), degrees=True)
        world[f"{side}_hip"] = world["pelvis"] * local[f"{side}_hip"]
        world[f"{side}_knee"] = world[f"{side}_hip"] * local[f"{side}_knee"]
        world[f"{side}_ankle"] = world[f"{side}_knee"] * local[f"{side}_ankle"]
        chest = world["pelvis"] * local["spine3"]
        upper = chest * local[f"{side}_shoulder"]
        # Our arms lie along x in the zero pose, theirs hang.
        world[f"{side}_shoulder"], world[f"{side}_elbow"] = upper * hang, upper * local[f"{side}_elbow"] * hang
        world["spine3"], world["neck"] = chest, chest * local["neck"]
    times = np.concatenate([[0], np.cumsum(frames[:-1, 0])])
    height = frames[:, 2].max()
    root = axes.apply(frames[:, 1:4]) / max(height, 1e-6) * proportions().standing
    return Recording(times=times, turns=_relative(world, count), root=root)


def _unreadable(path: Path, found: str) -> ArtifactError:
    return ArtifactError(f"cannot use the recording {path}", found=found, fix="a BVH or DeepMimic mocap text file")
