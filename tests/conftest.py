"""What holds for every test: how Hypothesis searches, and which tests are slow by where they live."""

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

# Nothing is judged by time: a busy machine is not a bug. A failure prints the line that replays it.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow places, for scripts/check to leave out."""
    for item in items:
        if any(fnmatch(str(item.path), str(TESTS / pattern)) for pattern in SLOW):
            item.add_marker(pytest.mark.slow)
