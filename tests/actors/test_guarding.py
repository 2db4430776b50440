"""Limits that follow what happens: orders that waited, fills, rates, the day's loss."""

from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.messages import (
    Accepted,
    AmendOrder,
    CancelOrder,
    ConditionsMet,
    Holdings,
    HoldingsChanged,
    SetGate,
    SubmitLinked,
    SubmitOrder,
    Unsynced,
    VenueWord,
)
from actors.orders import OrdersSettings
from engine.model import (
    Condition,
    ConditionType,
    DataClass,
    Denial,
    GateState,
    InstrumentLimits,
    LinkKind,
    MarketState,
    Operator,
    OrderLimits,
    OrderRequest,
    OrderState,
    OrderType,
    Position,
    Severity,
    Side,
    Source,
)
from tests.support.adversary import HONEST, PERPETUAL, Behaviour
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig, order_rig

D = Decimal
S = OrderState
LINEAR = msgspec.structs.replace(PERPETUAL, inverse=False)
ABOVE = (Condition(type=ConditionType.PRICE, operator=Operator(">"), value=1),)


def limits(**fields: Any) -> OrdersSettings:
    return OrdersSettings(limits=OrderLimits(**fields))


def a_request(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "instrument": PERPETUAL.instrument_id,
        "side": Side.BUY,
        "amount": D(10),
        "price": D(50_000),
        "good_for_s": 3600.0,
    }
    return OrderRequest(**fields | changes)


async def submit(rig: Rig, **changes: Any) -> str:
    """The order id, or the code of the refusal."""
    answer = await rig.orders.call(SubmitOrder(a_request(**changes)), timeout_s=10)
    return answer.code if isinstance(answer, Denial) else answer.order_id


def hold(rig: Rig, amount: int, *, looked_ms: int = 0, day: int = 1, pnl: str | None = None) -> None:
    position = Position(account=ACCOUNT, instrument="sim:PERP", amount=D(amount), updated_at_ms=looked_ms)
    day_pnl = {} if pnl is None else {"BTC": D(pnl)}
    holdings = Holdings((position,), (), looked_ms=looked_ms, day=day, day_pnl=day_pnl)
    rig.orders.tell(HoldingsChanged(holdings))


def mark(rig: Rig, price: float) -> MarketState:
    market = MarketState("sim:PERP", bounds_s={DataClass.TICKER: 5.0, DataClass.BOOK: 5.0})
    market.ticker.mark = price
    market.touch(DataClass.TICKER, Source.STREAM, rig.system.clock.monotonic_s())
    rig.state.markets["PERP"] = market
    return market


def said(rig: Rig, kind: str) -> list[str]:
    return [notice.text for notice in rig.notices() if notice.kind == kind]


# ── orders that wait are judged when they leave ───────────────────────────────────────────────────────────────────────


async def test_an_order_that_waited_and_breaks_a_limit_when_it_may_leave_is_over_and_people_are_told(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=limits(max_position=D(50))) as rig:
        waits = await submit(rig, conditions=ABOVE, amount=D(20))
        hold(rig, 40)
        rig.orders.tell(ConditionsMet(waits, EPOCH_MS, "seen"))
        await trio.sleep(1)
        assert rig.order(waits).state is S.REJECTED
        assert rig.order(waits).reason.startswith("POSITION_LIMIT: field=amount expected=")
        assert len(said(rig, "order.turned_away")) == 1
        assert rig.venue.truth == []


async def test_an_order_that_waited_does_not_push_out_one_that_was_taken_before_it_was_free(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=limits(max_position=D(50))) as rig:
        waits = await submit(rig, conditions=ABOVE, amount=D(30))
        rig.orders.tell(Unsynced("cut"))
        taken = await submit(rig, amount=D(30))
        rig.orders.tell(ConditionsMet(waits, EPOCH_MS, "seen"))
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(1)
        assert (rig.order(taken).state, rig.order(waits).state) == (S.OPEN, S.REJECTED)


