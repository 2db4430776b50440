"""Nothing unfinished and nothing of one machine stands in what is shipped."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.sources import ROOT, nothing, sources

SUFFIXES = {".py", ".toml", ".md", ".sh", ".html", ".js", ".css", ".service", ""}
FOLDERS = ("engine", "actors", "config", "scripts", "tests", "docs", ".ci", "examples", "deploy")
SCRIPTS = ["scripts/run", "scripts/test", "scripts/check", "scripts/bench", "scripts/drill", ".ci/run"]


def texts() -> dict[str, str]:
    """Every text file of ours by its path from the root."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in paths
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
    }


def found(pattern: str) -> list[str]:
    """`file:line: text` of every line the pattern is in, but for this file."""
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        if path != Path(__file__).relative_to(ROOT).as_posix()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_nothing_is_left_to_be_done():
    nothing(found(r"\b(TODO|FIXME|XXX|HACK)\b"))


def test_no_path_of_one_machine_is_named():
    nothing(found(r"(?<![\w.~$}])/(home|root|work|Users|tmp/\w)\b"))


def test_settings_are_frozen():
    nothing(
        f"{source.path}:{node.lineno}: {node.name}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and node.name.endswith("Settings")
        and "frozen=True" not in map(ast.unparse, node.keywords)
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run_and_parses(script):
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=10)
