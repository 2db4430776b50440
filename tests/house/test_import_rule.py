"""Who may import whom: the rooms' rule, line by line, and no circle anywhere."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.sources import Import, Source, nothing, sources

# All that a room may import of this project, besides itself.
RULE: dict[str, set[str]] = {
    "kernel": set(),
    "model": set(),
    "settings": {"kernel"},
    "store": {"kernel", "model"},
    "net": {"kernel", "model"},
    "venues": {"net", "model", "kernel"},
    "simulator": {"net", "model", "kernel"},  # never venues: two readings of one protocol check each other
    "analytics": {"model"},
    "export": {"model", "net"},
}
RULE["actors"] = set(RULE)
OURS = ("engine", "actors")


def room_of(module: str) -> str | None:
    """The room an imported module lies in; None for what is not ours."""
    parts = module.split(".")
    if parts[0] not in OURS:
        return None
    return "actors" if parts[0] == "actors" else (parts[1] if len(parts) > 1 else "engine")


def rooms_of(imported: Import) -> str | None:
    """`from engine import store` names the room in its second half."""
    if imported.module == "engine" and imported.name:
        return imported.name
    return room_of(imported.module)


def test_every_room_is_under_the_rule():
    assert {source.room for source in sources()} - {""} <= set(RULE)


@pytest.mark.parametrize("room", sorted(RULE))
def test_a_room_imports_only_what_its_line_allows(room):
    allowed = RULE[room] | {room, "engine", None}  # the door of engine itself imports nothing, see below
    nothing(
        f"{source.path}:{found.line}: {room} may not import {found.module}"
        for source in sources()
        if source.room == room
        for found in source.imports()
        if rooms_of(found) not in allowed
    )


def test_the_door_of_engine_imports_nothing_of_ours():
    door = next(source for source in sources() if source.module == "engine")
    nothing(found.module for found in door.imports() if rooms_of(found))


def test_nothing_of_ours_is_imported_by_name_at_run_time():
    """`import_module("engine…")` would slip past the rule. Strategies of users are loaded by a name that is not a literal."""
    nothing(
        f"{source.path}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).split(".")[0] in OURS
    )


def test_no_imports_run_in_a_circle():
    """Imports for the type checker alone do not count: nothing is run by them."""
    modules = {source.module for source in sources()}
    graph = {source.module: targets(source, modules) for source in sources()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(reversed(error.args[1]))}")


def targets(source: Source, modules: set[str]) -> set[str]:
    """The modules of ours that a file imports: `from package import module` means the module."""
    found = set()
    for imported in source.imports():
        if not imported.for_types:
            inner = f"{imported.module}.{imported.name}"
            found.add(inner if imported.name and inner in modules else imported.module)
    return (found & modules) - ({source.module} if source.is_package else set())
