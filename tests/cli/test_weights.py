"""`emosh models`: what is registered, what is refused and why, and what to do about weights that are missing."""

import hashlib
import os

import numpy as np
import pytest
from onnx_networks import face_answer, planted

from emosh_core import models
from emosh_core.errors import AssetError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def hand(tmp_path):
    outputs = {"pred_cam": np.zeros((1, 3)), "global_orient": np.zeros((1, 1, 3, 3)),
               "hand_pose": np.zeros((1, 15, 3, 3)), "betas": np.zeros((1, 10))}  # fmt: skip
    return planted(tmp_path / "hamer.onnx", 256, outputs)


def row(result, kind: str) -> dict:
    assert result.code == 0, result.err
    return next(row for row in result.json["models"] if row["kind"] == kind)


def test_a_file_is_added_found_and_forgotten(emosh, emosh_here, hand, home):
    assert row(emosh_here("models", "list", "--json"), "hamer")["state"] == "absent"
    done = emosh("models", "add", "hamer", hand)  # once by subprocess: it is a command of its own
    sha256 = hashlib.sha256(hand.read_bytes()).hexdigest()
    assert done.code == 0 and sha256 in done.out and "licence" in done.out and "MANO" in done.out, done.err
    there = row(emosh_here("models", "list", "--json"), "hamer")
    assert there["state"] == "ok" and there["sha256"] == sha256 and there["path"] == str(hand)
    assert emosh_here("models", "path", "hamer").out.strip() == str(hand)
    assert [path.name for path in (home / "models").iterdir()] == ["hamer.json"]  # nothing half-written beside it
    assert emosh_here("models", "remove", "hamer").code == 0 and hand.exists()
    assert row(emosh_here("models", "list", "--json"), "hamer")["state"] == "absent"
    emosh_here("models", "remove", "hamer").check(4, "hamer weights are needed")


def test_missing_weights_name_the_command_that_adds_them(emosh_here):
    emosh_here("models", "path", "wilor").check(4, "wilor weights are needed", "emosh models add wilor PATH.onnx")
    emosh_here("models", "path", "gvhmr").check(4, "emosh models add gvhmr PATH.ckpt")


@pytest.mark.parametrize("verify", [False, True])
def test_a_changed_or_vanished_file_is_noticed(emosh_here, hand, verify):
    assert emosh_here("models", "add", "hamer", hand).code == 0
    flags = ["--verify"] if verify else []
    hand.write_bytes(hand.read_bytes() + b"x")
    assert row(emosh_here("models", "list", "--json", *flags), "hamer")["state"] == "changed since they were added"
    emosh_here("models", "path", "hamer").check(4, "changed since they were added", "emosh models add hamer")
    hand.unlink()
    assert row(emosh_here("models", "list", "--json", *flags), "hamer")["state"] == "gone"
    emosh_here("models", "path", "hamer").check(4, "are gone", str(hand))


