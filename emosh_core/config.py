"""TOML and KEY=VALUE to frozen dataclasses: one dataclass per section, unknown keys are errors.

Precedence: field default < TOML file < `--set`. Fields whose metadata says `affects_result: False`
(previews and the like) stay out of fingerprints.
"""

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from emosh_core.errors import ConfigError


def load_settings(
    sections: Mapping[str, type], *, file: Path | None = None, overrides: Sequence[str] = (), section: str = ""
) -> dict[str, Any]:
    """Return one config per section, by name.

    Args:
        sections: name of each section and its frozen dataclass.
        file: TOML file; None reads none.
        overrides: `key=value` for `section`, `section.key=value` for any.
        section: where keys without a section belong.

    Raises:
        ConfigError: a section, key, type or word is not known; the message names the nearest.
    """
    values: dict[str, dict[str, Any]] = {name: {} for name in sections}
    where: dict[tuple[str, str], str] = {}
    for name, table in (_read_toml(file) if file else {}).items():
        _check_name(name, sections, f"unknown section [{name}]", str(file))
        if not isinstance(table, dict):
            raise ConfigError(
                f"{name} is a section, not a value", found=f"{name} = {table!r} in {file}", fix=f"[{name}]"
            )
        for key, value in table.items():
            values[name][key] = value
            where[name, key] = str(file)
    for override in overrides:
        name, key, value = _parse_override(override, sections, section)
        values[name][key] = value
        where[name, key] = f"--set {override}"
    return {name: _build(cls, name, values[name], where) for name, cls in sections.items()}


def result_settings(config: Any) -> dict[str, Any]:
    """Return the settings that can change a stage's result: what a fingerprint is made of."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata.get("affects_result", True)
    }


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no such settings file: {file}", fix="check the path given to --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot read the settings file {file}", found=str(error), fix="correct that line") from error


def _parse_override(override: str, sections: Mapping[str, type], section: str) -> tuple[str, str, Any]:
    path, equals, text = override.partition("=")
    if not equals:
        raise ConfigError("--set takes KEY=VALUE", found=override, fix=f"--set {override}=VALUE")
    name, dot, key = path.strip().rpartition(".")
    name = name if dot else section
    _check_name(name, sections, f"unknown section {name!r}", f"--set {override}")
    fields = {field.name: field for field in dataclasses.fields(sections[name])}
    if key in fields and str in _alternatives(_hints(sections[name])[key]):
        return name, key, text
    try:
        return name, key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return name, key, text


def _build(cls: type, section: str, values: dict[str, Any], where: Mapping[tuple[str, str], str]) -> Any:
    hints, checked = _hints(cls), {}
    for key, value in values.items():
        origin = where[section, key]
        _check_name(key, hints, f"unknown setting {section}.{key}", origin)
        checked[key] = _convert(value, hints[key], f"{section}.{key}", origin)
    return cls(**checked)


def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _check_name(name: str, known: Mapping[str, Any], what: str, origin: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise ConfigError(what, found=origin, fix=fix)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )


def _convert(value: Any, hint: Any, name: str, origin: str) -> Any:
    for alternative in _alternatives(hint):
        accepted, converted = _accept(value, alternative)
        if accepted:
            return converted
    raise ConfigError(f"{name} must be {describe(hint)}", found=f"{value!r} ({origin})", fix=f"give {describe(hint)}")


def _accept(value: Any, hint: Any) -> tuple[bool, Any]:
    """Say whether a TOML value fits a type, and what it becomes."""
    if hint is type(None):
        return value == "none", None
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint), value
    if typing.get_origin(hint) is tuple:
        return _accept_tuple(value, typing.get_args(hint))
    if hint is float and type(value) in (int, float):
        return math.isfinite(value), float(value)
    return type(value) is hint, value


def _accept_tuple(value: Any, items: tuple[Any, ...]) -> tuple[bool, Any]:
    if not isinstance(value, list | tuple):
        return False, value
    if len(items) == 2 and items[1] is ...:
        items = (items[0],) * len(value)
    parts = [_accept(part, item) for part, item in zip(value, items)]
    return len(value) == len(items) and all(ok for ok, _ in parts), tuple(part for _, part in parts)


def describe(hint: Any) -> str:
    """Say in words what a setting takes."""
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", type(None): "none"}
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(word) for word in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        return "a list of " + ", ".join(describe(item) for item in items if item is not ...)
    return " or ".join(names.get(part) or describe(part) for part in _alternatives(hint))