async def test_a_price_that_is_far_away_now_is_no_reason_not_to_wait_for_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        mark(rig, 40_000.0)
        assert await submit(rig) == "PRICE_DEVIATION"
        waits = await submit(rig, delay_s=3.0)
        await trio.sleep(2)
        mark(rig, 50_000.0)
        await trio.sleep(2)
        assert rig.order(waits).state is S.OPEN


async def test_an_order_without_a_mark_to_value_it_by_waits_for_one(tmp_path: Path, autojump_clock: object) -> None:
    settings = limits(max_position_notional=D(10**9))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        rig.state.instruments["PERP"] = LINEAR
        waits = await submit(rig, delay_s=1.0)
        await trio.sleep(20)
        assert rig.order(waits).state is S.WAITING
        mark(rig, 50_000.0)
        await trio.sleep(2)
        assert rig.order(waits).state is S.OPEN


async def test_exits_of_an_entry_are_no_position_before_it_is_filled(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=limits(max_position=D(10))) as rig:
        exits = (
            a_request(side=Side.SELL, price=D(60_000)),
            a_request(side=Side.SELL, price=None, trigger_price=D(40_000), order_type=OrderType.STOP_MARKET),
        )
        answer = await rig.orders.call(SubmitLinked(LinkKind.OTOCO, exits, entry=a_request()), timeout_s=10)
        assert not isinstance(answer, Denial)


# ── fills and positions ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_fill_counts_before_any_position_shows_it_and_what_rests_counts_as_filled(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=limits(max_position=D(50))) as rig:
        await submit(rig, amount=D(30))
        await trio.sleep(1)
        assert await submit(rig, amount=D(30)) == "POSITION_LIMIT"
        rig.venue.fill(rig.venue.truth[0])
        rig.orders.tell(VenueWord(fills=rig.venue.fills()))
        await trio.sleep(1)
        assert await submit(rig, amount=D(30)) == "POSITION_LIMIT", "held now, and not known to the account yet"
        hold(rig, 30, looked_ms=rig.system.clock.wall_ms())
        assert await submit(rig, amount=D(30)) == "POSITION_LIMIT"
        assert "-" in await submit(rig, amount=D(20))


async def test_what_was_held_and_what_rests_are_known_again_after_a_crash(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=limits(max_position=D(50))) as rig:
        await submit(rig, amount=D(30))
        await trio.sleep(1)
        rig.system.kill("root/orders")
        await trio.sleep(2)
        await rig.sync()
        assert await submit(rig, amount=D(30)) == "POSITION_LIMIT"
        assert "-" in await submit(rig, amount=D(20))


async def test_an_amend_is_judged_by_what_it_adds(tmp_path: Path, autojump_clock: object) -> None:
    settings = limits(max_position=D(50), instruments={"sim:*": InstrumentLimits(max_order_amount=D(45))})
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        await submit(rig, amount=D(10))
        order_id = await submit(rig, amount=D(20))
        await submit(rig, side=Side.SELL, price=D(50_500))
        await trio.sleep(1)

        async def amend(**changes: Any) -> Any:
            answer = await rig.orders.call(AmendOrder(order_id, **changes), timeout_s=10)
            await trio.sleep(1)
            return answer if isinstance(answer, Accepted) else answer.code

        assert await amend(amount=D(50)) == "AMOUNT_LIMIT"
        assert await amend(price=D(50_500)) == "SELF_TRADE"
        assert await amend(amount=D(40)) == Accepted(order_id)
        assert await submit(rig) == "POSITION_LIMIT"
        assert await amend(amount=D(10)) == Accepted(order_id)
        assert "-" in await submit(rig)


