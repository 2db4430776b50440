"""Several orders at once, against the simulated venue: placed and cancelled in batches, swept, and left to a countdown."""

from decimal import Decimal
from typing import Any

import pytest
import trio

from engine.model import Order, OrderState, OrderType, Side, TriggerBy
from engine.net import HttpReply
from engine.simulator import faults
from engine.venues.base import BadReply, OutcomeUnknown, RateLimited, Refused, Unavailable, VenueError
from tests.support.binance import reply
from tests.support.binance_account import BTC, OURS, Host, ack, order, refusal, row, trader
from tests.support.binance_desk import SYMBOL, Desk, trading_desk

D = Decimal


def states(desk: Desk) -> dict[str, str]:
    """Of what is really at the venue, by client id."""
    truth = desk.sim.binance.truth("main")
    rows = [*truth["orders"].values(), *truth["algos"].values()]
    return {held["client_id"]: held["status"] for held in rows}


async def stop(desk: Desk, off: str = "0.9") -> Order:
    return await desk.order(Side.SELL, off=off, order_type=OrderType.STOP_MARKET, trigger_by=TriggerBy.MARK)


# ── batches ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_orders_of_a_batch_are_taken_or_refused_each_for_itself() -> None:
    async with trading_desk() as desk:
        good = [await desk.order(), await desk.order(off="0.96")]
        crossing = await desk.order(off="1.01", post_only=True)
        dear = await desk.order(amount=D(100))
        answers = await desk.rest.place_batch([(one, desk.btc) for one in (good[0], crossing, dear, good[1])])
        kinds = [type(answer).__name__ if isinstance(answer, VenueError) else answer.state for answer in answers]
        assert kinds == [OrderState.OPEN, "Refused", "Refused", OrderState.OPEN]
        assert [answer.code for answer in answers if isinstance(answer, Refused)] == [-5022, -2019]
        assert all(answer.passing for answer in answers if isinstance(answer, Refused))
        placed = {name for name, state in states(desk).items() if state == "NEW"}
        assert placed == {one.client_order_id for one in good}
        again = await desk.rest.place_batch([(good[0], desk.btc)])
        assert isinstance(again[0], OutcomeUnknown), "the attempt is there"
        missing = await desk.order()
        cancelled = await desk.rest.cancel_batch([good[1], missing, good[0]], desk.btc)
        assert [answer and answer.state for answer in cancelled if not isinstance(answer, VenueError)] == [
            OrderState.CANCELLED, None, OrderState.CANCELLED
        ]  # fmt: skip
        assert set(states(desk).values()) == {"CANCELED"}


async def test_a_batch_for_the_other_position_mode_is_written_anew_the_next_time() -> None:
    async with trading_desk() as desk:
        venue = desk.sim.binance.venue
        dual = {"dualSidePosition": "true"}
        venue.call("POST", "/fapi/v1/positionSide/dual", dual, "main", desk.sim.binance.now_ms())
        one = await desk.order()
        (answer,) = await desk.rest.place_batch([(one, desk.btc)])
        assert isinstance(answer, Unavailable)
        (answer,) = await desk.rest.place_batch([(one, desk.btc)])
        assert not isinstance(answer, VenueError)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(-1000, 503), OutcomeUnknown),
        (refusal(-1015, 429), RateLimited),
        (reply([ack()]), BadReply),  # one answer to two orders
        (HttpReply(200, {}, b"{}"), BadReply),
    ],
)
async def test_what_is_wrong_with_a_batch_is_wrong_with_all_of_it(answer: Any, kind: type[VenueError]) -> None:
    rest = trader(Host({"POST /v1/batchOrders": answer}))
    with pytest.raises(kind):
        await rest.place_batch([(order(), BTC), (order(), BTC)])
    await rest.close()


