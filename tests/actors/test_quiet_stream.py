"""A private stream that is entitled by REST and says nothing by itself is kept entitled, and its silence means nothing."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

import actors._private_stream
from actors.account import Account, AccountDesk
from engine.kernel import System
from engine.store import Store
from engine.venues.base import Refused, Unavailable, VenueError
from tests.actors.test_account import SETTINGS, synced
from tests.support.adversary import HONEST
from tests.support.order_rig import ACCOUNT, Rig, order_rig
from tests.support.private_stream import FOR_EVER, Reader, Stage


class Quiet(Reader):
    """Counts how often it was renewed, over all connections; `answers` are what becomes of it, by number."""

    quiet = True
    renew_every_s = 1800.0

    def __init__(self, renewed_s: list[float], answers: dict[int, VenueError]) -> None:
        self._renewed_s = renewed_s
        self._answers = answers

    async def renew(self, rest: Any) -> None:
        assert rest.name == "sim"
        self._renewed_s.append(trio.current_time())
        error = self._answers.get(len(self._renewed_s))
        if error is not None:
            raise error


async def _run(
    path: Path, monkeypatch: pytest.MonkeyPatch, for_s: float, answers: dict[int, VenueError] | None = None
) -> tuple[Stage, list[float]]:
    stage, renewed_s = Stage((FOR_EVER,)), list[float]()
    monkeypatch.setattr(actors._private_stream, "connect", stage.connect)

    def account(system: System, store: Store) -> Account:
        address = system.address
        return Account(
            AccountDesk(
                account=ACCOUNT,
                make_private=lambda: Quiet(renewed_s, answers or {}),
                store=store,
                settings=SETTINGS,
                session=address("root/session"),
                recorder=address("root/recorder"),
                notifier=address("root/notifier"),
                orders=address("root/orders"),
                triggers=address("root/triggers"),
            )
        )

    rig: Rig
    async with order_rig(path, seed=1, behaviour=HONEST, account=account) as rig:
        await trio.sleep(for_s)
        assert await synced(rig)
    return stage, renewed_s


async def test_it_is_complete_when_it_is_open_and_silence_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stage, renewed_s = await _run(tmp_path, monkeypatch, 1000.0)
    assert (len(stage.opened_s), len(renewed_s)) == (1, 1)


async def test_it_is_renewed_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stage, renewed_s = await _run(tmp_path, monkeypatch, 3 * 1800.0 + 100)
    assert len(stage.opened_s) == 1
    gaps = [later - earlier for earlier, later in pairwise(renewed_s)]
    assert len(gaps) == 3
    assert all(gap == pytest.approx(1800.0, abs=5.0) for gap in gaps)


async def test_what_cannot_be_renewed_now_is_tried_again_on_the_same_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stage, renewed_s = await _run(tmp_path, monkeypatch, 2000.0, {2: Unavailable("busy"), 3: Unavailable("busy")})
    assert (len(stage.opened_s), len(renewed_s)) == (1, 4)
    assert renewed_s[3] - renewed_s[2] == pytest.approx(SETTINGS.backoff_max_s, abs=5.0)


async def test_what_is_lost_makes_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stage, renewed_s = await _run(tmp_path, monkeypatch, 2000.0, {2: Refused("no such key", code=-1125)})
    assert (len(stage.opened_s), len(renewed_s)) == (2, 3)


async def test_a_connection_that_is_not_entitled_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stage, renewed_s = await _run(tmp_path, monkeypatch, 100.0, {1: Unavailable("busy"), 2: Refused("no")})
    assert (len(stage.opened_s), len(renewed_s)) == (1, 3)
