"""The body: a shaped, posed, differentiable human mesh with 55 joints and MediaPipe's landmarks."""

from emosh_core.body.assets import load_body
from emosh_core.body.ehm import EhmModel, PosedBody, ShapedBody
from emosh_core.body.pose import Pose, pose_from_motion, zero_pose

__all__ = ["EhmModel", "Pose", "PosedBody", "ShapedBody", "load_body", "pose_from_motion", "zero_pose"]
