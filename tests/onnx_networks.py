"""ONNX files with the inputs and outputs of real estimators whose answers are known.

Where they can they compute their answer from the picture they are shown, from the centres of a red and a
green disc, so that a cut-out in the wrong place gives a wrong answer.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
BRIGHT = 128.0  # what a disc's channel is above


class Graph:
    """Builds a network step by step; every step returns the name of its result."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, values) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def indices(self, values) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def do(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def reshape(self, value: str, *shape: int) -> str:
        return self.do("Reshape", value, self.indices(shape))

    def save(self, path, image, outputs: dict[str, tuple[str, tuple]], name="input_image"):
        """Write the network; `image` is the shape of its input, `outputs` maps names to (result, shape)."""
        results = [self.do_named(value, output) for output, (value, _) in outputs.items()]
        info = lambda n, s: helper.make_tensor_value_info(n, TensorProto.FLOAT, s)  # noqa: E731
        graph = helper.make_graph(
            self.nodes, "planted", [info(name, image)],
            [info(n, shape) for n, (_, (_, shape)) in zip(results, outputs.items(), strict=True)], self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path

    def do_named(self, value: str, name: str) -> str:
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        return name


def centre(graph: Graph, channel: int, height: int, width: int, *, scale: float, offset: float) -> tuple[str, str]:
    """Centre (x, y) of a disc in pixels from the cut-out's corner; scale and offset bring the input back to 0..255."""
    plane = graph.do("Gather", "input_image", graph.indices([channel]), axis=1)
    plane = graph.do("Add", graph.do("Mul", plane, graph.constant(scale)), graph.constant(offset))
    weight = graph.do("Relu", graph.do("Sub", plane, graph.constant(BRIGHT)))
    total = graph.do("Add", graph.reshape(graph.do("ReduceSum", weight), 1), graph.constant([1e-6]))
    ys, xs = np.mgrid[:height, :width] + 0.5
    found = []
    for grid in (xs, ys):
        moment = graph.do("ReduceSum", graph.do("Mul", weight, graph.constant(grid[None, None])))
        found.append(graph.do("Div", graph.reshape(moment, 1), total))
    return found[0], found[1]


def _discs(graph: Graph, size: int, imagenet: bool):
    """Red disc (x, y) and the vector from red to green, in −1..1 of the cut-out."""
    points = []
    for channel in (0, 1):
        scale, offset = (STD[channel], MEAN[channel]) if imagenet else (255.0, 0.0)
        x, y = centre(graph, channel, size, size, scale=scale, offset=offset)
        points.append([
            graph.do("Sub", graph.do("Div", v, graph.constant([size / 2])), graph.constant([1.0])) for v in (x, y)
        ])  # fmt: skip
    (x, y), (gx, gy) = points
    return x, y, graph.do("Sub", gx, x), graph.do("Sub", gy, y)


def _weak_camera(graph: Graph, x, y, dx, dy, metres: float):
    """s from the discs' distance in the world, and tx, ty that put the origin on the red one; y down."""
    square = graph.do("Add", graph.do("Mul", dx, dx), graph.do("Mul", dy, dy))
    length = graph.do("Sqrt", square)
    s = graph.do("Div", length, graph.constant([metres]))
    return s, graph.do("Div", x, s), graph.do("Div", y, s), length


def hand_from_picture(path, size: int, metres: float, *, free: bool = False):
    """A right hand whose wrist is on the red disc and whose fingers (−x of the model) point to the green one.

    With `free` the file says "any size" of its input, as some exports do.
    """
    g = Graph()
    x, y, dx, dy = _discs(g, size, imagenet=size == 256)
    s, tx, ty, length = _weak_camera(g, x, y, dx, dy, metres)
    c, d = g.do("Div", dx, length), g.do("Div", dy, length)
    minus = lambda v: g.do("Neg", v)  # noqa: E731
    zero, one = g.constant([0.0]), g.constant([1.0])
    rows = g.do("Concat", minus(c), d, zero, minus(d), minus(c), zero, zero, zero, one, axis=0)
    joints = np.zeros((1, 21, 3))
    joints[0, 9] = -metres, 0, 0
    turned = g.do("MatMul", g.constant(joints), g.do("Transpose", g.reshape(rows, 3, 3), perm=[1, 0]))
    return g.save(path, ("batch", 3, "height", "width") if free else (1, 3, size, size), {
        "pred_cam": (g.reshape(g.do("Concat", s, tx, ty, axis=0), 1, 3), (1, 3)),
        "global_orient": (g.reshape(rows, 1, 1, 3, 3), (1, 1, 3, 3)),
        "hand_pose": (g.constant(np.tile(np.eye(3), (1, 15, 1, 1))), (1, 15, 3, 3)),
        "betas": (g.constant(np.zeros((1, 10))), (1, 10)),
        "joints": (turned, (1, 21, 3)),
    })  # fmt: skip


def planted(path, size: int, outputs: dict[str, np.ndarray]):
    """A network that answers the same to every picture."""
    g = Graph()
    used = g.do("Mul", g.reshape(g.do("ReduceSum", "input_image"), 1), g.constant([0.0]))
    values = {n: (g.do("Add", g.constant(v), used), np.shape(v)) for n, v in outputs.items()}
    return g.save(path, (1, 3, size, size), values)


def face_answer(**changes) -> dict[str, np.ndarray]:
    """TEASER's outputs: nothing but a neutral face in the middle."""
    sizes = {"pose": 3, "cam": 3, "shape": 300, "expression": 50, "eyelid": 2, "jaw": 3}
    sizes = {name if name == "cam" else f"{name}_params": size for name, size in sizes.items()}
    answer = {name: np.zeros((1, size), np.float32) for name, size in sizes.items()}
    answer["cam"][0, 0] = 7
    return answer | {name: np.float32(value)[None] for name, value in changes.items()}


def face_from_picture(path, metres: float):
    """A head whose origin is on the red disc and whose chin (−y of the model) points to the green one."""
    g = Graph()
    x, y, dx, dy = _discs(g, 224, imagenet=False)
    s, tx, ty, _ = _weak_camera(g, x, y, dx, dy, metres)
    roll = g.do("Atan", g.do("Div", dx, dy))
    zero = g.constant([0.0])
    row = lambda *v: g.reshape(g.do("Concat", *v, axis=0), 1, 3)  # noqa: E731
    outputs = {"pose_params": (row(zero, zero, roll), (1, 3)), "cam": (row(s, tx, g.do("Neg", ty)), (1, 3))}
    rest = {n: (g.constant(v), v.shape) for n, v in face_answer().items() if n not in outputs}
    return g.save(path, (1, 3, 224, 224), outputs | rest)


def people_from_picture(path, size: tuple[float, float], *, couch: tuple[float, ...]):
    """YOLOX at 640 px: a person of `size` [px of its input] around the red disc, and three that must not win.

    Those are a larger couch, a large person of little confidence and a small one.
    """
    g = Graph()
    x, y = centre(g, 0, 640, 640, scale=1.0, offset=0.0)
    table = np.zeros((1, 8400, 85), np.float32)
    rows = {0: (0, 0, *size, 1.0, 0), 1: (*couch, 0.95, 57), 2: (320, 320, 600, 600, 0.2, 0),
            3: (60, 450, 50, 90, 0.99, 0)}  # fmt: skip
    for i, (cx, cy, w, h, score, kind) in rows.items():  # cells of stride 8 in the first row: x cell i, y cell 0
        table[0, i, :4] = cx / 8 - i, cy / 8, np.log(w / 8), np.log(h / 8)
        table[0, i, 4], table[0, i, 5 + kind] = score, 1
    pick = np.zeros((2, 1, 8400, 85), np.float32)
    pick[0, 0, 0, 0] = pick[1, 0, 0, 1] = 1 / 8
    out = g.constant(table)
    for axis, value in enumerate((x, y)):
        # The discs' centre is counted from the picture's corner, YOLOX's boxes are too.
        out = g.do("Add", out, g.do("Mul", g.constant(pick[axis]), value))
    return g.save(path, (1, 3, 640, 640), {"output": (out, (1, 8400, 85))})


def points_from_picture(path, offsets: np.ndarray, scores: np.ndarray):
    """DWPose at 288×384: point k is `offsets[k]` [px of its input] from the red disc, with a peak of `scores[k]`."""
    g = Graph()
    x, y = centre(g, 0, 384, 288, scale=STD[0], offset=MEAN[0])
    outputs = {}
    for axis, (name, value, bins) in enumerate((("simcc_x", x, 576), ("simcc_y", y, 768))):
        # A response's bin is twice the index of the pixel, which is half less than the distance from the corner.
        index = g.do("Sub", value, g.constant([0.5]))
        target = g.do("Mul", g.do("Add", g.constant(offsets[:, axis, None]), index), g.constant([2.0]))
        away = g.do("Sub", g.constant(np.arange(bins)[None]), target)
        peak = g.do("Exp", g.do("Mul", g.do("Mul", away, away), g.constant([-0.02])))
        outputs[name] = (g.reshape(g.do("Mul", peak, g.constant(scores[:, None])), 1, 133, bins), (1, 133, bins))
    return g.save(path, (1, 3, 384, 288), outputs)
