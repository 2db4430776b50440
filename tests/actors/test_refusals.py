"""Every refusal has a code, every code is in the table, and something provokes each of them."""

import ast
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from actors.messages import (
    AmendOrder,
    CancelOrder,
    Holdings,
    HoldingsChanged,
    QuiesceOrders,
    ResolveOrder,
    SetGate,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Unsynced,
    Verdict,
)
from actors.orders import OrdersSettings
from actors.recorder import StoreUsage
from engine.kernel import Request
from engine.model import (
    CODES,
    Condition,
    ConditionType,
    DataClass,
    Denial,
    ErrorPolicy,
    GateState,
    InstrumentLimits,
    LinkKind,
    MarketState,
    Operator,
    OrderLimits,
    OrderRequest,
    OrderType,
    Permission,
    Position,
    Side,
    Source,
)
from engine.store import Usage
from tests.support.adversary import HONEST, PERPETUAL, Behaviour
from tests.support.order_rig import ACCOUNT, Rig, order_rig

D = Decimal
ROOT = Path(__file__).parents[2]
LINEAR = msgspec.structs.replace(PERPETUAL, inverse=False)

#: Provoked by other tests, which need more of a node than a queue: where to look for them.
ELSEWHERE = {
    "ACCOUNT_UNKNOWN": "tests/actors/test_strategy.py",
    "PLAN_NOT_FOUND": "tests/actors/test_execution.py",
    "QUEUE_DOWN": "tests/actors/test_strategy.py",
    "TOO_MANY_PLANS": "tests/actors/test_execution.py",
    "VENUE_UNKNOWN": "tests/actors/test_trading_faces.py",
}


class Provoked(NamedTuple):
    settings: OrdersSettings
    act: Callable[[Rig], Awaitable[Any]]


TABLE: dict[str, Provoked] = {}
Act = Callable[[Rig], Awaitable[Any]]


def provokes(code: str, *, settings: OrdersSettings | None = None, **limits: Any) -> Callable[[Act], Act]:
    def enter(act: Act) -> Act:
        TABLE[code] = Provoked(settings or OrdersSettings(limits=OrderLimits(**limits)), act)
        return act

    return enter


async def ask(rig: Rig, message: Request[Any]) -> Any:
    return await rig.orders.call(message, timeout_s=10)


async def submit(rig: Rig, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "instrument": "sim:PERP",
        "side": Side.BUY,
        "amount": D(10),
        "price": D(50_000),
        "good_for_s": 600.0,
    }
    return await ask(rig, SubmitOrder(OrderRequest(**fields | changes)))


async def resting(rig: Rig, **changes: Any) -> str:
    answer = await submit(rig, **changes)
    await trio.sleep(1)
    return str(answer.order_id)


def hold(rig: Rig, amount: int, *, day_pnl: dict[str, Decimal] | None = None) -> None:
    position = Position(account=ACCOUNT, instrument="sim:PERP", amount=D(amount), updated_at_ms=1)
    rig.orders.tell(HoldingsChanged(Holdings((position,), (), looked_ms=1, day=1, day_pnl=day_pnl or {})))


def mark(rig: Rig, price: float | None = 50_000.0) -> None:
    market = MarketState("sim:PERP", bounds_s={DataClass.TICKER: 3600.0})
    market.ticker.mark = price
    market.touch(DataClass.TICKER, Source.STREAM, rig.system.clock.monotonic_s())
    rig.state.markets["PERP"] = market


@provokes("AMOUNT_LIMIT", max_order_amount=D(10))
async def too_much(rig: Rig) -> Any:
    return await submit(rig, amount=D(20))


@provokes("BAD_REQUEST")
async def between_two_ticks(rig: Rig) -> Any:
    return await submit(rig, price=D("50000.3"))


@provokes("BATCH_TOO_LARGE")
async def a_thousand_at_once(rig: Rig) -> Any:
    request = OrderRequest(instrument="sim:PERP", side=Side.BUY, amount=D(10), price=D(50_000))
    answers = await ask(rig, SubmitBatch((request,) * 1000))
    return answers[-1]


@provokes("DAILY_LOSS", max_daily_loss={"BTC": D("0.1")})
async def after_a_loss(rig: Rig) -> Any:
    hold(rig, 0, day_pnl={"BTC": D("-0.11")})
    return await submit(rig)


@provokes("DELAY_LIMIT")
async def later_than_anybody_waits(rig: Rig) -> Any:
    return await submit(rig, delay_s=301.0)


@provokes("DISABLED", settings=OrdersSettings(enabled=False))
async def where_orders_are_turned_off(rig: Rig) -> Any:
    return await submit(rig)


