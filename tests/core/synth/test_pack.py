"""The asset pack: what is missing or damaged is said, not guessed."""

import numpy as np
import pytest
from pack_on_disk import write_pack

from emosh_core.errors import AssetError
from emosh_core.synth.pack import distinct_corners, load_pack


def test_a_missing_folder_and_a_missing_manifest_are_told_apart(tmp_path):
    with pytest.raises(AssetError, match="no asset pack"):
        load_pack(tmp_path / "nowhere")
    with pytest.raises(AssetError, match="no manifest"):
        load_pack(tmp_path)
    (tmp_path / "manifest.json").write_text('{"items": [{"kind": "skin"}]}', encoding="utf-8")
    with pytest.raises(AssetError, match="manifest of the asset pack is damaged"):
        load_pack(tmp_path)


def test_files_are_checked_when_they_are_used(tmp_path):
    pack = load_pack(write_pack(tmp_path))
    skin, suit = pack.item("skin", "dark"), pack.item("outfit", "suit")
    assert pack.picture(skin).shape == (32, 32, 4)
    path = tmp_path / pack.file(suit, "geometry").path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AssetError, match="damaged"):
        pack.geometry(suit)
    (tmp_path / pack.file(skin, "diffuse_hi").path).unlink()
    with pytest.raises(AssetError, match="missing"):
        pack.picture(skin, "diffuse_hi")


def test_an_unknown_item_names_those_there_are(pack_folder):
    with pytest.raises(AssetError) as caught:
        load_pack(pack_folder).item("hair", "mohawk")
    assert "short02" in str(caught.value)


def test_tags_say_who_may_wear_something(pack_folder):
    pack = load_pack(pack_folder)
    assert not pack.item("outfit", "gown").suits("male")
    assert pack.item("shoes", "boots").suits("male")


def test_corners_keep_vertex_and_uv():
    rng = np.random.default_rng(0)
    faces, face_uv = rng.integers(0, 9, (30, 3)), rng.integers(0, 14, (30, 3))
    corners, uv_rows, owner = distinct_corners(faces, face_uv)
    assert (owner[corners] == faces).all()
    assert (uv_rows[corners] == face_uv).all()
    assert len({*zip(owner.tolist(), uv_rows.tolist())}) == len(owner)
