"""Orders that depend on each other: one cancels the other, one triggers the others.

Where the venue can keep these promises it does (`engine.model.orders.native`), and they hold while the node is away. Else the
node keeps them itself: each order carries all that is needed to keep them, so what is due can be told from the stored orders
alone, after any crash. The words are Deribit's: `first_hit`, `complete_fill` and `incremental` say how much of an order must
be filled before the others act.

What the node does not promise: between a fill at the venue and its news here the others are still live, so two rivals may both be
filled (people are told), and rivals cancelled at `complete_fill` do not shrink with what was filled of one of them –
which is why exits should be `reduce_only`. What closes for a failed exit does shrink, but only until it is sent. A person who
cancels one rival does not cancel the others. A person who cancels an entry keeps its exits until it is known how much of it was
filled; one who cancels everything cancels held exits at once, and hears of it when the entry was filled all the same.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from engine.model.conditions.terms import Trail
from engine.model.errors import ModelError
from engine.model.money import ZERO, plain, positive
from engine.model.orders.requests import OrderRequest
from engine.model.terms import OrderType, Side, TimeInForce, TriggerBy, TriggerFill

MAX_EXITS = 5


class LinkKind(StrEnum):
    """The usual kinds. A bracket is an OTOCO: an entry, and exits of which one cancels the other."""

    OCO = "one_cancels_other"
    OTO = "one_triggers_other"
    OTOCO = "one_triggers_one_cancels_other"


class ExitPolicy(StrEnum):
    """What happens when an exit cannot be placed. People are told in any case, at once."""

    RETRY = "retry"  # try some times more, as the account's error policy says, before it counts as failed
    ALERT = "alert"
    CLOSE = "close"  # close what it was to protect at the market


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one account keeps the promises between orders. `slice_s`: the exits of an entry that is being filled are released in
    slices, at most one in that time; `max_slices`: of each exit, before its entry is over.
    """

    exit_failed: ExitPolicy = ExitPolicy.ALERT
    slice_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.5
    max_slices: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """How one order depends on others.

    `after`: the order whose fills release this one, empty once it is released or if it depends on none. `entry`: the same,
    kept. `exits`: of an entry, what it releases. `rivals`: of these and this one, the first that is filled (as `cancels_at`
    says) ends the others.

    An exit was asked for as `share` for `per` of its entry, and `released` of it is free to leave, in `slices` orders of
    their own and, when the entry is over, itself. `closes`: the failed exit whose work this order does, of
    which it ends when nothing is left, and not before.

    `native`: the venue keeps what binds the set. All of it leaves in one request, when its first order may; until then an
    exit waits with `after`, as ever.
    """

    group: str
    kind: LinkKind
    after: str = ""
    entry: str = ""
    exits: tuple[str, ...] = ()
    releases_at: TriggerFill = TriggerFill.INCREMENTAL
    rivals: tuple[str, ...] = ()
    cancels_at: TriggerFill = TriggerFill.FIRST_HIT
    share: Decimal = ZERO
    per: Decimal = ZERO
    released: Decimal = ZERO
    slices: int = 0
    closes: str = ""
    native: bool = False


class LinkedRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set of orders as its caller describes it: accepted as a whole or not at all."""

    kind: LinkKind
    exits: tuple[OrderRequest, ...]
    entry: OrderRequest | None = None
    releases_at: TriggerFill = TriggerFill.INCREMENTAL
    cancels_at: TriggerFill = TriggerFill.FIRST_HIT
    native: bool = True  # the venue may keep what binds them

    @property
    def orders(self) -> tuple[OrderRequest, ...]:
        """The entry first where there is one, then the exits in their order."""
        return self.exits if self.entry is None else (self.entry, *self.exits)

    @property
    def request_key(self) -> str:
        """The whole set's: it is the first order's."""
        return self.orders[0].request_key if self.orders else ""

    def check(self) -> None:
        """Raise `ModelError` for the first rule of such sets that is broken; each order's own rules are its own to check.

        Instruments are compared as they are written: write all of them with their venue, or none.
        """
        self._check_members()
        if self.cancels_at is TriggerFill.INCREMENTAL:
            raise ModelError("cancels_at", "first_hit or complete_fill", self.cancels_at)
        for request in self.orders[1:]:
            if request.request_key:
                raise ModelError("request_key", "one for the whole set, with its first order", request.request_key)
            if request.account != self.orders[0].account:
                raise ModelError("account", f"the set's account {self.orders[0].account!r}", request.account)
        if self.entry is not None:
            for exit_ in self.exits:
                self._check_exit(self.entry, exit_)

    def _check_members(self) -> None:
        if (self.entry is None) is not (self.kind is LinkKind.OCO):
            wanted = "none for one_cancels_other" if self.kind is LinkKind.OCO else f"an order for {self.kind}"
            raise ModelError("entry", wanted, "none" if self.entry is None else "an order")
        least = 1 if self.kind is LinkKind.OTO else 2
        if not least <= len(self.exits) <= MAX_EXITS:
            raise ModelError("exits", f"{least} to {MAX_EXITS} orders for {self.kind}", str(len(self.exits)))

    def _check_exit(self, entry: OrderRequest, exit_: OrderRequest) -> None:
        same = exit_.instrument == entry.instrument
        if same and exit_.side is entry.side and (exit_.reduce_only or self.kind is LinkKind.OTOCO):
            raise ModelError("side", f"the opposite of the entry's {entry.side}", exit_.side)
        if self.kind is not LinkKind.OTOCO:
            return
        if not same:
            raise ModelError("instrument", f"the entry's {entry.instrument}", exit_.instrument)
        if exit_.amount != entry.amount:
            raise ModelError("amount", f"the entry's {plain(entry.amount)}", plain(exit_.amount))


def bracket(
    entry: OrderRequest, *, take_profit: Decimal, stop: Decimal | Trail, stop_by: TriggerBy = TriggerBy.MARK
) -> LinkedRequest:
    """`entry`, a limit order at `take_profit` and a stop at the market: whichever exit is filled wholly ends the other, and
    neither can do more than close the position. A `Trail` for `stop` follows the market.

    Raises `ModelError` when the prices are on the wrong sides of each other.
    """
    positive(take_profit, "take_profit")
    side = Side.SELL if entry.side is Side.BUY else Side.BUY
    common = OrderRequest(
        instrument=entry.instrument,
        side=side,
        amount=entry.amount,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.GTC,
        reduce_only=True,
        account=entry.account,
        strategy=entry.strategy,
        priority=entry.priority,
    )
    profit = msgspec.structs.replace(common, order_type=OrderType.LIMIT, price=take_profit)
    _in_order(entry.side, "take_profit", take_profit, "the entry's price", entry.price)
    if isinstance(stop, Trail):
        loss = msgspec.structs.replace(common, trail=stop)
    else:
        positive(stop, "stop")
        loss = msgspec.structs.replace(common, order_type=OrderType.STOP_MARKET, trigger_price=stop, trigger_by=stop_by)
        _in_order(entry.side, "take_profit", take_profit, "the stop", stop)
        if entry.price is not None and entry.side.sign * (entry.price - stop) <= 0:
            raise ModelError("stop", f"a price on the losing side of the entry's {plain(entry.price)}", plain(stop))
    return LinkedRequest(
        kind=LinkKind.OTOCO,
        entry=entry,
        exits=(profit, loss),
        releases_at=TriggerFill.INCREMENTAL,
        cancels_at=TriggerFill.COMPLETE_FILL,
    )


def _in_order(side: Side, field: str, price: Decimal, than: str, other: Decimal | None) -> None:
    if other is not None and side.sign * (price - other) <= 0:
        better = "above" if side is Side.BUY else "below"
        raise ModelError(field, f"a price {better} {than} {plain(other)}", plain(price))
