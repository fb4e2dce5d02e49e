"""Find everybody in a picture, with the pose detector inside MediaPipe's wheel.

MediaPipe's own solutions keep one person and drop the others; its detector sees them all.
"""

import os
from dataclasses import dataclass

import numpy as np

from emosh_core.quiet import quiet_native_stderr

GRAPH = """
input_stream: "image"
output_stream: "people"
node { calculator: "PoseDetectionCpu" input_stream: "IMAGE:image" output_stream: "DETECTIONS:people" }
"""
SMALLEST = 240
"""[px] side of the smallest tiles that are searched: the detector sees people from about a third of its input."""
SAME = 0.6
"""Of the radius: detections nearer to each other are one person."""
SMALL, AROUND = 0.25, 2.0
"""Radius over the picture's longer side below which people get a closer look, and how far around them, in radii."""
WIDE = 1.2
"""Longer over shorter side of a picture from which squares of it are searched as well."""


@dataclass(frozen=True)
class Person:
    """Where somebody is: a circle around the hips that holds the whole body."""

    x: float
    """[px]."""
    y: float
    radius: float
    score: float


class PeopleFinder:
    """Detects people in RGB pictures; use as a context manager."""

    def __enter__(self) -> "PeopleFinder":
        with quiet_native_stderr():
            from google.protobuf import text_format
            from mediapipe.framework import calculator_pb2
            from mediapipe.python import packet_creator, packet_getter, solution_base
            from mediapipe.python._framework_bindings import calculator_graph, image_frame, resource_util

            # The graph looks for its model beside the package.
            resource_util.set_resource_dir(os.sep.join(os.path.abspath(solution_base.__file__).split(os.sep)[:-3]))
            graph = text_format.Parse(GRAPH, calculator_pb2.CalculatorGraphConfig())
            self._graph, self._found, self._time = calculator_graph.CalculatorGraph(graph_config=graph), [], 0
            self._graph.observe_output_stream("people", lambda _, packet: self._found.append(
                [] if packet.is_empty() else packet_getter.get_proto_list(packet)), True)  # fmt: skip
            self._graph.start_run()
        self._packet = lambda picture: packet_creator.create_image_frame(
            image_format=image_frame.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
        )
        return self

    def __exit__(self, *_) -> None:
        self._graph.close_all_packet_sources()
        self._graph.wait_until_done()

    def look(self, picture: np.ndarray, x: float = 0.0, y: float = 0.0) -> list[Person]:
        """Detect people in a picture (H, W, 3) whose corner lies at (x, y) of the frame."""
        height, width = picture.shape[:2]
        self._time += 1
        self._found.clear()
        self._graph.add_packet_to_input_stream("image", self._packet(picture).at(self._time))
        self._graph.wait_until_idle()
        people = []
        for found in self._found[-1] if self._found else []:
            hips, edge = ((p.x * width, p.y * height) for p in found.location_data.relative_keypoints[:2])
            radius = float(np.hypot(edge[0] - hips[0], edge[1] - hips[1]))
            people.append(Person(hips[0] + x, hips[1] + y, radius, found.score[0]))
        return people

    def search(self, frame: np.ndarray, known: list[Person] = []) -> list[Person]:  # noqa: B006 (never changed)
        """Detect people of any size in a frame.

        Args:
            known: where people were a moment ago; small ones are looked for there, and no finer search is made.
        """
        height, width = frame.shape[:2]
        side = min(height, width)
        found = self.look(frame) + (self._tiles(frame, side) if max(height, width) > WIDE * side else [])
        while not found and not known and side > SMALLEST:
            side = max(side // 2, SMALLEST)
            found = self._tiles(frame, side)
        large = [p for p in found if p.radius >= SMALL * max(height, width)]
        small = [p for p in (*found, *known) if p.radius < SMALL * max(height, width)]
        # A closer look measures small people, and does not see what only seemed to be one.
        return distinct(large + [p for person in distinct(small) for p in self._at(frame, person)])

    def _tiles(self, frame: np.ndarray, side: int) -> list[Person]:
        height, width = frame.shape[:2]
        corners = [(x, y) for y in _starts(height, side) for x in _starts(width, side)]
        return [p for x, y in corners for p in self.look(frame[y : y + side, x : x + side], x, y)]

    def _at(self, frame: np.ndarray, person: Person) -> list[Person]:
        """Look for somebody where they are thought to be."""
        reach = AROUND * person.radius
        left, top = max(int(person.x - reach), 0), max(int(person.y - reach), 0)
        piece = frame[top : int(person.y + reach), left : int(person.x + reach)]
        return self.look(piece, left, top) if min(piece.shape[:2]) > 8 else []


def _starts(length: int, side: int) -> list[int]:
    """Return where tiles begin that overlap by half."""
    count = max(int(np.ceil((length - side) / (side / 2))) + 1, 1)
    return np.unique(np.linspace(0, length - side, count).astype(int)).tolist()


def distinct(people: list[Person]) -> list[Person]:
    """Keep the surest of several detections of one person."""
    kept: list[Person] = []
    for person in sorted(people, key=lambda p: -p.score):
        if all(np.hypot(person.x - k.x, person.y - k.y) > SAME * max(person.radius, k.radius) for k in kept):
            kept.append(person)
    return kept