async def test_a_market_order_meets_an_own_order_only_as_far_as_the_book_lets_it_go(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await submit(rig, side=Side.SELL, price=D(50_100))
        await trio.sleep(1)
        market: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None}
        assert await submit(rig, **market) == "SELF_TRADE", "nobody knows how far it goes"
        state = mark(rig, 50_000.0)
        state.book.replace(((49_999.5, 10.0),), ((50_000.0, 30.0), (50_100.0, 10.0)), change_id=1, venue_ms=1)
        state.touch(DataClass.BOOK, Source.STREAM, rig.system.clock.monotonic_s())
        assert await submit(rig, **market, amount=D(40)) == "SELF_TRADE"
        assert "-" in await submit(rig, **market, amount=D(30))


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_orders_that_become_free_together_leave_at_their_rate_and_what_reduces_goes_first(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = limits(max_orders_per_s=1.0, burst_s=2.0)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        free = []
        for _ in range(6):
            free.append(await submit(rig, conditions=ABOVE))
            await trio.sleep(1)
        for order_id in free:
            rig.orders.tell(ConditionsMet(order_id, EPOCH_MS, "seen"))
        await trio.sleep(0.5)
        assert len(rig.venue.truth) == 2
        out = await submit(rig, side=Side.SELL, price=D(50_500), reduce_only=True)
        await trio.sleep(0.5)
        assert rig.order(out).state is S.OPEN
        assert len(rig.venue.truth) <= 4
        await trio.sleep(8)
        assert {rig.order(order_id).state for order_id in free} == {S.OPEN}


async def test_cancels_over_their_rate_wait_and_none_is_refused(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=limits(max_cancels_per_s=2.0)) as rig:
        ours = [await submit(rig) for _ in range(8)]
        await trio.sleep(2)
        for order_id in ours:
            assert await rig.orders.call(CancelOrder(order_id), timeout_s=10) == Accepted(order_id)
        await trio.sleep(1.5)
        gone = [placed.state for placed in rig.venue.truth].count(S.CANCELLED)
        assert 2 <= gone <= 5
        await trio.sleep(5)
        assert {order.state for order in rig.stored_orders()} == {S.CANCELLED}


# ── the day's loss ────────────────────────────────────────────────────────────────────────────────────────────────────

LOSS = limits(max_daily_loss={"BTC": D("0.1")})


async def test_too_large_a_loss_stops_new_risk_once_and_for_all_until_a_person_resumes(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=LOSS) as rig:
        hold(rig, 10, pnl="-0.1")
        assert "-" in await submit(rig)
        for _ in range(3):
            hold(rig, 10, pnl="-0.11")
            assert await submit(rig) == "DAILY_LOSS"
        assert "-" in await submit(rig, side=Side.SELL, price=D(50_500), reduce_only=True)
        told = [notice for notice in rig.notices() if notice.kind == "account.daily_loss"]
        assert [notice.severity for notice in told] == [Severity.EMERGENCY]
        assert "0.11 BTC of at most 0.1" in told[0].text
        rig.system.kill("root/orders")
        await trio.sleep(2)
        assert await submit(rig) == "DAILY_LOSS"
        hold(rig, 10, day=2, pnl="0")
        assert await submit(rig) == "DAILY_LOSS", "a new day resumes nothing"
        assert len(said(rig, "account.daily_loss")) == 1


async def test_who_resumes_accepts_what_was_lost_until_then_and_not_what_follows(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=LOSS) as rig:
        hold(rig, 0, pnl="-0.15")
        assert await submit(rig) == "DAILY_LOSS"
        await rig.orders.call(SetGate(GateState.ACTIVE, "seen"), timeout_s=10)
        for crash in (False, True):
            if crash:
                rig.system.kill("root/orders")
                await trio.sleep(2)
            hold(rig, 0, pnl="-0.24")
            assert "-" in await submit(rig)
        hold(rig, 0, pnl="-0.26")
        assert await submit(rig) == "DAILY_LOSS"
        await trio.sleep(1)
        assert len(said(rig, "account.daily_loss")) == 2


async def test_who_resumes_before_the_account_was_looked_at_accepts_what_is_found_then(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=LOSS) as rig:
        hold(rig, 0, pnl="-0.15")
        assert await submit(rig) == "DAILY_LOSS"
        rig.system.kill("root/orders")
        await trio.sleep(2)
        await rig.orders.call(SetGate(GateState.ACTIVE, "seen"), timeout_s=10)
        hold(rig, 0, pnl="-0.2")
        assert "-" in await submit(rig)
        hold(rig, 0, pnl="-0.31")
        assert await submit(rig) == "DAILY_LOSS"
        await trio.sleep(1)
        stored = [notice.kind for _, notice in rig.store.table("notices").iterate()]
        assert stored.count("account.daily_loss") == 2


async def test_a_pause_by_hand_neither_hides_a_loss_nor_accepts_it(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=LOSS) as rig:
        await rig.orders.call(SetGate(GateState.HALTED, "lunch"), timeout_s=10)
        hold(rig, 0, pnl="-0.2")
        assert await submit(rig) == "GATE_HALTED"
        await rig.orders.call(SetGate(GateState.ACTIVE, "back"), timeout_s=10)
        hold(rig, 0, pnl="-0.2")
        assert await submit(rig) == "DAILY_LOSS"


async def test_a_limit_on_a_currency_the_account_does_not_have_is_told_to_people_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = limits(max_daily_loss={"btc": D("0.1")})
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        for _ in range(3):
            hold(rig, 0, looked_ms=1, pnl="-0.2")
            await trio.sleep(1)
        [text] = said(rig, "account.limit_without_currency")
        assert "no btc" in text and "it has BTC" in text


async def test_an_order_in_the_queue_does_not_leave_into_a_loss(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=LOSS) as rig:
        rig.orders.tell(Unsynced("cut"))
        waits = await submit(rig)
        hold(rig, 0, pnl="-0.2")
        await rig.sync()
        await trio.sleep(5)
        assert rig.order(waits).state is S.WAITING
        assert rig.venue.truth == []
        await rig.orders.call(SetGate(GateState.ACTIVE, "seen"), timeout_s=10)
        await trio.sleep(1)
        assert rig.order(waits).state is S.OPEN


async def test_against_a_venue_that_loses_replies_no_fills_pass_the_limit(
    tmp_path: Path, autojump_clock: object
) -> None:
    rough = Behaviour(fill=0.6, lose_reply=0.3, execute_late=0.2, not_sent=0.1, query_fails=0.2)
    for seed in range(4):
        async with order_rig(
            tmp_path / str(seed), seed=seed, behaviour=rough, settings=limits(max_position=D(30))
        ) as rig:
            chance = rig.system.entropy.fork("test")
            for _ in range(20):
                side = chance.choice([Side.BUY, Side.SELL])
                price = D(50_000 - side.sign * 10)
                await submit(rig, side=side, price=price, amount=D(10 * (1 + chance.randrange(3))))
                await trio.sleep(chance.uniform(0, 2))
                rig.orders.tell(VenueWord(fills=rig.venue.fills()))
                if chance.random() < 0.3:
                    rig.system.kill("root/orders")
                    await trio.sleep(1)
                rig.venue.pass_time()
                hold(rig, int(sum(held_after(rig)[-1:])), looked_ms=rig.system.clock.wall_ms())
                await rig.sync()
            await rig.until_over(20_000)
            held = held_after(rig)
            assert held, "something was filled"
            assert max(map(abs, held)) <= 30, f"replay with seed {seed}"


def held_after(rig: Rig) -> list[Decimal]:
    """The position after each fill at the venue, in the order they happened."""
    fills = sorted(rig.venue.fills(), key=lambda fill: fill.filled_at_ms)
    return list(accumulate(fill.side.sign * fill.amount for fill in fills))
