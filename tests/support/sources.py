"""The project's own source as syntax trees, for the tests that hold the house in order."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]


def nothing(found: Iterable[str]) -> None:
    """Fails with every line that was found, each on its own."""
    lines = list(found)
    assert not lines, "\n" + "\n".join(lines)


class Import(msgspec.Struct, frozen=True):
    """One imported module of ours or of others, absolute; `for_types` is under `if TYPE_CHECKING`."""

    module: str
    name: str | None
    line: int
    for_types: bool


class Source(msgspec.Struct, frozen=True):
    """One Python file: where it lies (from the root), what it is called, and its tree."""

    path: str
    module: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        """Whether it is the door of a package."""
        return self.path.endswith("__init__.py")

    @property
    def room(self) -> str:
        """The room it belongs to: a child of engine, or actors; "" for the door of engine itself."""
        parts = self.module.split(".")
        if parts[0] == "actors":
            return "actors"
        return parts[1] if len(parts) > 1 else ""

    def imports(self) -> list[Import]:
        """Every import anywhere in the file, function bodies included."""
        return [*_imports(self, self.tree.body, for_types=False)]


@functools.cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files below the folders (engine and actors unless told otherwise), sorted by path."""
    paths = [path for folder in folders or ("engine", "actors") for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(_source(path) for path in paths)


@functools.cache
def _source(path: Path) -> Source:
    relative = path.relative_to(ROOT)
    module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    return Source(str(relative), module, ast.parse(path.read_text(encoding="utf-8"), filename=str(relative)))


def _imports(source: Source, body: list[ast.stmt], *, for_types: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(source, node.body, for_types=True)
            yield from _imports(source, node.orelse, for_types=for_types)
            continue
        yield from _named(source, node, for_types=for_types)
        for inner in ("body", "orelse", "finalbody"):
            yield from _imports(source, getattr(node, inner, []), for_types=for_types)
        for branch in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
            yield from _imports(source, branch.body, for_types=for_types)


def _named(source: Source, node: ast.stmt, *, for_types: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, None, node.lineno, for_types)
    if isinstance(node, ast.ImportFrom):
        module = _absolute(source, node)
        for alias in node.names:
            yield Import(module, alias.name, node.lineno, for_types)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source.module.split(".")
    up = node.level - (1 if source.is_package else 0)
    base = package[: len(package) - up]
    return ".".join([*base, *([node.module] if node.module else [])])
