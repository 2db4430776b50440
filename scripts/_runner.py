"""Runs what lies in scripts/benches and scripts/drills, prints a table, and ends with one JSON line.

A bench is a module with ``rows() -> list[dict]``: each row is ``{name, value, unit, budget, ok, peers, ratio}``. A
drill is a module with ``run(count: int, seed: int) -> dict``: counts of what was run and of what failed. It held when
its ``HELD(result)`` says so, or, without one, when ``result["ok"]`` is true. ``COUNT`` is its default count. A result
may carry ``replay``: the argument lines (``"--count 1 --seed 17"``) that bring single failures back.

Modules whose name starts with ``_`` are helpers, not benches or drills. Exit code: 0 all held, 1 not, 2 wrong usage.
"""

import argparse
import difflib
import importlib
import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import msgspec

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_COUNT = 100


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One measured figure. `budget` is what it must keep, as text or a number; `ratio` is against the best peer or the base."""

    name: str
    value: float | None
    unit: str
    ok: bool
    budget: str | float | None = None
    peers: dict[str, float] = {}
    ratio: float | None = None
    note: str = ""


def available(kind: str) -> list[str]:
    """The names that can be run: the public modules in scripts/benches or scripts/drills."""
    return sorted(path.stem for path in (ROOT / "scripts" / kind).glob("[!_]*.py"))


def module_of(kind: str, name: str) -> ModuleType:
    """Imports one bench or drill, or ends with a list of those there are."""
    names = available(kind)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        usage(f"no such name: {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; there are: {', '.join(names)}")
    return importlib.import_module(f"scripts.{kind}.{name}")


def usage(text: str) -> NoReturn:
    """Says what was wrong with the call and exits with 2."""
    print(text, file=sys.stderr)
    raise SystemExit(2)


def finish(result: dict[str, Any], held: bool) -> NoReturn:
    """The last line is the result as JSON; the exit code says whether all held."""
    print(msgspec.json.encode(result, enc_hook=str).decode(), flush=True)
    raise SystemExit(0 if held else 1)


def table(lines: list[tuple[str, ...]]) -> str:
    """Columns padded to their widest cell."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def figure(value: str | float | None) -> str:
    """A number short enough to read, with its thousands apart."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def measured(name: str) -> list[Row]:
    """The rows of one bench. One that raises is a row that did not hold, so that the others still run."""
    rows: Callable[[], list[dict[str, Any]]] = module_of("benches", name).rows
    try:
        return msgspec.convert(rows(), list[Row])
    except Exception as error:  # noqa: BLE001 - reported in full, and it fails the run
        traceback.print_exc()
        return [Row(name=name, value=None, unit="", ok=False, note=f"{type(error).__name__}: {error}")]


def bench(names: list[str]) -> NoReturn:
    """Runs the named benches, or all."""
    modules = {name: module_of("benches", name) for name in names or available("benches")}
    rows: list[Row] = []
    for name in modules:
        found = measured(name)
        rows += found
        if not all(row.ok for row in found):
            print(f"again: scripts/bench {name}")
    if rows:
        head = ("name", "value", "unit", "budget", "ok", "ratio", "peers")
        print(table([head, *(line_of(row) for row in rows)]))
    finish({"rows": [msgspec.to_builtins(row) for row in rows]}, held=bool(rows) and all(row.ok for row in rows))


def line_of(row: Row) -> tuple[str, ...]:
    """A row as table cells."""
    peers = ", ".join(f"{peer} {figure(value)}" for peer, value in row.peers.items())
    ok = "yes" if row.ok else "NO"
    return (row.name, figure(row.value), row.unit, figure(row.budget), ok, figure(row.ratio), peers or row.note)


def held(module: ModuleType, result: dict[str, Any]) -> bool:
    """Whether the drill held, by its own rule or by its own word."""
    if hasattr(module, "HELD"):
        return bool(module.HELD(result))
    return result["ok"] is True


def drill(name: str, count: int | None, seed: int | None) -> NoReturn:
    """Runs one drill; without a seed it draws one, prints it, and so never runs twice the same."""
    module = module_of("drills", name)
    count = count if count is not None else getattr(module, "COUNT", DEFAULT_COUNT)
    seed = seed if seed is not None else random.SystemRandom().randrange(2**31)
    again = f"scripts/drill {name} --count {count} --seed {seed}"
    print(again, flush=True)
    try:
        result = module.run(count, seed)
        ok = held(module, result)
    except Exception as error:  # noqa: BLE001 - reported in full, and it fails the run
        traceback.print_exc()
        result, ok = {"error": f"{type(error).__name__}: {error}"}, False
    print(table([("what", "value"), *((key, str(value)) for key, value in result.items() if key != "replay")]))
    if not ok:
        for line in [f"scripts/drill {name} {arguments}" for arguments in result.get("replay", [])] or [again]:
            print(f"again: {line}")
    finish({"drill": name, "count": count, "seed": seed, **result, "ok": ok}, held=ok)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="scripts/", description=__doc__.splitlines()[0] if __doc__ else None)
    kinds = parser.add_subparsers(dest="kind", required=True)
    benches = kinds.add_parser(
        "bench", prog="scripts/bench", description="Measures, beside the peers and against the budgets."
    )
    benches.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of: {', '.join(available('benches'))}; default: all"
    )
    drills = kinds.add_parser(
        "drill", prog="scripts/drill", description="Runs one long exercise and counts what failed."
    )
    drills.add_argument("name", metavar="NAME", help=f"one of: {', '.join(available('drills'))}")
    drills.add_argument("--count", type=int, help="how many rounds; default: the drill's own")
    drills.add_argument("--seed", type=int, help="what the rounds are drawn from; default: a new one, printed")
    return parser.parse_args()


def main() -> NoReturn:
    """Entry for scripts/bench and scripts/drill."""
    sys.path[0] = str(ROOT)  # benches and drills are found as scripts.benches.* wherever the caller stands
    asked = arguments()
    if asked.kind == "bench":
        bench(asked.names)
    if asked.count is not None and asked.count < 1:
        usage(f"--count: expected a whole number of at least 1, got {asked.count}")
    drill(asked.name, asked.count, asked.seed)


if __name__ == "__main__":
    main()
