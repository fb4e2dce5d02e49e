"""Files: all of them are checked first, and one that is cut short is noticed at once."""

import json
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from emosh_core.errors import AssetError
from emosh_core.generate.wan.files import open_source
from emosh_core.generate.wan.load import load_transformer


@pytest.fixture
def folder(i2v, write, tmp_path):
    return write(i2v, "original", tmp_path)


def test_tensors_come_file_by_file_and_only_those_that_are_wanted(folder):
    source = open_source(folder)
    shards = sorted(folder.glob("*.safetensors"))
    wanted = {name for name in source.stored if "blocks.1." in name}
    seen = list(source.tensors(wanted))
    assert {name for name, _ in seen} == wanted
    order = [source.stored[name].file for name, _ in seen]
    assert order == sorted(order) and set(order) == set(shards)
    state = {name: value for shard in shards for name, value in load_file(shard).items()}
    assert all(torch.equal(value, state[name]) for name, value in seen)


@pytest.mark.parametrize("which", [0, -1])
def test_a_file_cut_short_is_noticed_in_milliseconds(folder, which):
    path = sorted(folder.glob("*.safetensors"))[which]
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 1000)
    start = time.perf_counter()
    with pytest.raises(AssetError, match="cut short") as caught:
        load_transformer(folder, dtype=torch.float32)
    assert time.perf_counter() - start < 1
    assert caught.value.found == f"{path}: {size:,} bytes expected, {size - 1000:,} found"


def test_a_header_cut_short_and_a_pointer_are_no_safetensors_files(folder):
    path = sorted(folder.glob("*.safetensors"))[1]
    whole = path.read_bytes()
    for content in (b"", whole[:6], whole[:100], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"):
        path.write_bytes(content)
        with pytest.raises(AssetError, match="not a safetensors file") as caught:
            open_source(folder)
        assert f"{len(content)} bytes" in caught.value.found
    path.write_bytes(whole + b"more")
    with pytest.raises(AssetError, match="longer than its header says"):
        open_source(folder)


def test_a_missing_file_is_named_with_and_without_an_index(folder):
    gone = sorted(folder.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(AssetError, match=f"no {gone.name}; 2 of 3 files are there"):
        open_source(folder)
    next(folder.glob("*.index.json")).unlink()
    with pytest.raises(AssetError, match="2 of 3 files are there"):
        open_source(folder)


def test_files_without_an_index_are_enough(folder):
    before = open_source(folder).stored.keys()
    next(folder.glob("*.index.json")).unlink()
    assert open_source(folder).stored.keys() == before


def test_an_index_that_does_not_match_its_files_is_refused(folder):
    index = next(folder.glob("*.index.json"))
    values = json.loads(index.read_text())
    values["weight_map"]["blocks.0.extra"] = sorted(values["weight_map"].values())[0]
    index.write_text(json.dumps(values))
    with pytest.raises(AssetError, match=r"blocks.0.extra, by the index in"):
        open_source(folder)
    index.write_text("{")
    with pytest.raises(AssetError, match="settings cannot be read"):
        open_source(folder)


def test_an_adapter_beside_the_files_is_not_mixed_in(folder):
    before = open_source(folder).stored.keys()
    save_file({"x": torch.zeros(1)}, folder / "relighting_lora.safetensors")
    assert open_source(folder).stored.keys() == before


def test_two_checkpoints_in_a_folder_are_not_mixed(tmp_path):
    for name in "ab":
        save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(AssetError, match=r"more than one checkpoint.*\n.*a.safetensors, b.safetensors"):
        open_source(tmp_path)


def test_a_file_that_could_run_code_a_link_to_nothing_and_nothing_are_refused(tmp_path):
    (tmp_path / "wan.pth").write_bytes(b"")
    (tmp_path / "wan.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(AssetError, match="another sort"):
        open_source(tmp_path / "wan.pth")
    with pytest.raises(AssetError, match="not there"):
        open_source(tmp_path / "absent")
    with pytest.raises(AssetError, match="cannot be opened"):
        open_source(tmp_path)
    (tmp_path / "wan.safetensors").unlink()
    with pytest.raises(AssetError, match=r"no \*.safetensors"):
        open_source(tmp_path)
