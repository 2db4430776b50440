"""A private stream that is entitled by REST and says nothing by itself is kept entitled, and its silence means nothing."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

import actors.account.stream
from actors.account import Account, AccountDesk
from engine.kernel import System
from engine.net import Disconnected
from engine.store import Store
from engine.venues.base import Connected, Refused, Unavailable, VenueError
from tests.actors.test_account import SETTINGS, synced
from tests.support.adversary import HONEST
from tests.support.order_rig import ACCOUNT, Rig, order_rig
from tests.support.private_stream import FOR_EVER, Played, Reader, Script, Stage


class Quiet(Reader):
    """Counts how often it was renewed, over all connections; `answers` are what becomes of it, by number."""

    quiet = True
    renew_every_s = 1800.0

    def __init__(self, renewed_s: list[float], answers: dict[int, VenueError], life_s: float | None) -> None:
        self.life_s = life_s
        self._renewed_s = renewed_s
        self._answers = answers

    async def renew(self, rest: Any) -> None:
        assert rest.name == "sim"
        self._renewed_s.append(trio.current_time())
        error = self._answers.get(len(self._renewed_s))
        if error is not None:
            raise error


async def _run(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    for_s: float,
    answers: dict[int, VenueError] | None = None,
    *scripts: Script,
    life_s: float | None = None,
) -> tuple[Stage, list[float]]:
    stage, renewed_s = Stage(*(scripts or ((FOR_EVER,),))), list[float]()
    monkeypatch.setattr(actors.account.stream, "connect", stage.connect)

    def account(system: System, store: Store) -> Account:
        address = system.address
        return Account(
            AccountDesk(
                account=ACCOUNT,
                make_private=lambda: Quiet(renewed_s, answers or {}, life_s),
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


async def test_it_is_left_before_its_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    stage, _ = await _run(tmp_path, monkeypatch, 4000.0, life_s=1000.0)
    lives = [later - earlier for earlier, later in pairwise(stage.opened_s)]
    assert len(lives) == 4
    assert all(950.0 <= life <= 1010.0 for life in lives)
    assert len({round(life, 3) for life in lives}) > 1, "never at the same moment"


async def test_it_is_left_in_a_lull_and_not_for_ever_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    busy = (*[step for _ in range(1100) for step in (1.0, Connected())], FOR_EVER)
    stage, _ = await _run(tmp_path, monkeypatch, 3000.0, None, busy, (FOR_EVER,), life_s=1000.0)
    first, second = stage.opened_s[:2]
    assert 1100.0 < second - first < 1110.0
    endless = tuple(step for _ in range(5000) for step in (1.0, Connected()))
    stage, _ = await _run(tmp_path / "endless", monkeypatch, 3000.0, None, endless, (FOR_EVER,), life_s=1000.0)
    first, second = stage.opened_s[:2]
    assert 1550.0 < second - first < 1610.0


async def test_a_peer_that_answers_no_ping_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    asked_s: list[float] = []

    async def ping(_played: Played) -> None:
        asked_s.append(trio.current_time())
        if len(asked_s) == 5:
            raise Disconnected(1006, "no pong within 10.0 s")

    monkeypatch.setattr(Played, "ping", ping)
    stage, _ = await _run(tmp_path, monkeypatch, 300.0)
    assert len(stage.opened_s) == 2
    assert asked_s[4] - asked_s[0] == pytest.approx(4 * SETTINGS.ping_every_s, abs=1.0)
    assert stage.opened_s[1] - asked_s[4] < 5.0
