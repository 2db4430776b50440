"""SIGKILL at every labelled point, and at moments nobody chose: what was acknowledged is there, and the store verifies."""

from pathlib import Path

import pytest

from engine.kernel import Entropy
from engine.store import POINTS
from scripts.drills.images import Acknowledged, kill_writer, missing, problems, torn_copy_is_safe
from tests.support.stores import open_store


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("label", POINTS)
def test_a_kill_at_any_point_loses_nothing(tmp_path: Path, label: str, nth: int) -> None:
    path, acknowledged = tmp_path / "store", Acknowledged()
    if label == "store.created_aside":
        nth = 1
    assert kill_writer(path, acknowledged, seed=nth, label=label, nth=nth), f"{label} was not reached"
    if label == "store.created_aside":
        assert not (path / "data.mdb").exists()
        open_store(path).close()
        return
    assert missing(path, acknowledged) == []
    assert problems(path) == ()
    assert kill_writer(path, acknowledged, seed=nth + 100, wait_s=0.02)
    assert missing(path, acknowledged) == []
    assert problems(path) == ()


def test_a_kill_at_a_random_moment_loses_nothing(tmp_path: Path) -> None:
    path, acknowledged, entropy = tmp_path / "store", Acknowledged(), Entropy(5)
    for seed in range(3):
        kill_writer(path, acknowledged, seed=seed, wait_s=entropy.uniform(0, 0.05))
        assert missing(path, acknowledged) == []
        assert problems(path) == ()
        assert torn_copy_is_safe(path, acknowledged, entropy)
    assert acknowledged
