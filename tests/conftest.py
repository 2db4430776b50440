"""What holds for every test: how Hypothesis searches, and which tests are slow by where they live."""

from pathlib import Path

import pytest
from hypothesis import settings

ACCEPTANCE = Path(__file__).parent / "acceptance"

# No deadline per example: a busy machine is not a bug. A failure prints the line that replays it.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/acceptance runs whole processes, hence is slow."""
    for item in items:
        if ACCEPTANCE in item.path.parents:
            item.add_marker(pytest.mark.slow)
