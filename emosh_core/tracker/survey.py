"""A first look at a whole clip: where it is cut, and where the person to be followed is in each frame."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from emosh_core.errors import ArtifactError
from emosh_core.quiet import quiet_native_stderr
from emosh_core.tracker.people import PeopleFinder, Person
from emosh_core.video_io import Source

LOOKS_PER_SECOND = 6.0
SHORT_SIDE = 64
"""[px] to which frames are shrunk before they are compared."""
CUT_CHANGE, CUT_RATIO, CUT_WINDOW = 12.0, 3.0, 2
"""A cut changes the picture's HSV by this much on average [0..255] and by this times its neighbours' change."""
LINK = 0.8
"""How far somebody moves between two looks at most, in radii."""
PATIENCE = 2.0
"""[s] that somebody may be out of sight and still be the same by place alone."""
ALIKE = 0.5
"""Correlation of colours from which somebody who comes back is taken for the one who left."""
MARGIN = 1.5
"""Half the side of the crop, in radii."""
WHOLE = 0.22
"""Radius over the longer side of the picture from which a lone person needs no crop."""


@dataclass(frozen=True)
class Survey:
    """What a first look at T frames tells."""

    shot: np.ndarray
    """(T,) int, number of the shot that a frame belongs to."""
    circle: np.ndarray
    """(T, 3) x, y and radius [px] of the followed person; NaN where the whole picture is to be searched."""
    people: np.ndarray
    """() int, most people seen at once."""


@dataclass
class _Track:
    shot: int
    frames: list[int] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    colours: list[np.ndarray] = field(default_factory=list)

    @property
    def size(self) -> float:
        return sum(p.radius for p in self.people)

    @property
    def colour(self) -> np.ndarray:
        return np.mean(self.colours, 0)


def survey(source: Source, who: str = "largest", progress: Callable[[int, int], None] | None = None) -> Survey:
    """Look through a clip.

    Args:
        who: "largest"; a number, counted from the left when most people are seen, from 1; or "x,y", a place [px] in
            the first frame with people.

    Raises:
        ArtifactError: there is no such person.
    """
    every = max(round(source.fps / LOOKS_PER_SECOND), 1)
    changes, tracks, last, since = [], [], None, 0
    with quiet_native_stderr(), PeopleFinder() as finder:
        for t, (_, frame) in enumerate(source.frames()):
            small = _shrunk(frame)
            changes.append(0.0 if last is None else float(np.abs(small - last).mean()))
            last = small
            # A great change may be a cut: nobody is expected to be where somebody was.
            since = t if changes[-1] > CUT_CHANGE else since
            if t % every == 0:
                _look(finder, frame, t, tracks, since, PATIENCE * source.fps)
            if progress and t % 16 == 0:
                progress(t, max(source.count, t + 1))
    shot = np.cumsum(find_cuts(np.array(changes, np.float64)))
    for track in tracks:
        track.shot = int(shot[track.frames[0]])
    total, seen = len(changes), [t for track in tracks for t in track.frames]
    most = int(np.bincount(seen).max()) if seen else 0
    followed = _choose(tracks, who, most, source)
    alone = most < 2 and all(p.radius > WHOLE * max(source.width, source.height) for k in followed for p in k.people)
    circle = np.full((total, 3), np.nan, np.float32) if alone else _course(followed, shot)
    return Survey(shot=shot.astype(np.int32), circle=circle, people=np.int32(most))


def find_cuts(changes: np.ndarray) -> np.ndarray:
    """Return in which frames (T,) bool a new shot begins, from how much each differs from the one before."""
    cut = np.zeros(len(changes), bool)
    for t in np.flatnonzero(changes > CUT_CHANGE):
        near = np.r_[changes[max(t - CUT_WINDOW, 1) : t], changes[t + 1 : t + 1 + CUT_WINDOW]]
        cut[t] = changes[t] > CUT_RATIO * near.mean() if len(near) else True
    return cut


def crop_box(circle: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray | None:
    """Return corners (T, 4) of square crops of one size [px] around the followed person, None for whole pictures.

    Args:
        circle: (T, 3) of consecutive frames, see `Survey.circle`.
    """
    if not np.isfinite(circle).any():
        return None
    side = int(np.ceil(2 * MARGIN * np.nanmax(circle[:, 2])))
    if side >= max(frame_size):
        return None
    known, index = np.isfinite(circle[:, 0]), np.arange(len(circle))
    centre = np.stack([np.interp(index, index[known], circle[known, k]) for k in (0, 1)], -1)
    corner = np.rint(centre - side / 2).astype(int)
    return np.concatenate([corner, corner + side], -1)


def crop(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Cut a box (4,) out of a frame; what lies outside is grey."""
    left, top, right, bottom = box
    height, width = frame.shape[:2]
    piece = np.full((bottom - top, right - left, 3), 127, np.uint8)
    inside = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    piece[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return piece if left < width and top < height else np.full_like(piece, 127)


def _shrunk(frame: np.ndarray) -> np.ndarray:
    zoom = SHORT_SIDE / min(frame.shape[:2])
    return cv2.cvtColor(
        cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2HSV
    ).astype(np.float32)


def _look(
    finder: PeopleFinder, frame: np.ndarray, t: int, tracks: list[_Track], since: int, patience: float
) -> None:
    """Detect people in a frame and continue their tracks that were seen since a frame and within the patience."""
    active = [k for k in tracks if k.frames[-1] >= since and t - k.frames[-1] <= patience]
    found = finder.search(frame, [k.people[-1] for k in active])
    pairs = sorted(
        (np.hypot(p.x - k.people[-1].x, p.y - k.people[-1].y) / max(p.radius, k.people[-1].radius), i, j)
        for i, k in enumerate(active)
        for j, p in enumerate(found)
    )
    taken, given = set(), set()
    for distance, i, j in pairs:
        if distance < LINK and i not in taken and j not in given:
            taken.add(i), given.add(j)
            _extend(active[i], t, found[j], frame)
    for j, person in enumerate(found):
        if j not in given:
            tracks.append(_Track(shot=0))
            _extend(tracks[-1], t, person, frame)


def _extend(track: _Track, t: int, person: Person, frame: np.ndarray) -> None:
    track.frames.append(t)
    track.people.append(person)
    half = max(int(person.radius / 3), 2)
    x, y = int(person.x), int(person.y - person.radius / 4)  # the trunk
    patch = frame[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    if patch.size:
        hsv = cv2.cvtColor(np.ascontiguousarray(patch), cv2.COLOR_RGB2HSV)
        track.colours.append(
            cv2.normalize(cv2.calcHist([hsv], [0, 1, 2], None, [8, 4, 4], [0, 180, 0, 256, 0, 256]), None).ravel()
        )


def _choose(tracks: list[_Track], who: str, most: int, source: Source) -> list[_Track]:
    """Return the tracks of the person who was asked for, in every shot."""
    if not tracks:
        return []
    first = _first(tracks, who, most, source)
    same = [first]
    for track in sorted(tracks, key=lambda k: -k.size):
        apart = all(track.frames[-1] < k.frames[0] or track.frames[0] > k.frames[-1] for k in same)
        other_shot = track.shot != first.shot
        if track is not first and apart and (other_shot or _alike(track, first)):
            same.append(track)
    return sorted(same, key=lambda k: k.frames[0])


def _first(tracks: list[_Track], who: str, most: int, source: Source) -> _Track:
    if who == "largest":
        return max(tracks, key=lambda k: k.size)
    start = min(k.frames[0] for k in tracks)
    if "," in who:
        x, y = (float(v) for v in who.split(","))
        there = [(k, k.people[0]) for k in tracks if k.frames[0] == start]
        return min(there, key=lambda pair: np.hypot(pair[1].x - x, pair[1].y - y))[0]
    crowded = int(np.flatnonzero(np.bincount([t for k in tracks for t in k.frames]) == most)[0])
    row = sorted((k for k in tracks if crowded in k.frames), key=lambda k: k.people[k.frames.index(crowded)].x)
    if not 1 <= int(who) <= len(row):
        raise ArtifactError(
            f"there is no person {who} in {source.path}",
            found=f"at most {most} at once, counted from the left in frame {crowded}",
            fix=f"--person 1 to {most}, --person largest, or --person x,y",
        )
    return row[int(who) - 1]


def _alike(one: _Track, other: _Track) -> bool:
    if not one.colours or not other.colours:
        return True
    return cv2.compareHist(one.colour.astype(np.float32), other.colour.astype(np.float32), cv2.HISTCMP_CORREL) > ALIKE


def _course(followed: list[_Track], shot: np.ndarray) -> np.ndarray:
    """Return the circle in each frame, between looks by interpolation, beyond them held, within each shot."""
    circle = np.full((len(shot), 3), np.nan, np.float32)
    for number in np.unique(shot):
        looks = [(t, p) for k in followed for t, p in zip(k.frames, k.people, strict=True) if shot[t] == number]
        if not looks:
            continue
        frames, at = np.flatnonzero(shot == number), [t for t, _ in looks]
        for column, name in enumerate(("x", "y", "radius")):
            circle[frames, column] = np.interp(frames, at, [getattr(p, name) for _, p in looks])
    return circle
