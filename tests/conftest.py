"""What holds for every test: how Hypothesis searches, and which tests are slow by where they live."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import settings

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

# No deadline per example: a busy machine is not a bug. A failure prints the line that replays it.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow places, for scripts/check to leave out."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        if any(fnmatch(path, pattern) for pattern in SLOW):
            item.add_marker(pytest.mark.slow)
