"""The command as users run it, and workspaces that already hold a tracked clip and a tracked still."""

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from emosh_cli.main import main
from emosh_core.image_io import write_image
from emosh_core.line import Line
from emosh_core.video_io import VideoWriter
from emosh_core.workspace.artifact import Provenance, write
from emosh_core.workspace.workspace import Workspace

SIZE = (96, 128)
FRAMES = 6


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    """What somebody registered on this machine changes no test."""
    monkeypatch.setenv("EMOSH_HOME", str(tmp_path / "home"))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The one JSON object on stdout."""
        return json.loads(self.out)

    def check(self, code: int, *words: str) -> None:
        """Check that the command refused: exit code, nothing on stdout, and what it says."""
        assert self.code == code, self.err
        assert self.out == "" and "Traceback" not in self.err
        for word in words:
            assert word in self.err, self.err


@pytest.fixture
def emosh():
    """Run the command by subprocess."""

    def run(*arguments, timeout=100) -> Result:
        command = [sys.executable, "-m", "emosh_cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def emosh_here():
    """Run the command in this process: the same code, with torch loaded once for all tests."""
    return run_here


def run_here(*arguments) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["emosh", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    return Result(int(stop.value.code or 0), out.getvalue(), err.getvalue())


def person_picture(t: int = 0) -> np.ndarray:
    """Paint a crude person that the background can be told from."""
    image = np.full((SIZE[1], SIZE[0], 3), (90, 140, 90), np.uint8)
    cv2.ellipse(image, (48 + t, 72), (14, 40), 0, 0, 360, (200, 60, 60), -1)
    cv2.circle(image, (48 + t, 22), 9, (230, 190, 160), -1)
    return image


@pytest.fixture(scope="session")
def tracked_template(tmp_path_factory, make_motion, make_shape):
    """A workspace with the artifacts that tracking `drive.mp4` and `still.png` would leave."""
    folder = tmp_path_factory.mktemp("tracked")
    with VideoWriter(folder / "drive.mp4", 30, SIZE) as writer:
        for t in range(FRAMES):
            writer.write(person_picture(t))
    write_image(folder / "still.png", person_picture())
    workspace = Workspace.create(folder / "ws")
    line = Line(workspace)
    for name, frames, shape in (("drive.mp4", FRAMES, make_shape()), ("still.png", 1, make_shape([1.5, -1]))):
        step = line.track(folder / name)
        workspace.add_input(folder / name)
        motion = make_motion(frames, SIZE, shape)
        provenance = Provenance(
            fingerprint=step.fingerprint, config=step.config, inputs=list(step.inputs), models=step.models
        )
        workspace.commit("track", step.name, step.fingerprint, lambda path, m=motion, p=provenance: write(path, m, p))
    return folder


@pytest.fixture
def tracked(tracked_template, tmp_path):
    """A fresh copy of that folder: `drive.mp4`, `still.png` and the workspace `ws`."""
    return shutil.copytree(tracked_template, tmp_path / "tracked")


@pytest.fixture(scope="session")
def animated_template(tracked_template, tmp_path_factory):
    """The same after `emosh animate`; holds its JSON in `animate.json`."""
    folder = shutil.copytree(tracked_template, tmp_path_factory.mktemp("animated") / "done")
    done = run_here(
        "animate", folder / "ws", "--ref", folder / "still.png", "--chunks", "auto", "--generator", "preview",
        "--i-have-consent", "--json", "-o", folder / "out.mp4",
    )  # fmt: skip
    assert done.code == 0, done.err
    (folder / "animate.json").write_text(done.out)
    return folder


@pytest.fixture
def animated(animated_template, tmp_path):
    """A fresh copy of the animated folder."""
    return shutil.copytree(animated_template, tmp_path / "animated")
