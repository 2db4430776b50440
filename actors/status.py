"""The node in one line: what `status` shows and what a bounded run ends with. Read from what is at hand; asks nobody, waits for nobody."""

import msgspec

from actors.parts import NodeParts
from actors.progress import HistoryCounts, history_counts
from actors.trading import OrderMetrics, metrics_of
from engine.kernel import State, TreeNode
from engine.model import Gate, GateState, MarketState

_GATES = (GateState.ACTIVE, GateState.REDUCING, GateState.HALTED)  # from open to closed


class FeedCounts(msgspec.Struct, frozen=True):
    """Every followed market is in one of the three: stale if anything its feeds owe is older than it may be, live if all of
    them stream, polling if any of them is served by REST or on its way back to the stream.
    """

    live: int = 0
    polling: int = 0
    stale: int = 0


class OrderCounts(msgspec.Struct, frozen=True):
    """`open` and `unknown` are of now, the others of the whole store."""

    open: int
    unknown: int
    accepted: int
    filled: int
    rejected: int


class Status(msgspec.Struct, frozen=True):
    """`gate` is the most closed of all accounts'. `mode` is `live` where production venues are allowed, else `test`. `discrepancies`:
    differences with a venue that a person should look at.
    """

    node: str
    profile: str
    mode: str
    gate: GateState
    uptime_s: float
    actors: int
    restarts: int
    feeds: FeedCounts
    history: HistoryCounts
    orders: OrderCounts
    fills: int
    positions: int
    dead_letters: int
    discrepancies: int
    metrics: OrderMetrics


def status(parts: NodeParts) -> Status:
    """The status now. Raises StoreError if the store cannot be read."""
    now_s = parts.clock.monotonic_s()
    nodes = parts.system.tree().walk()
    counts = parts.store.counters()
    return Status(
        node=parts.name,
        profile=parts.profile,
        mode="live" if parts.live else "test",
        gate=gate(parts),
        uptime_s=round(now_s - parts.started_s, 3),
        actors=sum(running(node) for node in nodes),
        restarts=sum(node.restarts for node in nodes if node.kind == "actor"),
        feeds=feed_counts(
            [market for venue in parts.venues.values() for market in venue.state.markets.values()], now_s
        ),
        history=history_counts(venue.state for venue in parts.venues.values()),
        orders=OrderCounts(
            open=counts["open"],
            unknown=counts["unknown"],
            accepted=counts["accepted"],
            filled=counts["filled"],
            rejected=counts["rejected"],
        ),
        fills=counts["fills"],
        positions=sum(position.amount != 0 for _, position in parts.store.table("positions").iterate()),
        dead_letters=parts.system.dead_letters.count,
        discrepancies=parts.store.index("discrepancies_to_review").count(),
        metrics=metrics_of((account.figures for account in parts.accounts()), parts.store),
    )


def running(node: TreeNode) -> bool:
    return node.kind == "actor" and node.state is State.RUNNING


def gates(parts: NodeParts) -> dict[str, Gate]:
    """The stored gate of every account that ever had one set."""
    found = {account.name: parts.store.gate(account.name) for account in parts.accounts()}
    return {name: gate for name, gate in found.items() if gate is not None}


def gate(parts: NodeParts) -> GateState:
    """The most closed gate of all accounts; an account nobody ever paused is active."""
    states = [GateState.ACTIVE, *(gate.state for gate in gates(parts).values())]
    return max(states, key=_GATES.index)


def feed_counts(markets: list[MarketState], now_s: float) -> FeedCounts:
    live = polling = stale = 0
    for market in markets:
        if market.stale_classes(now_s):
            stale += 1
        elif market.mode == "streaming":
            live += 1
        else:
            polling += 1
    return FeedCounts(live, polling, stale)
