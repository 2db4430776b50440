"""The orders of the store, newest first, a page at a time.

Found through the index by state and time of acceptance, so that a page costs what it looks at and not what there ever was. What no
index knows (an instrument, a strategy) is looked for among at most `MAX_LOOKED_AT` orders a page; where that was not enough `next` says
where to go on. Each turn reads one consistent state of the store; a page's order is by acceptance, which never changes, so an order
that moves between two pages is neither missed nor shown twice.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.trading.errors import bad_field
from actors.trading.records import STATES_OF, executed_at_ms, order_record, status_of
from engine.model import ZERO, Order, OrderState, Side, instrument_id, is_account, split_instrument
from engine.store import Reader, Store

MAX_PAGE = 1000
MAX_LOOKED_AT = 50_000
PER_TURN = 128  # orders looked at before others get the loop

Moment = datetime | int
Place = tuple[int, int, str]  # when it was accepted, its number, its id
_KNOWN = tuple(OrderState)


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which orders; what is left out is not asked about. `account_id` in full or without its venue.

    `status`: one or several of the public names. `start_time` (inclusive) and `end_time` (exclusive) are of the acceptance: ISO 8601 with
    a zone, or Unix milliseconds. `cursor`: the `next` of the page before.
    """

    account_id: str = ""
    instrument_name: str = ""
    status: str | tuple[str, ...] = ()
    direction: Side | None = None
    strategy: str = ""
    start_time: Moment | None = None
    end_time: Moment | None = None
    plan: str = ""
    group: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100
    cursor: str = ""


class Page(msgspec.Struct, frozen=True):
    """`next` is where the following page begins (it may turn out empty), empty when all was looked at."""

    orders: list[Order]
    next: str


def filters_of(given: Mapping[str, Any] | Filters | None, default_venue: str) -> Filters:
    """Checked, with the instrument's full name. Raises AdvancedOrderError naming the field."""
    found = given if isinstance(given, Filters) else _converted(dict(given or {}))
    for status in _statuses(found):
        if status not in STATES_OF:
            raise bad_field("status", f"some of {', '.join(STATES_OF)}", status)
    for field in ("start_time", "end_time"):
        moment_ms(getattr(found, field), field)
    _place(found.cursor)
    if not found.instrument_name:
        return found
    full = instrument_id(*split_instrument(found.instrument_name, default_venue))
    return msgspec.structs.replace(found, instrument_name=full)


def _converted(given: dict[str, Any]) -> Filters:
    try:
        return msgspec.convert({name: value for name, value in given.items() if value is not None}, Filters)
    except msgspec.ValidationError as error:
        data = rpc.explain(error, Filters)
        raise bad_field(data.field, data.expected, given.get(data.field, data.got)) from error


async def page_of(store: Store, filters: Filters) -> Page:
    """The newest orders that pass the filters, from the cursor on."""
    keep, walk = keeper(filters), Walk(filters)
    found: list[Order] = []
    while walk.left > 0:
        with store.snapshot() as view:
            for order in walk.turn(view):
                if keep(order):
                    found.append(order)
                    if len(found) == filters.limit:
                        return Page(found, walk.cursor)
        if walk.ended:
            return Page(found, "")
        await trio.lowlevel.checkpoint()
    return Page(found, walk.cursor)


async def records_of(store: Store, orders: Iterable[Order]) -> list[dict[str, Any]]:
    """Their public records, letting others run meanwhile."""
    records = []
    for number, order in enumerate(orders, start=1):
        records.append(record_in(store, order))
        if number % PER_TURN == 0:
            await trio.lowlevel.checkpoint()
    return records


def record_in(store: Store, order: Order) -> dict[str, Any]:
    """The public record of an order, with the time of its newest fill."""
    fills = store.fills_of(order.order_id) if order.filled_amount > ZERO else ()
    return order_record(order, executed_at_ms=executed_at_ms(fills))


class Walk:
    """A walk over the index by state, all wanted states merged by age, newest first, that can be left and taken up again."""

    def __init__(self, filters: Filters) -> None:
        statuses = _statuses(filters)
        self._states = tuple(dict.fromkeys(s for status in statuses for s in STATES_OF[status])) or _KNOWN
        self._since_ms = moment_ms(filters.start_time, "start_time") or 0
        self._at = _place(filters.cursor)
        self._before_ms = moment_ms(filters.end_time, "end_time")
        self.left = MAX_LOOKED_AT
        self.ended = False

    @property
    def cursor(self) -> str:
        return f"{self._at[0]}.{self._at[1]}.{self._at[2]}" if self._at else ""

    def turn(self, view: Reader) -> Iterator[Order]:
        """The next orders, at most PER_TURN of them."""
        index, orders = view.index("orders_by_state"), view.table("orders")
        size = min(PER_TURN, self.left)
        runs = [self._run(index.iterate((str(s),), self._start(s), reverse=True, limit=size + 1)) for s in self._states]
        seen = 0
        for place in heapq.merge(*runs, reverse=True):
            self._at, seen = place, seen + 1
            self.left -= 1
            order = orders.get(place[2])
            if order is not None:
                yield order
            if seen == size:
                return
        self.ended = True

    def _start(self, state: OrderState) -> tuple[Any, ...] | None:
        if self._at is not None:
            return (str(state), *self._at)
        return None if self._before_ms is None else (str(state), self._before_ms - 1)

    def _run(self, keys: Iterator[tuple[Any, ...]]) -> Iterator[Place]:
        """Places of one state, newest first, without the one the walk stands at, until the period begins."""
        for _, at_ms, number, order_id in keys:
            if at_ms < self._since_ms:
                return
            place = (at_ms, number, order_id)
            if self._at is None or place < self._at:
                yield place


def keeper(filters: Filters) -> Callable[[Order], bool]:
    """Whether an order is wanted, as far as the index does not say."""
    statuses = frozenset(_statuses(filters))

    def keep(order: Order) -> bool:
        return (
            (not filters.instrument_name or order.instrument == filters.instrument_name)
            and is_account(filters.account_id, order.account)
            and filters.direction in (None, order.side)
            and (not filters.strategy or order.strategy == filters.strategy)
            and (not filters.plan or order.plan == filters.plan)
            and (not filters.group or (order.link is not None and order.link.group == filters.group))
            and (not statuses or status_of(order) in statuses)
        )

    return keep


def _statuses(filters: Filters) -> tuple[str, ...]:
    return (filters.status,) if isinstance(filters.status, str) and filters.status else tuple(filters.status)


def moment_ms(moment: Moment | None, field: str) -> int | None:
    """Unix milliseconds of a moment with a zone, or in milliseconds already. Raises AdvancedOrderError."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise bad_field(field, "a time with a zone, such as 2026-01-31T12:00:00Z", moment.isoformat())
        return int(moment.astimezone(UTC).timestamp() * 1000)
    if moment is not None and not 0 < moment < 1 << 53:
        raise bad_field(field, "Unix milliseconds above 0", moment)
    return moment


def _place(cursor: str) -> Place | None:
    if not cursor:
        return None
    at_ms, _, rest = cursor.partition(".")
    number, _, order_id = rest.partition(".")
    if not (at_ms.isdecimal() and number.isdecimal() and order_id and len(cursor) <= 100):
        raise bad_field("cursor", "the `next` of a page before", cursor)
    return int(at_ms), int(number), order_id