@provokes("EXPOSURE_LIMIT", max_exposure_notional=D(50))
async def all_in_all_too_much(rig: Rig) -> Any:
    hold(rig, 50)
    return await submit(rig)


@provokes("GATE_HALTED")
async def while_halted(rig: Rig) -> Any:
    await ask(rig, SetGate(GateState.HALTED, "test"))
    return await submit(rig, reduce_only=True)


@provokes("GATE_REDUCING")
async def while_reducing(rig: Rig) -> Any:
    await ask(rig, SetGate(GateState.REDUCING, "test"))
    return await submit(rig)


@provokes("INSTRUMENT_DENIED", deny=("PERP",))
async def on_the_list(rig: Rig) -> Any:
    return await submit(rig)


@provokes("INSTRUMENT_INACTIVE")
async def not_traded_now(rig: Rig) -> Any:
    rig.state.instruments["PERP"] = msgspec.structs.replace(PERPETUAL, active=False)
    return await submit(rig)


@provokes("INSTRUMENT_UNKNOWN")
async def not_listed(rig: Rig) -> Any:
    return await submit(rig, instrument="sim:NOPE")


@provokes("NOT_AMENDABLE")
async def amend_what_has_not_left(rig: Rig) -> Any:
    order_id = (await submit(rig, delay_s=100.0)).order_id
    return await ask(rig, AmendOrder(order_id, amount=D(20)))


@provokes("NOT_ASKABLE")
async def ask_for_what_was_never_sent(rig: Rig) -> Any:
    rig.venue.behaviour = Behaviour(refuse=1.0)
    order_id = await resting(rig, on_error=ErrorPolicy.MANUAL)
    return await ask(rig, ResolveOrder(order_id, Verdict.ASK))


@provokes("NOT_IN_REVIEW")
async def decide_about_what_nobody_has_to(rig: Rig) -> Any:
    return await ask(rig, ResolveOrder(await resting(rig), Verdict.CLOSE))


@provokes("NOT_RETRYABLE")
async def try_again_what_the_venue_had(rig: Rig) -> Any:
    order_id = await resting(rig)
    rig.venue.truth.clear()
    await trio.sleep(1)
    await rig.sync()
    await trio.sleep(300)
    return await ask(rig, ResolveOrder(order_id, Verdict.RETRY))


@provokes("NOT_LIVE")
async def cancel_what_is_over(rig: Rig) -> Any:
    order_id = (await submit(rig, delay_s=100.0)).order_id
    await ask(rig, CancelOrder(order_id))
    await trio.sleep(1)
    return await ask(rig, CancelOrder(order_id))


@provokes("NOT_READY")
async def amend_while_nobody_listens(rig: Rig) -> Any:
    order_id = await resting(rig)
    rig.orders.tell(Unsynced("cut"))
    return await ask(rig, AmendOrder(order_id, amount=D(20)))


@provokes("NO_MARK", max_position_notional=D(1000))
async def nothing_to_value_it_by(rig: Rig) -> Any:
    rig.state.instruments["PERP"] = LINEAR
    return await submit(rig)


@provokes("NO_PERMISSION", permission=Permission.READ)
async def an_account_to_look_at(rig: Rig) -> Any:
    return await submit(rig, reduce_only=True)


@provokes("NOTIONAL_LIMIT", max_order_notional=D(10))
async def worth_too_much(rig: Rig) -> Any:
    return await submit(rig, amount=D(20))


@provokes("ORDER_NOT_FOUND")
async def cancel_nothing(rig: Rig) -> Any:
    return await ask(rig, CancelOrder("aaaaaaaa-1"))


@provokes("POSITION_LIMIT", max_position=D(50))
async def holding_too_much(rig: Rig) -> Any:
    hold(rig, 50)
    return await submit(rig)


@provokes("POSITION_NOTIONAL_LIMIT", max_position_notional=D(50))
async def holding_what_is_worth_too_much(rig: Rig) -> Any:
    hold(rig, 50)
    return await submit(rig)


@provokes("PRICE_DEVIATION")
async def far_from_the_market(rig: Rig) -> Any:
    mark(rig)
    return await submit(rig, price=D(55_001))


@provokes("QUEUE_FULL", max_waiting=1)
async def one_too_many_waits(rig: Rig) -> Any:
    rig.orders.tell(Unsynced("cut"))
    await submit(rig)
    return await submit(rig)


@provokes("RATE_LIMIT", max_orders_per_s=1.0)
async def two_at_once(rig: Rig) -> Any:
    await submit(rig)
    return await submit(rig)


