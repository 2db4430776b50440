"""Where values come from: files, and the environment above them. A layer remembers where each of its values was said."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.settings.errors import SettingsError
from engine.settings.paths import KeyPath, Tree, holds, merged

LIMIT_BYTES = 256 * 1024


class Layer(msgspec.Struct, frozen=True):
    """One source of values. A file has `text`; the environment has `variables`, the variable that set each path."""

    tree: Tree
    label: str
    text: str | None = None
    variables: Mapping[KeyPath, str] = {}

    @property
    def is_file(self) -> bool:
        """Whether the values are written in a file, where others may read them."""
        return self.text is not None

    def where(self, path: KeyPath) -> str:
        """The place that says this value: a file with its line, or an environment variable."""
        if self.text is not None:
            return f"{self.label}:{line_of(self.text, path)}" if path else self.label
        variable = next((name for said, name in self.variables.items() if path[: len(said)] == said), None)
        return f"environment variable {variable}" if variable else self.label


class Layers(msgspec.Struct, frozen=True):
    """All sources, the strongest last."""

    items: tuple[Layer, ...]

    def tree(self) -> Tree:
        """What they say together."""
        result: Tree = {}
        for layer in self.items:
            result = merged(result, layer.tree)
        return result

    def source(self, path: KeyPath) -> Layer:
        """The strongest layer that says something at this path, or else about the table it belongs in."""
        for end in range(len(path), 0, -1):
            for layer in reversed(self.items):
                if holds(layer.tree, path[:end]):
                    return layer
        return self.items[0]

    def where(self, path: KeyPath) -> str:
        """The place that says this value, or else the nearest table around it."""
        layer = self.source(path)
        while path and not holds(layer.tree, path):
            path = path[:-1]
        return layer.where(path)


def read_layer(path: Path) -> Layer:
    """One TOML file. Raises SettingsError naming the file, and the line where the syntax breaks."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise SettingsError.of(f"expected a readable file, got: {error.strerror}", str(path)) from None
    if len(content) > LIMIT_BYTES:
        raise SettingsError.of(f"expected at most {LIMIT_BYTES} bytes of settings, got more", str(path))
    try:
        text = content.decode()
        return Layer(tree=tomllib.loads(text), label=str(path), text=text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError.of("expected UTF-8 text, got other bytes", f"{path}:{line}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError.of(f"expected TOML, got: {error}", str(path)) from None
    except RecursionError:
        raise SettingsError.of("expected TOML, got arrays or tables nested without end", str(path)) from None


def line_of(text: str, path: KeyPath) -> int:
    """The line (from 1) on which a value is first said. `text` is TOML that parses and holds the path.

    tomllib keeps no positions. But a file cut after any line either still parses or not, and of the cuts that parse,
    those before the value lack the path and those after it have it: so the line is found by bisection, with no second
    reading of TOML's grammar.
    """
    lines = text.split("\n")
    absent, end = 0, len(lines)
    while absent + 1 < end:
        middle = (absent + end) // 2
        parses = ((cut, tree) for cut in range(middle, end) if (tree := _parsed(lines[:cut])) is not None)
        cut, tree = next(parses, (end, None))
        if tree is None or holds(tree, path):
            end = middle
        else:
            absent = cut
    return absent + 1


def _parsed(lines: list[str]) -> Tree | None:
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return None
