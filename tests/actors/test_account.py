"""An account is in step with its venue or says that it is not, whatever stream and passes go through."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import actors.account.asking
import actors.account.stream
import tests.support.order_rig
from actors.account import Account, AccountDesk, AccountSettings
from actors.messages import GetHoldings, GetOrdersStatus, Holdings, HoldingsChanged, SubmitOrder, SyncNow
from actors.orders import OrdersSettings
from actors.triggers import Triggers, TriggersDesk
from engine.kernel import System, on
from engine.model import Balance, Fill, Order, OrderLimits, OrderRequest, Position, Side, new_order, to_submitting
from engine.net import Disconnected
from engine.store import Store
from engine.venues.base import BadReply, Connected, FillPage, OutcomeUnknown, StreamTrouble
from tests.support.adversary import HONEST, PERPETUAL, Behaviour
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig, order_rig
from tests.support.private_stream import FOR_EVER, HEALTHY, Reader, Script, Stage

D = Decimal
#: What the account knows of every instrument: an order keeps all it is worth, in dollars.
PAID_IN_FULL = msgspec.structs.replace(PERPETUAL, inverse=False, settlement="USD", max_leverage=None)
SETTINGS = AccountSettings(sync_every_s=60.0, sync_retry_s=2.0, connect_timeout_s=10.0, silence_s=40.0)


def an_account(settings: AccountSettings) -> Callable[[System, Store], Account]:
    """What makes it, in a rig."""

    def account(system: System, store: Store) -> Account:
        address = system.address
        return Account(
            AccountDesk(
                account=ACCOUNT,
                make_private=Reader,
                store=store,
                settings=settings,
                session=address("root/session"),
                recorder=address("root/recorder"),
                notifier=address("root/notifier"),
                orders=address("root/orders"),
                triggers=address("root/triggers"),
                instrument=lambda _name: PAID_IN_FULL,
            )
        )

    return account


@asynccontextmanager
async def account_rig(
    path: Path, monkeypatch: pytest.MonkeyPatch, *scripts: Script, behaviour: Behaviour = HONEST, **changes: Any
) -> AsyncIterator[tuple[Rig, Stage]]:
    """A real account beside a real order queue; the venue's REST side is the adversary, its stream is played."""
    stage = Stage(*scripts)
    monkeypatch.setattr(actors.account.stream, "connect", stage.connect)
    settings = msgspec.structs.replace(SETTINGS, **changes)

    async with order_rig(path, seed=1, behaviour=behaviour, account=an_account(settings)) as rig:
        yield rig, stage


async def synced(rig: Rig) -> bool:
    return (await rig.orders.call(GetOrdersStatus(), timeout_s=10)).synced


async def sync_now(rig: Rig) -> bool:
    report = await rig.system.address("root/account").call(SyncNow(), timeout_s=60)
    return report.whole


def restarts(rig: Rig) -> dict[str, int]:
    return {child.path: child.restarts for child in rig.system.tree().children if child.restarts}


def a_fill(number: int, at_ms: int = EPOCH_MS, **changes: Any) -> Fill:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "instrument": PERPETUAL.instrument_id,
        "trade_id": f"T{number}",
        "order_id": "",
        "client_order_id": "",
        "venue_order_id": "V1",
        "side": Side.BUY,
        "price": D(50_000),
        "amount": D(10),
        "filled_at_ms": at_ms,
    }
    return Fill(**{**fields, **changes})


def an_order_from_elsewhere() -> Order:
    request = OrderRequest(instrument=PERPETUAL.instrument_id, side=Side.BUY, amount=D(10), price=D(50_000))
    order = new_order(request, order_id="elsewhere", account=ACCOUNT, now_ms=EPOCH_MS)
    return to_submitting(order, valid_until_ms=EPOCH_MS + 5000, now_ms=EPOCH_MS)


