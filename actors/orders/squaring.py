"""Squaring the books with the positions the venue states.

Two stories are told of a position: what the venue says is held, and what our fills make of it. They are compared at every
pass, after the pass's fills are booked, and only where they can be: nothing newer was heard than the venue was asked about, and
no order of that instrument still misses fills; those of one that is over are waited for a while. A difference is acted on when it
was the same at several passes in a row: the answers of a venue are not of one moment, and the second look costs a second.

What was held when an account is looked at for the first time is simply taken over. Later a difference means that the venue did
something it cannot tell: one inferred trade is booked, people hear of it, and the real one takes its place if it ever comes.
"""

from decimal import Decimal
from typing import ClassVar

import msgspec

from actors._discrepancies import discrepancy_id
from actors.messages import Reconcile, SyncSoon
from actors.orders.booking import Booking
from actors.orders.desk import OrdersDesk
from engine.kernel import Message, Overflow, on
from engine.model import (
    ZERO,
    Discrepancy,
    DiscrepancyKind,
    InstrumentKind,
    Order,
    Position,
    PositionSide,
    RecordType,
    Statement,
    plain,
)
from engine.store import Put

MIN_PAUSE_S = 0.001
MAX_PAUSE_S = 60.0
LACKS_S = 60.0  # what a venue has not told of an order so long after its end, it cannot tell
MAX_LACKING = 4096


class LookTwice(Message, frozen=True):
    """A position differed: time for the next look at it."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Differs(msgspec.Struct, frozen=True):
    """By how much the venue's amount is above the book's; at how many passes in a row, since when on our monotonic clock."""

    amount: Decimal
    since_s: float
    passes: int = 1


class Squaring(Booking):
    """See the module's page."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._differs: dict[str, Differs] = {}  # by position
        self._lacking: dict[str, tuple[str, float]] = {}  # by ended order: its instrument, until when fills may come
        self._looks = 0  # in a row that left something to confirm
        self._opened = False  # what was held before the records begin is in the books

    def _recover_books(self) -> None:
        super()._recover_books()
        self._opened = self._desk.store.meta(self._opened_key, bool) is True

    @property
    def _opened_key(self) -> str:
        return f"opened:{self._desk.account}"

    def _square(self, message: Reconcile) -> None:
        """Compare every position with its book, and act on what was confirmed."""
        self._begin_catching_up()
        if self._behind or not message.positions_known or not self._recording.enabled:
            return
        self._record_batch()
        stated = {position.key: position for position in message.positions}
        keys = self._held_keys() | stated.keys() | self._differs.keys()
        lacking = self._lacking_now()
        told = [
            key.split("|")[1] not in lacking and self._compare_one(key, stated.get(key), message.venue_ms)
            for key in sorted(keys)
        ]
        if self._differs:
            self.after(self._pause_s(), LookTwice())
            self._looks += 1
            return
        self._looks = 0
        if all(told) and not self._opened:
            self._opened = True
            self._write("positions.opened", (Put("meta", self._opened_key, True),))

    def _forget(self, order: Order) -> None:
        """It is over; its fills may still be on their way."""
        super()._forget(order)
        self._lacking.pop(order.order_id, None)
        if order.executed_amount < order.filled_amount:
            self._lacking[order.order_id] = (order.instrument, self.ctx.clock.monotonic_s() + LACKS_S)
            if len(self._lacking) > MAX_LACKING:
                del self._lacking[next(iter(self._lacking))]

    def _lacking_now(self) -> set[str]:
        """Instruments of which fills are known to be coming."""
        now_s = self.ctx.clock.monotonic_s()
        self._lacking = {key: lacks for key, lacks in self._lacking.items() if now_s < lacks[1]}
        live = {order.instrument for order in self._orders.values() if order.executed_amount < order.filled_amount}
        return live | {instrument for instrument, _ in self._lacking.values()}

    def _pause_s(self) -> float:
        """Until the next look: longer each time, for a pass costs requests and a position may go on moving."""
        pause_s: float = max(self._recording.confirm_s, MIN_PAUSE_S) * 2 ** min(self._looks, 16)
        return min(pause_s, MAX_PAUSE_S)

    @on(LookTwice)
    def look_twice(self, _message: LookTwice) -> None:
        if self._differs:
            self._desk.account_sync.tell(SyncSoon(f"a second look at {', '.join(sorted(self._differs))}"))

    def _held_keys(self) -> set[str]:
        rows = [*self._shelf.values(), *(book.book for book in self._books.values())]
        return {row.key for row in rows if row.held.amount}

    def _compare_one(self, key: str, position: Position | None, venue_ms: int) -> bool:
        """Whether book and venue could be compared."""
        _, instrument, side = key.split("|")
        listed = self._instrument(instrument)
        if listed is not None and listed.kind is InstrumentKind.SPOT:
            return True  # what was bought there is a balance
        book = self._books[key].book if key in self._books else self._shelf.get(key)
        newest_ms, held = (book.newest_ms, book.held.amount) if book else (0, ZERO)
        asked_ms = max(venue_ms, position.updated_at_ms if position else 0)
        if asked_ms < newest_ms:
            return False
        difference = (position.amount if position else ZERO) - held
        if not difference:
            self._differs.pop(key, None)
        elif self._is_confirmed(key, difference):
            del self._differs[key]
            at_ms = max(venue_ms, newest_ms)
            self._take_over(instrument, PositionSide(side), position, at_ms)
        return True

    def _is_confirmed(self, key: str, difference: Decimal) -> bool:
        now_s = self.ctx.clock.monotonic_s()
        before = self._differs.get(key)
        if before is None or before.amount != difference:
            seen = Differs(difference, now_s)
        else:
            seen = Differs(difference, before.since_s, before.passes + 1)
        self._differs[key] = seen
        rested = seen.passes == 1 or now_s - seen.since_s >= self._recording.confirm_s
        return seen.passes >= self._recording.confirm_passes and rested

    def _take_over(self, instrument: str, side: PositionSide, position: Position | None, at_ms: int) -> None:
        """Book what the venue holds."""
        kind = RecordType.EXECUTION if self._opened else RecordType.ADJUSTMENT
        mark = position.mark_price if position else None
        statement = Statement(
            statement_id=f"venue{at_ms}",
            record_type=kind,
            amount=position.amount if position else ZERO,
            price=_sane(position.average_price) if position else None,
            mark=_sane(mark) or self._mark(instrument),
            at_ms=at_ms,
        )
        before = self._book_of(instrument, side).held.amount
        if not self._opened:
            reason = "held before the records begin"
            self._book_statement(instrument, side, statement, reason, ())
            return
        reason = "the venue holds it and cannot tell the trade"
        self._book_statement(
            instrument, side, statement, reason, (self._inferred(statement, instrument, side, before),)
        )

    def _inferred(self, statement: Statement, instrument: str, side: PositionSide, before: Decimal) -> Discrepancy:
        account = self._desk.account
        return Discrepancy(
            discrepancy_id=discrepancy_id(
                account, DiscrepancyKind.FILL_INFERRED, instrument, side, statement.statement_id
            ),
            account=account,
            kind=DiscrepancyKind.FILL_INFERRED,
            subject=instrument,
            expected=f"{plain(before)} by all trades known",
            got=f"{plain(statement.amount)} at the venue",
            action=f"a trade of {plain(statement.amount - before)} is inferred until the venue tells it",
            review=True,
            found_at_ms=self._now_ms(),
        )


def _sane(price: Decimal | None) -> Decimal | None:
    return price if price is not None and price > ZERO else None
