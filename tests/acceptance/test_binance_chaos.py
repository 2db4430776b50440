"""A node trades at the simulated Binance while everything goes wrong; in the end the two agree on every order, fill and coin."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trio

from actors.messages import Accepted, CancelAll
from engine.kernel import ActorDown, CallFailed, CallTimeout, Entropy, MailboxFull
from engine.model import OrderState, OrderType, Side, TriggerBy
from engine.simulator import faults
from tests.support.binance_node import SYMBOL, SYNC, BinanceNode, accounts, node_at
from tests.support.live_node import simulator

D = Decimal
FOR_S = 5.0
ORDERS = 25
SETTLED_S = 80.0
AGAIN_S = 3.0
#: A lost event is known at the next pass, so these come often.
OFTEN = msgspec.structs.replace(SYNC, sync_every_s=3.0)
ORDER = "POST /fapi/v1/order"
ALGO = "POST /fapi/v1/algoOrder"
CANCEL = "DELETE /fapi/v1/order"
FAULTS: tuple[faults.AnyFault, ...] = (
    faults.LoseReply(method=ORDER, close=True, count=1),
    faults.LoseReply(method=ORDER, count=1),
    faults.LoseRequest(method=ORDER, close=True, count=1),
    faults.LoseReply(method=ALGO, close=True, count=1),
    faults.LoseRequest(method=ALGO, close=True, count=1),
    faults.LoseReply(method=CANCEL, close=True, count=1),
    faults.LoseRequest(method=CANCEL, close=True, count=1),
    faults.LoseReply(method="PUT /fapi/v1/order", close=True, count=1),
    faults.HttpStatus(method=ORDER, status=503, execute=True, count=1),
    faults.HttpStatus(method="/fapi", status=502, duration_s=0.3),
    faults.HttpStatus(method=ORDER, status=429, retry_after_s=1, count=1),
    faults.RpcFault(method=ORDER, code=-1008, count=1),
    faults.HideOrders(hide_ms=400, duration_s=2.0),
    faults.LateFills(delay_ms=300, duration_s=2.0),
    faults.EndListenKeys(),
    faults.DayCut(channel="private/"),
    faults.Drop(channel="private/", reset=True),
    faults.LoseFrames(channel="private/", count=2),
    faults.Duplicate(channel="private/", duration_s=2.0),
    faults.Reorder(channel="private/", hold_s=0.05, probability=0.5, duration_s=2.0),
    faults.Delay(channel="private/", delay_s=0.2, jitter_s=0.2, duration_s=1.0),
    faults.HalfOpen(channel="private/", sockets_only=True, duration_s=1.5),
)


async def trade(node: BinanceNode, entropy: Entropy, told: set[str]) -> None:
    """For ever: orders that rest, take, wait for a trigger, are changed and cancelled, and somebody who meets them."""
    while True:
        kind = entropy.randrange(6)
        buying = entropy.random() < 0.5
        fields: dict[str, object] = {"side": Side.BUY if buying else Side.SELL, "amount": D("0.004")}
        if kind == 0:
            fields |= {"order_type": OrderType.MARKET}
        elif kind == 1:
            fields |= {"order_type": OrderType.STOP_MARKET, "trigger_by": TriggerBy.MARK}
            fields |= {"trigger_price": node.at("1.002" if buying else "0.998")}
        elif kind == 2:
            fields |= {"side": Side.BUY, "price": node.inside}
        else:
            fields |= {"price": node.at("0.98" if buying else "1.02")}
        answer = await ask(node.ask_for(**fields))
        if isinstance(answer, Accepted):
            told.add(answer.order_id)
            if kind == 3:
                await ask(node.amend(answer.order_id, amount=D("0.006")))
            elif kind == 4:
                await ask(node.cancel(answer.order_id))
        if entropy.random() < 0.3:
            node.hit("0.004")
        if entropy.random() < 0.2:
            node.move(node.at("1.003" if entropy.random() < 0.5 else "0.997"))
        await trio.sleep(0.06)


async def ask(call: object) -> object:
    try:
        return await call  # type: ignore[misc]
    except (ActorDown, CallFailed, CallTimeout, MailboxFull):
        return None


async def decide(node: BinanceNode) -> None:
    """The person whom an order is left to that the venue denies: its instrument waits for the decision."""
    while True:
        for order in list(node.live.node.parts.store.live_orders()):
            if order.review:
                await ask(node.cancel(order.order_id))
        await trio.sleep(0.1)


async def trouble(node: BinanceNode, entropy: Entropy) -> None:
    while True:
        await trio.sleep(0.15 + 0.3 * entropy.random())
        node.sim.faults.add(FAULTS[entropy.randrange(len(FAULTS))])


async def settle(node: BinanceNode) -> None:
    """No more trouble: everything is cancelled until nothing lives, and the account is in step.

    Whether it comes to that is the question, and not how soon: a slow machine is given time, and not more work by asking
    again before the answer can be there.
    """
    store = node.live.node.parts.store
    with trio.fail_after(SETTLED_S):
        while list(store.live_orders()):
            await ask(node.account.orders.call(CancelAll(reason="the test ends"), timeout_s=3.0))
            with trio.move_on_after(AGAIN_S):
                while list(store.live_orders()):
                    await trio.sleep(0.05)
    await node.live.until(node.agrees, SETTLED_S, node.differences)


def judge(node: BinanceNode, order_id: str) -> list[str]:
    """What the node believes of an order otherwise than the venue."""
    order, truth = node.order(order_id), node.truth
    algos = [algo for algo in truth["algos"].values() if algo["client_id"].startswith(f"{order_id}-")]
    became = {algo["order_id"] for algo in algos}
    rows = [
        row
        for row in truth["orders"].values()
        if row["client_id"].startswith(f"{order_id}-") or row["order_id"] in became
    ]
    problems = []
    if max(len(rows), len(algos)) > 1:
        problems.append("placed twice")
    if not order.filled_amount == order.executed_amount == sum(row["filled"] for row in rows):
        problems.append("filled otherwise")
    if any(row["status"] in ("NEW", "PARTIALLY_FILLED") for row in rows) or not order.state.terminal:
        problems.append("still lives")
    return [f"{problem}: {order} {rows} {algos}" for problem in problems]


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_goes_wrong_the_node_and_the_venue_agree_in_the_end(tmp_path: Path, seed: int) -> None:
    entropy = Entropy(seed)
    told: set[str] = set()
    async with (
        simulator(binance=("127.0.0.1", 0), binance_symbols=[SYMBOL]) as sim,
        node_at(sim, tmp_path, accounts=accounts(sim, sync=OFTEN)) as node,
    ):
        await node.until(lambda: node.mark is not None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trade, node, entropy.fork("customer"), told)
            nursery.start_soon(trouble, node, entropy.fork("trouble"))
            nursery.start_soon(decide, node)
            await trio.sleep(FOR_S)
            await node.live.until(lambda: len(told) >= ORDERS, SETTLED_S, lambda: len(told))
            nursery.cancel_scope.cancel()
        node.sim.faults.lift_all()
        await settle(node)
        wrong = [problem for order_id in told for problem in judge(node, order_id)]
        assert wrong == []
        after = await node.submit(order_type=OrderType.MARKET, good_for_s=SETTLED_S)
        await node.live.until_state(after, OrderState.FILLED, limit_s=SETTLED_S)
        await node.live.until(node.agrees, SETTLED_S, node.differences)