@provokes("REQUEST_KEY_USED")
async def a_key_for_two_things(rig: Rig) -> Any:
    await submit(rig, request_key="k")
    exit_ = OrderRequest(instrument="sim:PERP", side=Side.SELL, amount=D(10), price=D(60_000))
    keyed = msgspec.structs.replace(exit_, request_key="k")
    return await ask(rig, SubmitLinked(LinkKind.OCO, (keyed, exit_)))


@provokes("REQUEST_PENDING")
async def amend_twice_at_once(rig: Rig) -> Any:
    order_id = await resting(rig)
    await ask(rig, AmendOrder(order_id, amount=D(20)))
    return await ask(rig, AmendOrder(order_id, amount=D(30)))


@provokes("SELF_TRADE")
async def meets_itself(rig: Rig) -> Any:
    await resting(rig, side=Side.SELL, price=D(50_100))
    return await submit(rig, price=D(50_100))


@provokes("VENUE_RULE")
async def what_the_venue_never_takes(rig: Rig) -> Any:
    rig.state.instruments["PERP"] = msgspec.structs.replace(PERPETUAL, max_amount=D(10))
    return await submit(rig, amount=D(20))


@provokes("STOPPING")
async def too_late(rig: Rig) -> Any:
    await ask(rig, QuiesceOrders(cancel=False))
    return await submit(rig)


@provokes("STORE_FULL")
async def no_room_left(rig: Rig) -> Any:
    rig.orders.tell(StoreUsage(Usage(85, 100, 0, 0), alarm=True, gate_closed=True))
    return await submit(rig)


@provokes("TOO_MANY_CONDITIONS")
async def more_than_anybody_can_follow(rig: Rig) -> Any:
    above = Condition(type=ConditionType.PRICE, operator=Operator(">"), value=1)
    return await submit(rig, conditions=(above,) * 6)


@provokes("TOO_MANY_ORDERS", instruments={"sim:*": InstrumentLimits(max_orders_per_instrument=1)})
async def all_live(rig: Rig) -> Any:
    await resting(rig)
    return await submit(rig)


@pytest.mark.parametrize("code", TABLE)
async def test_it_is_refused_by_name_and_leaves_nothing_behind(
    tmp_path: Path, autojump_clock: object, code: str
) -> None:
    provoked = TABLE[code]
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=provoked.settings) as rig:
        refusal = await provoked.act(rig)
        assert isinstance(refusal, Denial), refusal
        assert refusal.code == code
        assert refusal.text.startswith(f"{code}: field={refusal.field} expected=")
        stored = len(rig.stored_orders())
        await trio.sleep(1)
        assert len(rig.stored_orders()) == stored


async def test_a_market_order_counts_as_worth_what_the_mark_says(tmp_path: Path, autojump_clock: object) -> None:
    settings = OrdersSettings(limits=OrderLimits(max_order_notional=D(600_000)))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=settings) as rig:
        rig.state.instruments["PERP"] = LINEAR
        market = {"order_type": OrderType.MARKET, "price": None}
        assert (await submit(rig, **market)).code == "NO_MARK"
        mark(rig)
        assert not isinstance(await submit(rig, **market), Denial)
        assert (await submit(rig, **market, amount=D(20))).code == "NOTIONAL_LIMIT"


def refusals() -> Iterator[tuple[str, str]]:
    """The codes that the source refuses with, and where."""
    for path in sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "actors").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("denied", "Denial"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    yield str(first.value), str(path.relative_to(ROOT))


def named_in_tests() -> set[str]:
    """All words that stand alone in a string of a test, this file's list apart."""
    words: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path != Path(__file__):
            nodes = ast.walk(ast.parse(path.read_text()))
            words |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return words


def test_whoever_refuses_does_it_with_a_code_of_the_table() -> None:
    unknown = {(code, where) for code, where in refusals() if code not in CODES}
    assert not unknown, "add them to engine/model/denials.py, and what provokes them to a test"


def test_every_code_is_provoked_here_or_named_by_a_test_that_provokes_it() -> None:
    missing = CODES.keys() - TABLE.keys() - named_in_tests()
    assert not missing
    for code, where in ELSEWHERE.items():
        assert f'"{code}"' in (ROOT / where).read_text()


def test_no_code_of_the_table_is_without_a_use() -> None:
    source = "".join(path.read_text() for room in ("engine", "actors") for path in (ROOT / room).rglob("*.py"))
    unused = {code for code in CODES if source.count(f'"{code}"') < 2 and not code.startswith("GATE_")}
    assert unused <= {"DAILY_LOSS", "NO_MARK", "RATE_LIMIT"}, "these are constants, and used by name"
