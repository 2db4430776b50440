"""What is shipped is what was meant: the code with its types, the profiles as data, and nothing else."""

import ast
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.support.sources import ROOT, nothing, sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names inside the wheel, built in this process: no index and no build environment is needed."""
    built = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"]))
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_carries_every_module_and_says_that_it_is_typed(wheel):
    assert {source.path for source in sources()} <= set(wheel)
    assert {"engine/py.typed", "actors/py.typed"} <= set(wheel)


def test_the_wheel_carries_the_profiles_as_data(wheel):
    data = f"tradenode-{PROJECT['version']}.data/data/share/tradenode/config/"
    profiles = {f"{data}{path.name}" for path in (ROOT / "config").glob("*.toml")}
    assert profiles
    assert profiles == {name for name in wheel if name.startswith(data)}


def test_the_wheel_puts_nothing_else_on_the_import_path(wheel):
    roots = {name.partition("/")[0] for name in wheel}
    assert {root for root in roots if not root.startswith("tradenode-")} == {"engine", "actors"}


def test_config_is_not_importable():
    assert not list((ROOT / "config").rglob("*.py"))


def test_every_requirement_has_a_lower_and_an_upper_bound():
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    nothing(
        line
        for line in PROJECT["dependencies"] + extras
        if not re.fullmatch(r"[a-z0-9-]+>=[\d.]+,<[\d.]+(; .+)?", line)
    )


def test_every_third_party_import_is_a_declared_requirement():
    """A package that is only there because another brings it may be gone with the next version of that one."""
    extras = PROJECT["optional-dependencies"]
    optional = {line for extra, lines in extras.items() if extra not in ("test", "bench") for line in lines}
    assert imported("engine", "actors") <= names({*PROJECT["dependencies"], *optional})
    assert imported("tests", "scripts") <= names({*PROJECT["dependencies"], *extras["test"], *extras["bench"]})


def names(requirements: set[str]) -> set[str]:
    """The import names of requirements."""
    return {re.split(r"[><=]", line)[0].replace("-", "_") for line in requirements}


def imported(*folders: str) -> set[str]:
    """The third-party packages the folders import."""
    import sys

    ours = {"engine", "actors", "tests", "scripts"}
    tops = {found.module.partition(".")[0] for source in sources(*folders) for found in source.imports()}
    return tops - set(sys.stdlib_module_names) - ours


def test_every_package_has_a_flat_public_door():
    """`__all__` in each `__init__`, naming things that are bound there."""
    for source in sources():
        if source.is_package:
            assigned = {
                target.id: node
                for node in source.tree.body
                if isinstance(node, ast.Assign | ast.AnnAssign)
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                if isinstance(target, ast.Name)
            }
            assert "__all__" in assigned, f"{source.path} has no __all__"


def test_every_folder_with_code_is_a_package():
    folders = {Path(source.path).parent for source in sources()}
    nothing(str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file())
