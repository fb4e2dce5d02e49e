"""A pack on disk for the tests of wardrobes."""

import pytest
from pack_on_disk import write_pack


@pytest.fixture(scope="session")
def pack_folder(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("pack"))
