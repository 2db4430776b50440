"""Designs that must fail in the accounts drill, each with the bursts that it cannot stand.

Each is a change to the node's own process, made before it starts. What is changed is a part that reconciliation cannot do
without, so that a judge who finds nothing wrong with it is no judge.
"""

from collections.abc import Mapping

import msgspec

from actors.account import keeper
from actors.account.strangers import Watcher
from actors.orders.squaring import Squaring
from engine.venues.answers import FillPage, FlowPage
from engine.venues.binance_usdm.private import BinanceUsdmTrader
from engine.venues.deribit.private import DeribitRest
from scripts.drills._accounts_node import Sabotage
from scripts.drills._accounts_plan import Act, Burst, Cover

__all__ = ["CONTROLS", "Control"]

RESTS = (DeribitRest, BinanceUsdmTrader)


class Control(msgspec.Struct, frozen=True):
    """`finds`: one of the kinds of findings it must come to."""

    sabotage: Sabotage
    bursts: tuple[Burst, ...]
    finds: str


def _put(place: object, name: str, value: object) -> None:
    assert hasattr(place, name), f"{place} has no {name} to be changed"
    setattr(place, name, value)


def deaf() -> None:
    """Its passes find no fills: what the private stream has not told stays unknown."""

    async def fills_since(_self: object, _since_ms: int) -> FillPage:
        return FillPage((), complete=True)

    for rest in RESTS:
        _put(rest, "fills_since", fills_since)


def penniless() -> None:
    """It is given an empty statement."""

    async def cash_flows(_self: object, _since_ms: int, _until_ms: int | None = None) -> FlowPage:
        return FlowPage((), complete=True)

    for rest in RESTS:
        _put(rest, "cash_flows", cash_flows)


def trusting() -> None:
    """It never holds its books to the venue's positions."""
    _put(Squaring, "_square", lambda _self, _message: None)


def forgetful() -> None:
    """A new life does not know what an earlier one has told."""
    _put(Watcher, "_recall_strangers", lambda _self: None)
    _put(keeper, "found", lambda _store, discrepancy: discrepancy)


CONTROLS: Mapping[str, Control] = {
    "deaf": Control(deaf, (Burst(Cover.LOST, (Act.PART_FILL,)),), "lost"),
    "penniless": Control(penniless, (Burst(Cover.NONE, (Act.DEPOSIT,)),), "unbalanced"),
    "trusting": Control(trusting, (Burst(Cover.HIDDEN, (Act.HAND_TRADE,)),), "unreported"),
    "forgetful": Control(
        forgetful, (Burst(Cover.NONE, (Act.HAND_REST,)), Burst(Cover.KILL, (Act.DEPOSIT,))), "reported_twice"
    ),
}
