"""Tests see the weights that they add themselves and no user's."""

import pytest


@pytest.fixture(autouse=True)
def models_folder(tmp_path, monkeypatch):
    """An empty registry of weights."""
    monkeypatch.setenv("EMOSH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"
