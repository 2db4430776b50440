"""The two venues of the crash drill: how a node reaches them, what they do wrong, and what they really hold."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.kernel import Entropy
from engine.model import OrderState
from scripts.drills._both_venues import BINANCE_STATES, DERIBIT_STATES, Section, binance_section, deribit_section

LATE = ("cancel.", "amend.", "fill.", "release.", "set.answered")  # points an order reaches only when it was placed
REFUSED = ("refused.", "review.", "resolve.", "set.back")  # points an order reaches when it was refused

Fault = dict[str, Any]


class Held(msgspec.Struct, frozen=True):
    """One order at the venue, in our words."""

    client_id: str
    state: OrderState
    filled: Decimal


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's faults call its requests and messages. `busy`: an error that means "certainly not executed"; `passing`: a
    refusal that a later attempt may survive.
    """

    submit: tuple[str, ...]
    cancel: str
    amend: str
    every: str
    ask: str
    stream: str
    busy: int
    passing: int


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """One venue as the drill sees it. `late_ms`: for how long it denies new orders, at most, and holds started ones."""

    name: str
    truth: str  # its name at the control endpoint
    symbol: str
    amount: Decimal
    words: Words
    hides_ms: tuple[int, ...]
    holds_ms: tuple[int, ...]
    may_resubmit: bool
    keeps_sets: bool
    follows_percents: bool  # and not distances
    section: Section
    held: Callable[[Mapping[str, Any]], Iterator[Held]]

    @property
    def instrument(self) -> str:
        return f"{self.name}:{self.symbol}"


def misdeeds(ground: Ground, chance: Entropy, point: str) -> Iterator[Fault]:
    """What a venue does wrong in one life; orders must get as far as `point` for a kill there to happen."""
    words = ground.words
    if not point.startswith((*LATE, *REFUSED)):
        chances = {"probability": chance.choice([0.0, 0.5, 0.8]), "close": chance.random() < 0.7}
        yield from ({"kind": "lose_reply", "method": method, **chances} for method in words.submit)
        if chance.random() < 0.5:
            yield {"kind": "silence", "channel": words.stream}
    lost = 0.8 if point.startswith("inquiry.") else 0.0 if point.startswith(REFUSED) else chance.choice([0.0, 0.3])
    yield from ({"kind": "lose_request", "method": method, "probability": lost} for method in words.submit)
    yield {"kind": "lose_reply", "method": words.cancel, "probability": chance.choice([0.0, 0.3])}
    yield {"kind": "lose_reply", "method": words.amend, "probability": chance.choice([0.0, 0.5])}
    slow = {"delay_s": 0.1, "jitter_s": 0.1, "probability": chance.choice([0.0, 0.3])}
    yield {"kind": "delay", "method": words.every, **slow}
    yield {"kind": "duplicate", "channel": words.stream, "probability": chance.choice([0.0, 0.5])}
    slow = {"delay_s": 0.2, "jitter_s": 0.2, "probability": chance.choice([0.0, 0.5])}
    yield {"kind": "delay", "channel": words.stream, **slow}
    yield {"kind": "http_status", "status": 503, "method": words.ask, "probability": chance.choice([0.0, 0.3])}
    yield {"kind": "engine_hold", "hold_ms": chance.choice(ground.holds_ms)}
    yield {"kind": "hide_orders", "hide_ms": chance.choice(ground.hides_ms)}
    yield {"kind": "late_fills", "delay_ms": chance.choice([0, 200])}
    busy = {"code": words.busy, "probability": chance.choice([0.0, 0.2])}
    yield from ({"kind": "rpc_error", "method": method, **busy} for method in words.submit)
    often = 0.95 if point.startswith(REFUSED) else chance.choice([0.0, 0.2])
    refused = {"code": words.passing, "probability": often}
    yield from ({"kind": "rpc_error", "method": method, **refused} for method in words.submit)


# ── Deribit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _deribit_held(truth: Mapping[str, Any]) -> Iterator[Held]:
    """A condition, or an exit that waits, and the order it became are one: under one label."""
    orders = truth["orders"].values()
    labels = Counter(order["label"] for order in orders)
    became = {order["trigger_order_id"] for order in orders}
    for order in orders:
        gave_way = order["state"] == "triggered" or order["cancel_reason"] == "oto_primary_closed"
        if order["order_id"] in became or (gave_way and labels[order["label"]] > 1):
            continue
        if order["state"] != "rejected":
            yield Held(order["label"], DERIBIT_STATES[order["state"]], Decimal(str(order["filled_amount"])))


DERIBIT = Ground(
    name="deribit",
    truth="deribit",
    symbol="BTC-PERPETUAL",
    amount=Decimal(20),
    words=Words(
        submit=("private/buy", "private/sell"),
        cancel="private/cancel",
        amend="private/edit",
        every="private/",
        ask="private/get_order",
        stream="user.",
        busy=10040,
        passing=10009,
    ),
    hides_ms=(0, 300, 400),
    holds_ms=(0, 150),
    may_resubmit=True,
    keeps_sets=True,
    follows_percents=False,
    section=deribit_section,
    held=_deribit_held,
)


# ── Binance USD-M ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _binance_held(truth: Mapping[str, Any]) -> Iterator[Held]:
    """A conditional order and the order it became are one: the client's id is the condition's."""
    became = {order["algo_id"]: order for order in truth["orders"].values() if order["algo_id"]}
    for order in truth["orders"].values():
        if not order["algo_id"]:
            yield Held(order["client_id"], BINANCE_STATES[order["status"]], Decimal(str(order["filled"])))
    for algo in truth["algos"].values():
        order = became.get(algo["algo_id"])
        if order is not None:
            yield Held(algo["client_id"], BINANCE_STATES[order["status"]], Decimal(str(order["filled"])))
        else:
            yield Held(algo["client_id"], BINANCE_STATES.get(algo["status"], OrderState.REJECTED), Decimal(0))


BINANCE = Ground(
    name="binance",
    truth="binance_usdm",
    symbol="BTCUSDT",
    amount=Decimal("0.02"),
    words=Words(
        submit=("POST /fapi/v1/order", "POST /fapi/v1/algoOrder"),
        cancel="DELETE /fapi/v1/",
        amend="PUT /fapi/v1/order",
        every="/fapi/v1/",
        ask="GET /fapi/v1/order",
        stream="ORDER_TRADE_UPDATE",
        busy=-1008,
        passing=-2019,
    ),
    hides_ms=(0, 400, 2000),  # it has denied existing orders for minutes: longer than any margin is
    holds_ms=(0,),
    may_resubmit=False,
    keeps_sets=False,
    follows_percents=True,
    section=binance_section,
    held=_binance_held,
)

GROUNDS = (DERIBIT, BINANCE)