async def test_each_answer_of_a_batch_stands_for_itself() -> None:
    rows = [
        ack(), {"code": -2019, "msg": "x"}, {"code": -1007, "msg": "x"}, {"code": -9999, "msg": "?"}, {"orderId": "?"},
    ]  # fmt: skip
    rest = trader(Host({"POST /v1/batchOrders": rows}))
    answers = await rest.place_batch([(order(), BTC)] * 5)
    assert [getattr(answer, "client_order_id", type(answer).__name__) for answer in answers] == [
        OURS, "Refused", "OutcomeUnknown", "OutcomeUnknown", "WireError",
    ]  # fmt: skip
    await rest.close()


@pytest.mark.parametrize("size", [0, 6])
async def test_a_batch_has_a_size(size: int) -> None:
    rest = trader(Host())
    with pytest.raises(ValueError, match=f"expected 1 to 5 in a batch, got {size}"):
        await rest.place_batch([(order(), BTC)] * size)
    with pytest.raises(ValueError, match="expected 1 to 10 in a batch"):
        await rest.cancel_batch([order()] * (size * 2), BTC)
    await rest.close()


# ── sweeps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_sweep_leaves_nothing_of_any_kind() -> None:
    async with trading_desk() as desk:
        for one in (await desk.order(), await desk.order(off="0.96"), await stop(desk)):
            await desk.place(one)
        assert set(states(desk).values()) == {"NEW"}
        await desk.rest.cancel_everything()
        assert set(states(desk).values()) == {"CANCELED"}
        await desk.rest.cancel_everything()


async def test_a_sweep_of_another_symbol_leaves_everything() -> None:
    async with trading_desk() as desk:
        await desk.place(await desk.order())
        await desk.rest.cancel_everything("ETHUSDT")
        assert set(states(desk).values()) == {"NEW"}
        await desk.rest.cancel_everything(SYMBOL)
        assert set(states(desk).values()) == {"CANCELED"}


async def test_every_sweep_is_tried_and_the_first_trouble_is_told() -> None:
    swept: list[str] = []

    def answer(asked: Any) -> Any:
        swept.append(f"{asked.path} {asked.params['symbol']}")
        return refusal(-1007, 503) if asked.params["symbol"] == "BTCUSDT" else {"code": 200, "msg": "done"}

    both = [row(), row(symbol="ETHUSDT")]
    answers = {"DELETE /v1/allOpenOrders": answer, "DELETE /v1/algoOpenOrders": answer, "GET /v1/openOrders": both}
    rest = trader(Host(answers))
    with pytest.raises(OutcomeUnknown):
        await rest.cancel_everything()
    assert sorted(swept) == ["/v1/allOpenOrders BTCUSDT", "/v1/allOpenOrders ETHUSDT"]
    await rest.close()


# ── the countdown ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_orders_are_cancelled_when_nothing_is_heard_of_us_and_only_then() -> None:
    async with trading_desk() as desk:
        resting = await desk.place(await desk.order())
        waiting = await desk.place(await stop(desk))
        for _ in range(4):
            await desk.rest.count_down({SYMBOL}, 1.5)
            await trio.sleep(0.5)
        assert set(states(desk).values()) == {"NEW"}
        await desk.until(lambda one: one.state is OrderState.CANCELLED, resting)
        assert states(desk)[waiting.client_order_id] == "NEW", "conditional orders are not among them"


async def test_what_is_not_named_any_more_is_called_off() -> None:
    async with trading_desk() as desk:
        await desk.rest.count_down({SYMBOL}, 0.3)
        await desk.rest.count_down((), 0.3)
        await desk.place(await desk.order())
        await trio.sleep(0.5)
        assert set(states(desk).values()) == {"NEW"}


async def test_a_countdown_that_was_not_called_off_is_called_off_later() -> None:
    async with trading_desk() as desk:
        await desk.rest.count_down({SYMBOL}, 60.0)
        desk.sim.faults.add(faults.HttpStatus(method="POST /fapi/v1/countdownCancelAll", status=503, count=1))
        with pytest.raises(VenueError):
            await desk.rest.count_down((), 60.0)
        await desk.rest.count_down((), 60.0)
        assert desk.sim.binance.venue.trading.timers.due_ms(("countdown", "main", SYMBOL)) is None
