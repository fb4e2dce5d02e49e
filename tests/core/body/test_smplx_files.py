"""Reading licensed files: what is taken, what is refused unrun, and what errors say."""

import builtins
import collections
import io
import os
import pickle
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import scipy.sparse
import torch
from licensed_files import chumpy_pickle, flame_arrays

from emosh_core.body.choose import body_of, choose_body
from emosh_core.body.smplx.load import FLAME, SMPLX, find, read_head_files, read_model
from emosh_core.body.smplx.unpickle import read_npy, read_pickle
from emosh_core.errors import AssetError

TRACES = []


def leave_trace(*arguments):
    TRACES.append(arguments)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "os.system": Calls(os.system, "touch pwned"),
    "builtins.eval": Calls(eval, "open('pwned', 'w')"),
    "builtins.exec": Calls(exec, "open('pwned', 'w')"),
    "builtins.open": Calls(open, "pwned", "w"),
    "builtins.getattr": Calls(getattr, "x", "upper"),
    "builtins.__import__": Calls(builtins.__import__, "this"),
    "subprocess.Popen": Calls(subprocess.Popen, ["touch", "pwned"]),
    "numpy.load": Calls(np.load, "pwned"),
    "functools.partial": pickle.loads(pickle.dumps(__import__("functools").partial(print))),
    "a function of ours": Calls(leave_trace, 1),
    "torch storage": torch.zeros(2),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_hostile_pickle_is_refused_and_does_not_run(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"v_template": HOSTILE[name]}, protocol=protocol)
    with pytest.raises(AssetError, match="which no body model needs: it was not run") as raised:
        read_pickle(content, "generic_model.pkl")
    assert not TRACES and not list(tmp_path.iterdir())
    if "." in name:
        assert f".{name.split('.')[-1]}, which" in raised.value.what


@pytest.mark.parametrize("code", [
    b"cos\nsystem\n(S'touch pwned'\ntR.",  # Python 2's text protocol
    b"c__builtin__\neval\n(S'open(\"pwned\", \"w\")'\ntR.",
    b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",  # a dotted path through what is allowed
    b"\x80\x04\x8c\x0achumpy.ch\x93\x8c\x0bCh.__init__\x93.",
    b"\x80\x04\x8c\x09chumpy.os\x8c\x0bsystem.exec\x93.",
    b"\x80\x04\x8c\x0cscipy.sparse\x8c\x10load_npz.__call_\x93.",
    b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.",
])  # fmt: skip
def test_ways_round_the_whitelist_lead_nowhere(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssetError):
        read_pickle(code, "generic_model.pkl")
    assert not list(tmp_path.iterdir())


def test_a_pickle_cannot_change_what_the_next_one_is_read_with():
    # Sets a default on the function that stands for _codecs.encode, then returns nothing.
    spoil = b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__U\x01xU\x01y\x86s\x86b."
    with pytest.raises(AssetError, match=r"damaged|asks for"):
        read_pickle(spoil + b"broken", "a.pkl") and read_pickle(b"", "a.pkl")
    assert read_pickle(pickle.dumps(b"\xe9", protocol=2), "a.pkl") == b"\xe9"


def test_chumpy_of_any_name_holds_numbers_and_runs_nothing():
    stub = b"\x80\x02cchumpy.ch\nsystem\nU\x05touch\x85R}U\x01xK\x05sb."
    assert read_pickle(stub, "a.pkl") == np.array(5)
    with pytest.raises(AssetError, match="damaged") as raised:
        read_pickle(b"\x80\x02cchumpy.reordering\nSelect\n)\x81}U\x01aK\x05sb.", "a.pkl")
    assert "chumpy.reordering.Select is computed" in raised.value.found


@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_every_sort_come_back(kind, protocol):
    dense = np.zeros((5, 30))
    dense[[0, 3, 4], [7, 29, 0]] = [0.5, -1.0, 2.0]
    given = {
        "sparse": getattr(scipy.sparse, f"{kind}_matrix")(dense), "f4": np.float32([[1, 2], [3, 4]]).T,
        "u4": np.arange(4, dtype=np.uint32), "scalar": np.float64(2.5), "words": np.array(["a", "bc"]),
        "object": np.array({"k": [1, "x"]}, object), "several": np.array([np.zeros(2), np.ones(3)], object),
        "ordered": collections.OrderedDict(a=1), "raw": b"\xff\x00", "text": "é", "none": None,
    }  # fmt: skip
    held = read_pickle(pickle.dumps(given, protocol=protocol), "a.pkl")
    assert np.array_equal(held["sparse"], dense) and held["sparse"].dtype == np.float64
    for name in ("f4", "u4", "words", "scalar"):
        assert np.array_equal(held[name], given[name]) and held[name].dtype == given[name].dtype
    assert held["object"].item() == {"k": [1, "x"]} and held["several"][1].tolist() == [1, 1, 1]
    assert all(held[name] == given[name] for name in ("ordered", "raw", "text", "none"))


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_objects_are_rebuilt_in_every_way_that_python_2_had(protocol):
    given = {name: np.arange(6.0).reshape(2, 3) for name in ("v_template", "shapedirs", "posedirs")}
    held = read_pickle(chumpy_pickle(given, protocol), "a.pkl")
    assert all(np.array_equal(held[name], given[name]) for name in given)


