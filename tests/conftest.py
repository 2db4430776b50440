"""What holds for every test: how Hypothesis searches, which tests are slow by where they live, where their files are, and
what the programs that tests start find compiled.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

# What runs whole processes, kills them, or waits for real time to pass. A single slow test elsewhere bears the mark itself.
SLOW = (
    "acceptance/*",
    "actors/test_admin_events.py",
    "actors/test_stream.py",
    "kernel/test_kill_any_time.py",
    "store/test_crash.py",
    "store/test_processes.py",
    "store/test_verify.py",
)

# Files of tests, where there is room for them: a commit waits for no disk there. What a kill leaves is the same: it takes no
# file's contents from the system, on a disk or in memory.
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30  # a whole run leaves some hundred megabytes

COMPILED_S = 300.0  # compiling everything takes some seconds; a program that hangs must not hold up every test

# Nothing is judged by time: a busy machine is not a bug. A failure prints the line that replays it.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Unless somebody said where the files go."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES and os.access(MEMORY, os.W_OK):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow places, for scripts/check to leave out."""
    for item in items:
        if any(fnmatch(str(item.path), str(TESTS / pattern)) for pattern in SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def compiled(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where no compiled code may be written beside the source, it goes elsewhere: or each of some hundred programs that the
    tests start would compile everything for itself, which takes longer than most of them live.
    """
    if not sys.dont_write_bytecode:
        yield
        return
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    place = cache.mkdir("compiled") if cache else tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(place))
        if cache and not any(place.iterdir()):  # many programs that start at once would each do it
            everything = [sys.executable, "-c", "import actors.cli._programs"]
            subprocess.run(everything, cwd=TESTS.parent, check=True, timeout=COMPILED_S)
        yield


@pytest.fixture(scope="session", autouse=True)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Files in memory stay only for whoever looks why a test failed."""
    yield
    if not request.session.testsfailed and tmp_path_factory.getbasetemp().is_relative_to(MEMORY):
        shutil.rmtree(tmp_path_factory.getbasetemp(), ignore_errors=True)
