"""The 55 joints of SMPL-X in its order, and where the pose vectors lie among them."""

_BODY = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 "
    "left_foot right_foot neck left_collar right_collar head left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist jaw left_eye_smplhf right_eye_smplhf"
).split()
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")

JOINT_NAMES = (
    *_BODY,
    *(f"{side}_{finger}{k}" for side in ("left", "right") for finger in _FINGERS for k in (1, 2, 3)),
)
"""Names of the joints; SMPL-X's own, so that its files and ours can be compared by name."""

PARENTS = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip
"""Parent of each joint; the root's is −1."""

HEAD, JAW, EYES = 15, 22, (23, 24)
WRISTS = {"left": 20, "right": 21}
HANDS = {"left": range(25, 40), "right": range(40, 55)}
