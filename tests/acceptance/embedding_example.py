"""A program that is not trio's drives a node: a plain pykka actor trades, and hears what became of it.

    python tests/acceptance/embedding_example.py DIRECTORY

It runs the demo's venue without the demo's strategy, places an order that rests, cancels it, buys at the market, and
prints what it was told.
"""

import queue
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pykka

from actors.embedding import BackgroundNode
from actors.messages import Accepted, CancelOrder, FillUpdate, OrderUpdate, SubmitOrder
from actors.node import NodeSettings
from engine.model import Denial, OrderRequest, OrderState, OrderType, Side
from engine.settings import load

INSTRUMENT = "deribit:BTC-PERPETUAL"
PATIENCE_S = 20.0


class Place(msgspec.Struct, frozen=True):
    """To the trader: place this."""

    request: OrderRequest


class Withdraw(msgspec.Struct, frozen=True):
    """To the trader: cancel this."""

    order_id: str


class Trader(pykka.ThreadingActor):
    """Owns its orders: updates and fills of them come to `on_receive`, on the trader's own thread."""

    use_daemon_thread = True

    def __init__(self, orders: pykka.ActorRef[Any], heard: "queue.Queue[OrderUpdate | FillUpdate]") -> None:
        super().__init__()
        self._orders = orders
        self._heard = heard

    def on_receive(self, message: Any) -> Any:
        match message:
            case Place(request):
                return self._orders.ask(SubmitOrder(request, owner=self.actor_ref), timeout=PATIENCE_S)
            case Withdraw(order_id):
                return self._orders.ask(CancelOrder(order_id, "changed my mind"), timeout=PATIENCE_S)
            case OrderUpdate() | FillUpdate():
                self._heard.put(message)
        return None


def best_bid(node: BackgroundNode) -> float:
    """Market state belongs to the node's thread: it is read there. A node is up before its venue was reached."""

    def read() -> float | None:
        market = node.parts.market(INSTRUMENT)
        best = market.book.best_bid() if market else None
        return best[0] if best else None

    give_up_s = time.monotonic() + PATIENCE_S
    while (bid := node.run_on_loop(read)) is None:
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"{INSTRUMENT}: no book within {PATIENCE_S} s")
        time.sleep(0.05)
    return bid


def settings() -> NodeSettings:
    """The shipped demo without its strategy. Logs are the program's own business: the node speaks through loguru."""
    return msgspec.structs.replace(load("demo", NodeSettings, {}), name="embedded", strategies={})


def order(price: Decimal | None) -> OrderRequest:
    """A limit order at a price, or one at the market."""
    kind = OrderType.LIMIT if price else OrderType.MARKET
    return OrderRequest(instrument=INSTRUMENT, side=Side.BUY, amount=Decimal(100), order_type=kind, price=price)


def accepted(answer: Accepted | Denial) -> str:
    if isinstance(answer, Denial):
        raise SystemExit(f"refused: {answer.message}")
    return answer.order_id


def until(heard: "queue.Queue[OrderUpdate | FillUpdate]", order_id: str, state: OrderState) -> list[str]:
    """Listen until the order is in a state and all its fills were told; what was heard on the way, repetitions left out."""
    seen: list[str] = []
    missing = Decimal(0)
    told = Decimal(0)
    while missing or state not in seen:
        update = heard.get(timeout=PATIENCE_S)
        order = update.order
        if order is None or order.order_id != order_id:
            continue
        if isinstance(update, FillUpdate):
            told += update.fill.amount
            said = f"{update.fill.amount} at {update.fill.price}"
        else:
            said = order.state
        missing = order.filled_amount - told
        if said not in seen[-1:]:
            seen.append(said)
    return seen


def say(what: str, heard: list[str]) -> None:
    sys.stdout.write(f"{what}: {', '.join(heard)}\n")


def trade(node: BackgroundNode) -> None:
    heard: queue.Queue[OrderUpdate | FillUpdate] = queue.Queue()
    account = node.parts.account_for(INSTRUMENT)
    assert account is not None, "the demo has one account"
    trader = Trader.start(account.orders, heard)
    try:
        bid = best_bid(node)
        resting = accepted(trader.ask(Place(order(Decimal(int(bid * 0.95)))), timeout=PATIENCE_S))
        say("rests", until(heard, resting, OrderState.OPEN))
        accepted(trader.ask(Withdraw(resting), timeout=PATIENCE_S))
        say("cancelled", until(heard, resting, OrderState.CANCELLED))
        bought = accepted(trader.ask(Place(order(None)), timeout=PATIENCE_S))
        say("bought", until(heard, bought, OrderState.FILLED))
    finally:
        trader.stop(timeout=PATIENCE_S)


def main(directory: Path) -> int:
    node = BackgroundNode(settings(), directory)
    with node:
        trade(node)
    say("stopped", [f"with {node.exit_code}"])
    return node.exit_code or 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
