"""From a profile or a file to frozen settings: struct defaults, below a profile, below a file, below the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from engine.settings.check import Check
from engine.settings.environment import read_environment
from engine.settings.errors import SettingsError
from engine.settings.layers import Layer, Layers, read_layer
from engine.settings.profiles import profile_path

T = TypeVar("T", bound=msgspec.Struct)

EXTENDS = "extends"


def load(source: str | Path, schema: type[T], env: Mapping[str, str]) -> T:
    """The settings a shipped profile (a bare name) or a file (a Path, or a text with a slash or `.toml` in it) describes.

    A file may begin with `extends = "PROFILE"`: it then says only what differs. Raises SettingsError with every mistake
    found.
    """
    file = _file(source)
    files = _files(file)
    environment, problems = read_environment(env, schema, Layers(items=files).tree())
    check = Check(Layers(items=(*files, environment)), env, file.parent)
    settings = check.run(schema)
    problems += check.problems
    if problems:
        raise SettingsError(problems)
    return cast("T", settings)


def _file(source: str | Path) -> Path:
    if isinstance(source, str) and not (source.endswith(".toml") or "/" in source):
        return profile_path(source)
    return Path(source)


def _files(path: Path) -> tuple[Layer, ...]:
    """The file, above the profile it extends."""
    top = read_layer(path)
    if EXTENDS not in top.tree:
        return (top,)
    name = top.tree.pop(EXTENDS)
    where = f"{path}: {EXTENDS}"
    if not isinstance(name, str):
        raise SettingsError.of(f"expected the name of a profile, got {name!r}", where)
    base = read_layer(profile_path(name))
    if EXTENDS in base.tree:
        raise SettingsError.of(f"expected a profile that stands by itself, but {name} extends another", where)
    return (base, top)