def test_an_array_written_by_python_2_itself_is_read():
    """Its bytes are a text string there, the module names are old."""
    numbers = np.array([0.1, -2.5])
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
    content = b"\x80\x02" + array + dtype + b"\x89U\x10" + numbers.tobytes() + b"tb."
    assert read_pickle(content, "a.pkl").tolist() == numbers.tolist()
    matrix = b"\x80\x02cscipy.sparse.csc\ncsc_matrix\n)\x81}(U\x06_shapeK\x01K\x02\x86U\x04data" + content[2:-1]
    ints = np.array([0, 0], np.int64), np.array([0, 1, 2], np.int64)
    for key, value in zip((b"indices", b"indptr"), ints):
        part = pickle.dumps(value, protocol=2)[2:-1]
        matrix += b"U" + bytes([len(key)]) + key + part
    assert read_pickle(matrix + b"ub.", "a.pkl").tolist() == [numbers.tolist()]


def test_a_sparse_matrix_may_not_lie_about_its_indices():
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.indices[1] = 1_000_000
    with pytest.raises(AssetError, match="damaged"):
        read_pickle(pickle.dumps(matrix, protocol=2), "a.pkl")
    huge = scipy.sparse.csc_matrix((10**9, 10**6))
    huge.indptr = huge.indptr[:3]
    with pytest.raises(AssetError, match="damaged"):
        read_pickle(pickle.dumps(huge, protocol=2), "a.pkl")


def npy(value) -> bytes:
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=True)
    return stream.getvalue()


def test_npy_of_objects_goes_through_the_same_whitelist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_npy(npy(np.array({"a": np.arange(3)}, object)), "a.npy").item()["a"].tolist() == [0, 1, 2]
    assert read_npy(npy(np.eye(2)), "a.npy").tolist() == [[1, 0], [0, 1]]
    with pytest.raises(AssetError, match=r"a.npy asks for \w+.system"):
        read_npy(npy(np.array([Calls(os.system, "touch pwned")], object)), "a.npy")
    assert not list(tmp_path.iterdir())
    for broken in (b"", b"no array", npy(np.eye(3))[:-8], npy(np.array([{}], object))[:-2]):
        with pytest.raises(AssetError, match=r"a.npy is damaged"):
            read_npy(broken, "a.npy")


def test_a_truncated_pickle_is_damaged_wherever_it_ends():
    content = chumpy_pickle({"v_template": np.eye(3), "shapedirs": np.eye(2), "posedirs": np.eye(2)})
    for end in range(0, len(content), 7):
        with pytest.raises(AssetError, match=r"damaged|asks for"):
            read_pickle(content[:end], "generic_model.pkl")


@pytest.fixture(scope="module")
def flame():
    return flame_arrays()


def wrong(flame, **changed):
    arrays = {k: v for k, v in (flame | changed).items() if v is not None}
    with pytest.raises(AssetError, match=r"generic_model.pkl is not FLAME as expected") as raised:
        read_model(pickle.dumps(arrays, protocol=4), "generic_model.pkl", FLAME)
    assert raised.value.fix and raised.value.exit_code == 4
    return raised.value.found


def test_wrong_content_is_named(flame):
    assert wrong(flame, posedirs=None).startswith("no 'posedirs'; it holds v_template, f, shapedirs")
    assert wrong(flame, v_template=np.zeros((6890, 3))) == "v_template has shape (6890, 3), not (5023, 3)"
    few = flame["shapedirs"][..., :110]
    assert wrong(flame, shapedirs=few) == "shapedirs has shape (5023, 3, 110), not (5023, 3, 400)"
    assert "not finite" in wrong(flame, v_template=np.full((5023, 3), np.nan))
    assert "not numbers" in wrong(flame, posedirs=np.full((5023, 3, 36), "x"))
    assert "f runs from 0 to 9999" in wrong(flame, f=np.full((9976, 3), 9999) * (np.arange(3) > 0))
    assert "not whole numbers" in wrong(flame, f=np.zeros((9976, 3)))
    assert "do not sum to 1" in wrong(flame, weights=2 * flame["weights"])
    assert "another skeleton" in wrong(flame, kintree_table=np.array([[0, 0, 0, 0, 0], range(5)]))
    assert wrong(flame, J_regressor=np.zeros((4, 5023))).startswith("J_regressor has shape")
    with pytest.raises(AssetError) as raised:
        read_model(pickle.dumps([1]), "generic_model.pkl", FLAME)
    assert raised.value.found == "a pickle without named arrays"