async def test_orders_may_leave_between_a_whole_pass_and_the_next_disconnect(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    away: Script = (20.0, Disconnected(1006, "still away"))
    async with account_rig(tmp_path, monkeypatch, (5.0, Connected(), 20.0), away, HEALTHY) as (rig, _):
        await trio.sleep(3)
        assert not await synced(rig), "the stream is not complete yet"
        await trio.sleep(5)
        assert await synced(rig)
        await trio.sleep(20)
        assert not await synced(rig)
        await trio.sleep(30)
        assert await synced(rig)


async def test_a_pass_that_fails_opens_nothing_and_is_made_again(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY, behaviour=Behaviour(query_fails=1.0)) as (rig, _):
        await trio.sleep(120)
        assert not await synced(rig)
        rig.venue.behaviour = HONEST
        await trio.sleep(10)
        assert await synced(rig)
        assert restarts(rig) == {}


async def test_a_stream_that_is_never_complete_is_given_up_although_it_talks(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logged in, heartbeats flow, and the subscription is never answered."""
    talk = Position(account=ACCOUNT, instrument="sim:PERP", amount=D(0), updated_at_ms=1)
    chatter: Script = tuple(step for _ in range(100) for step in (3.0, talk))
    async with account_rig(tmp_path, monkeypatch, chatter, HEALTHY) as (rig, stage):
        await trio.sleep(15)
        assert len(stage.opened_s) == 2
        assert await synced(rig)


async def test_a_stream_that_falls_silent_is_given_up(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY) as (_, stage):
        await trio.sleep(SETTINGS.silence_s + 5)
        assert len(stage.opened_s) == 2


async def test_what_a_dead_stream_said_of_itself_opens_nothing(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was complete and died before anybody could look; the two messages wait in the same mailbox."""
    async with account_rig(tmp_path, monkeypatch, (Connected(), Disconnected(1006, "cut")), (FOR_EVER,)) as (rig, _):
        await trio.sleep(5)
        assert await sync_now(rig)
        assert not await synced(rig)


async def test_a_pass_during_which_the_stream_was_replaced_opens_nothing(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happened between the two connections was told by neither."""
    slow = Behaviour(fill=0.0, latency_s=3.0)
    async with account_rig(tmp_path, monkeypatch, (Connected(), 22.0), HEALTHY, behaviour=slow) as (rig, stage):
        with trio.fail_after(90):
            while len(stage.opened_s) < 2 or not await synced(rig):
                await trio.sleep(0.1)
        whole_pass_s = 15.0
        assert trio.current_time() >= stage.opened_s[1] + whole_pass_s


async def test_a_stream_that_breaks_at_its_first_word_is_opened_ever_more_rarely(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, (Connected(), 0.1, BadReply("damaged"))) as (rig, stage):
        await trio.sleep(300)
        assert len(stage.opened_s) < 25
        assert restarts(rig) == {}


@pytest.mark.parametrize("end", [BadReply("damaged"), Disconnected(1006, "cut"), StreamTrouble("key expired")])
async def test_no_end_of_a_stream_crashes_the_account(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    async with account_rig(tmp_path, monkeypatch, (Connected(), 1.0, end), HEALTHY) as (rig, stage):
        await trio.sleep(10)
        assert await synced(rig)
        assert len(stage.opened_s) == 2
        assert restarts(rig) == {}


async def test_a_stream_that_beats_its_heart_and_tells_no_fill_is_replaced_and_the_fill_is_not_missed(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY, silence_s=1e6) as (rig, stage):
        await trio.sleep(30)
        at_ms = rig.system.clock.wall_ms()
        known = [a_fill(0, EPOCH_MS - 5000), a_fill(1, at_ms)]

        async def fills_since(since_ms: int) -> FillPage:
            return FillPage(tuple(known), complete=True)

        rig.venue.fills_since = fills_since  # type: ignore[method-assign]
        await trio.sleep(60)
        assert rig.store.counters()["fills"] == 2
        assert len(stage.opened_s) == 2
        await trio.sleep(300)
        assert len(stage.opened_s) == 2, "once a fill is known it accuses nobody"
        assert await synced(rig)


async def test_a_long_absence_is_caught_up_with_in_as_many_passes_as_it_takes(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.account.asking, "MAX_FILL_PAGES", 3)
    minute_ms, count, page = 600_000, 100, 7
    began_ms = EPOCH_MS - count * minute_ms
    history = [a_fill(number, began_ms + number * minute_ms) for number in range(count)]

    async with account_rig(tmp_path, monkeypatch, HEALTHY, behaviour=Behaviour(query_fails=1.0)) as (rig, _):

        async def fills_since(since_ms: int) -> FillPage:
            later = [fill for fill in history if fill.filled_at_ms >= since_ms]
            return FillPage(tuple(later[:page]), complete=len(later) <= page)

        rig.venue.fills_since = fills_since  # type: ignore[method-assign]
        rig.venue.behaviour = HONEST
        await trio.sleep(120)
        assert rig.store.counters()["fills"] == count
        assert await synced(rig)


async def test_fills_that_make_no_progress_fail_the_pass(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY) as (rig, _):
        await trio.sleep(5)

        async def fills_since(since_ms: int) -> FillPage:
            return FillPage((a_fill(1),), complete=False)

        rig.venue.fills_since = fills_since  # type: ignore[method-assign]
        assert not await sync_now(rig)
        assert rig.store.counters()["fills"] == 1


async def test_half_an_answer_changes_no_holding(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Position(account=ACCOUNT, instrument="sim:PERP", amount=D(40), updated_at_ms=EPOCH_MS)
    async with account_rig(tmp_path, monkeypatch, (Connected(), held, FOR_EVER)) as (rig, _):
        await trio.sleep(1)

        async def fails() -> Any:
            raise OutcomeUnknown("503")

        async def holds() -> Any:
            return (held,)

        rig.venue.positions = fails  # type: ignore[method-assign]
        assert not await sync_now(rig)
        rig.venue.positions = holds  # type: ignore[method-assign]
        rig.venue.balances = fails  # type: ignore[method-assign]
        assert not await sync_now(rig)
        stored = rig.store.table("positions").get(held.key)
        assert stored is not None


async def test_absurd_holdings_are_told_to_people_and_crash_nobody(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        Position(account=ACCOUNT, instrument="sim:" + "x" * 700, amount=D(1), updated_at_ms=1),
        Position(account=ACCOUNT, instrument="sim:PERP", amount=D("NaN"), updated_at_ms=1),
        Balance(account=ACCOUNT, currency="B\0", balance=D(1), equity=D(1), available=D(1), updated_at_ms=1),
        Balance(account=ACCOUNT, currency="BTC", balance=D("1e99"), equity=D(1), available=D(1), updated_at_ms=1),
    ]
    async with account_rig(tmp_path, monkeypatch, (Connected(), *events, FOR_EVER)) as (rig, _):
        await trio.sleep(5)
        holdings = await rig.system.address("root/account").call(GetHoldings(), timeout_s=5)
        assert (holdings.positions, holdings.balances) == ((), ())
        assert restarts(rig) == {}
        assert await synced(rig)


async def test_after_a_crash_of_the_queue_its_gate_opens_again_by_a_pass_of_its_own(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY, sync_every_s=1000.0, silence_s=1e6) as (rig, _):
        await trio.sleep(5)
        rig.system.kill("root/orders")
        await trio.sleep(5)
        assert await synced(rig)


async def test_orders_placed_elsewhere_are_nobodys_business(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY) as (rig, _):
        rig.venue.place(an_order_from_elsewhere())
        await trio.sleep(65)
        assert rig.stored_orders() == []
        assert await synced(rig)


# ── who is told what is held, and how the day went ────────────────────────────────────────────────────────────────────


class Told(Triggers):
    """A watcher that notes what the account told it."""

    def __init__(self, desk: TriggersDesk, heard: list[Holdings]) -> None:
        super().__init__(desk)
        self._heard = heard

    @on(HoldingsChanged)
    def holdings_changed(self, message: HoldingsChanged) -> None:
        self._heard.append(message.holdings)
        super().holdings_changed(message)


def in_btc(equity: str, available: str | None = None) -> Balance:
    return Balance(
        account=ACCOUNT,
        currency="BTC",
        balance=D(equity),
        equity=D(equity),
        available=D(available or equity),
        updated_at_ms=EPOCH_MS,
    )


@asynccontextmanager
async def watched_rig(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: Script, equity: str
) -> AsyncIterator[tuple[Rig, list[Holdings]]]:
    """An account whose venue says that it has `equity` until `rig.venue.balances` says otherwise."""
    heard: list[Holdings] = []
    monkeypatch.setattr(tests.support.order_rig, "Triggers", lambda desk: Told(desk, heard))
    async with account_rig(path, monkeypatch, script, silence_s=1e6) as (rig, _):
        say(rig, in_btc(equity))
        yield rig, heard


def say(rig: Rig, *rows: Balance) -> None:
    async def balances() -> tuple[Balance, ...]:
        return rows

    rig.venue.balances = balances  # type: ignore[method-assign]


async def test_whatever_moves_is_told_and_every_pass_even_if_nothing_did(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Position(account=ACCOUNT, instrument="sim:PERP", amount=D(40), updated_at_ms=EPOCH_MS)
    script: Script = (Connected(), 5.0, held, FOR_EVER)
    async with watched_rig(tmp_path, monkeypatch, script, "1") as (_rig, heard):
        await trio.sleep(4)
        assert heard[-1].positions == ()
        assert heard[-1].looked_ms >= EPOCH_MS
        await trio.sleep(3)
        assert heard[-1].positions == (held,)
        before = len(heard)
        await trio.sleep(130)
        assert len(heard) == before + 2


async def test_margin_that_own_orders_reserve_is_no_loss_of_the_day(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free balance falls by what rests (L7); what the account is worth does not."""
    async with watched_rig(tmp_path, monkeypatch, HEALTHY, "1") as (rig, heard):
        assert await sync_now(rig)
        say(rig, in_btc("1", available="0.3"))
        assert await sync_now(rig)
        assert heard[-1].day_pnl == {"BTC": 0}
        assert heard[-1].balances[0].available == D("0.3")
        say(rig, in_btc("0.95", available="0.3"))
        assert await sync_now(rig)
        assert heard[-1].day_pnl == {"BTC": D("-0.05")}


async def test_the_days_beginning_outlives_a_crash_and_ends_at_midnight(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched_rig(tmp_path, monkeypatch, HEALTHY, "1") as (rig, heard):
        assert await sync_now(rig)
        say(rig, in_btc("0.8"))
        rig.system.kill("root/account")
        await trio.sleep(5)
        assert await sync_now(rig)
        assert heard[-1].day_pnl == {"BTC": D("-0.2")}
        today = heard[-1].day
        await trio.sleep(86_400 - EPOCH_MS % 86_400_000 / 1000 + 120)
        assert (heard[-1].day, heard[-1].day_pnl) == (today + 1, {"BTC": 0})


async def test_a_loss_found_by_a_pass_stops_new_risk_before_that_pass_lets_anything_leave(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = OrdersSettings(limits=OrderLimits(max_daily_loss={"BTC": D("0.1")}))
    stage = Stage((Connected(), 10.0, Disconnected(1006, "cut")), HEALTHY)
    monkeypatch.setattr(actors.account.stream, "connect", stage.connect)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, account=an_account(SETTINGS), settings=settings) as rig:
        say(rig, in_btc("1"))
        assert await sync_now(rig)
        say(rig, in_btc("0.8"))
        await trio.sleep(9.8)
        while await synced(rig):
            await trio.sleep(0.01)
        request = OrderRequest(instrument="sim:PERP", side=Side.BUY, amount=D(10), price=D(50_000), good_for_s=600.0)
        await rig.orders.call(SubmitOrder(request), timeout_s=5)
        await trio.sleep(30)
        assert await synced(rig)
        assert rig.venue.truth == []
        assert [notice.kind for notice in rig.notices()].count("account.daily_loss") == 1
