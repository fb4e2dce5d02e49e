"""Settings: precedence, types, words, and messages that name the nearest key."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from emosh_core.config import load_settings, result_settings
from emosh_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Track:
    steps: int = 30
    focal: float | None = None
    size: tuple[int, int] = (512, 512)
    anchor: Literal["face", "none"] = "face"
    name: str = "a"
    preview: bool = field(default=True, metadata={"affects_result": False})


@dataclass(frozen=True, kw_only=True)
class Render:
    supersample: int = 1


SECTIONS = {"track": Track, "render": Render}


def load(tmp_path, toml="", overrides=()):
    file = tmp_path / "emosh.toml"
    file.write_text(toml)
    return load_settings(SECTIONS, file=file, overrides=overrides, section="track")


def test_defaults_then_file_then_override(tmp_path):
    settings = load(
        tmp_path, "[track]\nsteps = 5\nfocal = 2\n[render]\nsupersample = 2", ["steps=7", "render.supersample=3"]
    )
    assert settings["track"] == Track(steps=7, focal=2.0)
    assert settings["render"] == Render(supersample=3)


def test_values_take_the_types_of_their_fields(tmp_path):
    track = load(tmp_path, "", ["size=[64, 32]", "anchor=none", "name=12", "preview=false", "focal=none"])["track"]
    assert track == Track(size=(64, 32), anchor="none", name="12", preview=False)
    assert isinstance(load(tmp_path, "[track]\nfocal = 500")["track"].focal, float)


@pytest.mark.parametrize(
    ("toml", "overrides", "message"),
    [
        ("[track]\nstep = 5", [], r"unknown setting track\.step\b[\s\S]*did you mean steps"),
        ("[tracks]\nsteps = 5", [], r"unknown section \[tracks\][\s\S]*did you mean track"),
        ("steps = 5", [], r"unknown section \[steps\]"),
        ("track = 5", [], r"track is a section"),
        ("[track]\nsteps = 1.5", [], r"track\.steps must be a whole number[\s\S]*1\.5"),
        ("[track]\nsteps = true", [], r"track\.steps must be a whole number"),
        ("[track]\nsize = [1, 2, 3]", [], r"track\.size must be a list of"),
        ("", ["anchor=feet"], r"one of 'face', 'none'[\s\S]*feet"),
        ("", ["zzz=1"], r"unknown setting track\.zzz[\s\S]*known: steps"),
        ("", ["steps"], r"--set takes KEY=VALUE"),
        ("[track", [], r"cannot read the settings file"),
    ],
)
def test_mistakes_are_named(tmp_path, toml, overrides, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, toml, overrides)
    assert caught.value.exit_code == 2
    assert caught.value.fix


def test_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="no such settings file"):
        load_settings(SECTIONS, file=tmp_path / "no.toml")


def test_result_settings_leave_out_what_cannot_change_the_result():
    assert "preview" not in result_settings(Track())
    assert result_settings(Track(preview=False)) == result_settings(Track())
    assert result_settings(Track(steps=31)) != result_settings(Track())