def test_only_verify_notices_a_change_that_hides(emosh_here, hand):
    assert emosh_here("models", "add", "hamer", hand).code == 0
    status, data = hand.stat(), bytearray(hand.read_bytes())
    data[-1] ^= 1
    hand.write_bytes(data)
    os.utime(hand, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert row(emosh_here("models", "list", "--json"), "hamer")["state"] == "ok"
    assert row(emosh_here("models", "list", "--json", "--verify"), "hamer")["state"] != "ok"


def test_a_touched_file_with_the_same_content_is_fine(emosh_here, hand):
    assert emosh_here("models", "add", "hamer", hand).code == 0
    os.utime(hand, (1, 1))
    assert emosh_here("models", "path", "hamer").code == 0


def test_another_network_is_refused_with_what_differs(emosh_here, tmp_path, hand):
    done = emosh_here("models", "add", "teaser", hand)
    done.check(4, "this is no teaser network", "inputs in the file: input_image 1×3×256×256",
               "inputs that are lacking: any name ?×3×224×224", "outputs in the file: pred_cam 1×3, global_orient",
               "outputs that are lacking: pose_params ?×3, cam ?×3")  # fmt: skip
    assert row(emosh_here("models", "list", "--json"), "teaser")["state"] == "absent"
    short = face_answer()
    short["expression_params"] = np.zeros((1, 40), np.float32)
    done = emosh_here("models", "add", "smirk", planted(tmp_path / "short.onnx", 224, short))
    done.check(4, "outputs that are lacking: expression_params ?×50\n", "expression_params 1×40")
    assert "inputs" not in done.err


def test_outputs_without_the_usual_names_are_taken_in_order(emosh_here, tmp_path):
    answer = {f"output_{i}": value for i, value in enumerate(face_answer().values())}
    assert emosh_here("models", "add", "teaser", planted(tmp_path / "a.onnx", 224, answer)).code == 0
    turned = dict(zip(answer, reversed(answer.values()), strict=True))
    emosh_here("models", "add", "teaser", planted(tmp_path / "b.onnx", 224, turned)).check(4, "this is no teaser")


def test_what_is_no_network_is_refused(emosh_here, tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    emosh_here("models", "add", "hamer", tmp_path / "text.onnx").check(4, "not an ONNX network", "text.onnx")
    (tmp_path / "hamer.ckpt").write_text("weights")
    emosh_here("models", "add", "hamer", tmp_path / "hamer.ckpt").check(4, "hamer weights end in .onnx")
    emosh_here("models", "add", "hamer", tmp_path / "none.onnx").check(4, "no such file", "none.onnx")
    emosh_here("models", "add", "hammer", tmp_path / "text.onnx").check(2, "'hammer'", "hamer")


def test_without_onnxruntime_the_extra_is_named(emosh_here, hand, monkeypatch):
    found = models.importlib.util.find_spec
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    emosh_here("models", "add", "hamer", hand).check(6, "onnxruntime is needed", '".[onnx]"')


def test_a_damaged_record_is_an_error_that_says_so(emosh_here, hand, home):
    assert emosh_here("models", "add", "hamer", hand).code == 0
    (home / "models" / "hamer.json").write_text("{")
    emosh_here("models", "path", "hamer").check(4, "record of hamer weights is damaged", "hamer.json")


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    assert models.folder() == tmp_path / "home" / "models"
    monkeypatch.delenv("EMOSH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert models.folder() == tmp_path / "data" / "emosh" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models.folder() == tmp_path / ".local" / "share" / "emosh" / "models"


def test_a_write_that_fails_leaves_the_earlier_record(hand, home, monkeypatch):
    models.add("hamer", hand)
    before = (home / "models" / "hamer.json").read_text()

    def full_disk(self, text, encoding=None):
        self.write_bytes(text[:20].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models.Path, "write_text", full_disk)
    with pytest.raises(OSError):
        models.add("hamer", hand)
    assert (home / "models" / "hamer.json").read_text() == before
    assert models.require("hamer").path == str(hand) and len(list((home / "models").iterdir())) == 1


def test_each_kind_says_whose_licence_binds():
    assert {"dwpose-det", "dwpose-pose", "gvhmr", "hamer", "wilor", "teaser", "smirk"} <= models.KINDS.keys()
    assert all(kind.licence and kind.use for kind in models.KINDS.values())
    with pytest.raises(AssetError):
        models.require("smirk")


def test_doctor_lists_what_is_registered(emosh_here, hand):
    def weights():
        checks = emosh_here("doctor", "--json").json["checks"]
        return {check["what"]: check for check in checks if "weights" in check["what"]}

    assert weights() == {}
    assert emosh_here("models", "add", "hamer", hand).code == 0
    assert weights().keys() == {"hamer weights"} and weights()["hamer weights"]["state"] == "ok"
    hand.unlink()
    assert weights()["hamer weights"]["state"] == "broken" and "emosh models" in weights()["hamer weights"]["fix"]
