"""Settings shown to people: as they are in force, without secrets, and as the schema of what can be said."""

from typing import Any

import msgspec

from engine.settings.paths import Tree, bare_or_quoted, quoted
from engine.settings.secret import Secret


def show(settings: msgspec.Struct) -> Tree:
    """The settings as plain JSON values. A secret shows where it is kept, or `***`."""
    tree: Tree = msgspec.to_builtins(settings, enc_hook=_plain, str_keys=True)
    return tree


def schema_json(schema: type[msgspec.Struct]) -> str:
    """The JSON Schema of a settings struct, indented: types, bounds, defaults, and the docstrings as descriptions."""
    document = msgspec.json.schema(schema, schema_hook=_schema)
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=_plain), indent=2).decode()


def as_toml(tree: Tree) -> str:
    """A tree of plain values as TOML: `tomllib.loads` gives it back. A key without a value (None) is left out."""
    return "\n".join(_table(tree, "")).strip() + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reference
    raise NotImplementedError(f"expected a setting that TOML can hold, got {type(value).__name__}")


def _schema(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "description": "A secret: env:NAME, file:PATH (mode 0600) or systemd:NAME."}
    raise NotImplementedError(f"expected a setting that TOML can hold, got {kind.__name__}")


def _table(tree: Tree, name: str) -> list[str]:
    """The lines of a table: its own values first, then the tables inside it."""
    lines = [f"{bare_or_quoted(key)} = {_inline(value)}" for key, value in tree.items() if _is_value(value)]
    if name and (lines or not tree):
        lines.insert(0, f"\n[{name}]")
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += _table(value, f"{name}.{bare_or_quoted(key)}" if name else bare_or_quoted(key))
    return lines


def _is_value(value: Any) -> bool:
    return value is not None and not isinstance(value, dict)


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(_inline(item) for item in value if item is not None)}]"
    if isinstance(value, dict):
        inside = (f"{bare_or_quoted(key)} = {_inline(item)}" for key, item in value.items() if item is not None)
        return f"{{{', '.join(inside)}}}"
    return repr(value)