def test_a_damaged_archive_is_named():
    stream = io.BytesIO()
    np.savez(stream, v_template=np.zeros((10475, 3)), f=np.zeros(3))
    content = stream.getvalue()
    for broken in (content[:-30], b"", b"PK"):
        with pytest.raises(AssetError, match="is not SMPL-X as expected") as raised:
            read_model(broken, "SMPLX_NEUTRAL.npz", SMPLX)
        assert "no readable archive" in raised.value.found
    flipped = bytearray(content)
    flipped[5000] ^= 255
    with pytest.raises(AssetError) as raised:
        read_model(bytes(flipped), "SMPLX_NEUTRAL.npz", SMPLX)
    assert "v_template" in raised.value.found
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("v_template.npy", npy(np.array([Calls(os.system, "touch pwned")], object)))
    with pytest.raises(AssetError, match=r"v_template in SMPLX_NEUTRAL.npz asks for \w+.system"):
        read_model(stream.getvalue(), "SMPLX_NEUTRAL.npz", SMPLX)


@pytest.fixture
def small(tmp_path):
    """A folder with empty files of the right names: `find` does not look inside."""
    for name in ("SMPLX_NEUTRAL.npz", "generic_model.pkl", "SMPL-X__FLAME_vertex_ids.npy"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_missing_files_are_named_with_what_goes_where(small):
    (small / "generic_model.pkl").unlink()
    (small / "SMPL-X__FLAME_vertex_ids.npy").unlink()
    with pytest.raises(AssetError) as raised:
        find(small)
    assert raised.value.exit_code == 4
    for text in ("lacks FLAME (generic_model.pkl or FLAME_NEUTRAL.pkl) and SMPL-X__FLAME_vertex_ids.npy",
                 "holds SMPLX_NEUTRAL.npz", "SMPL-X site", "FLAME site"):  # fmt: skip
        assert text in str(raised.value)
    with pytest.raises(AssetError, match="there is no folder of body models"):
        find(small / "nowhere")


def test_subfolders_are_looked_into_and_the_newest_smplx_wins(small):
    (small / "flame").mkdir()
    shutil.move(small / "generic_model.pkl", small / "flame" / "generic_model.pkl")
    before = find(small)
    assert before.first(SMPLX.names) == "SMPLX_NEUTRAL.npz"
    (small / "SMPLX_NEUTRAL_2020.npz").write_bytes(b"2")
    assert find(small).first(SMPLX.names) == "SMPLX_NEUTRAL_2020.npz"


def test_fingerprint_is_that_of_the_contents(small, tmp_path):
    first = find(small).fingerprint
    assert len(first) == 64 and find(small).fingerprint == first
    (small / "generic_model.pkl").write_bytes(b"x")
    assert find(small).fingerprint != first


def test_what_joins_the_models_is_checked(small):
    ids = small / "SMPL-X__FLAME_vertex_ids.npy"
    np.save(ids, np.arange(5023))
    assert read_head_files(find(small)).vertex_ids.tolist() == list(range(5023))
    np.save(ids, np.arange(5023)[::-1])
    with pytest.raises(AssetError) as raised:
        read_head_files(find(small))
    assert "do not ascend" in raised.value.found
    np.save(ids, np.arange(5023))
    np.save(small / "l_eyelid.npy", np.zeros((5023, 3)))
    with pytest.raises(AssetError, match="one eyelid is missing"):
        read_head_files(find(small))


def test_the_user_chooses_the_folder_and_the_embedded_body_is_the_default(licensed, tmp_path, monkeypatch):
    monkeypatch.delenv("EMOSH_BODY_MODELS", raising=False)
    assert choose_body().name == body_of("embedded").name == "embedded"
    with pytest.raises(AssetError, match="the artifact needs the body model SMPL-X") as raised:
        body_of("smplx")
    assert "EMOSH_BODY_MODELS" in str(raised.value) and raised.value.exit_code == 4
    monkeypatch.setenv("EMOSH_BODY_MODELS", str(tmp_path))
    with pytest.raises(AssetError, match="lacks SMPL-X"):
        choose_body()  # named but empty: the embedded body does not step in
    assert choose_body("").name == "embedded"
    monkeypatch.setenv("EMOSH_BODY_MODELS", str(licensed))
    body = choose_body()
    assert body.name == "smplx" and len(body.fingerprint) == 64 and body_of("smplx") is body
    with pytest.raises(AssetError, match="no body model named 'nobody'"):
        body_of("nobody")


def test_both_forms_of_smplx_are_read_alike(licensed, smplx_file):
    with np.load(licensed / "SMPLX_NEUTRAL_2020.npz", allow_pickle=True) as archive:
        arrays = dict(archive)
    rig = read_model(chumpy_pickle(arrays), "SMPLX_NEUTRAL.pkl", SMPLX).rig
    for name in ("shape_dirs", "expression_dirs", "pose_dirs", "joints", "joint_shape_dirs", "lbs_weights"):
        assert torch.equal(getattr(rig, name), getattr(smplx_file.rig, name)), name
