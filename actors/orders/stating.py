"""What people state of positions, and what they have to look at."""

from functools import partial

from actors._discrepancies import discrepancy_id
from actors.messages import DoubtPosition, StatePosition
from actors.orders.squaring import Squaring
from engine.kernel import on
from engine.model import Denial, Discrepancy, DiscrepancyKind, PositionRecord, Statement, denied

BY_HAND = "person."  # statement ids of what people stated


class Stating(Squaring):
    """A statement of a person is a step of the book like any other: it is folded again with what comes late."""

    @on(StatePosition)
    def state_position(self, message: StatePosition) -> tuple[PositionRecord, ...] | Denial | None:
        if not self._recording.enabled:
            return denied("DISABLED", "position_recording.enabled", "position recording that is turned on", "off")
        if self._behind:
            return denied("NOT_READY", "account", "an account whose stored fills are all recorded", "not yet")
        book = self._book_of(message.instrument, message.side)
        done = [one for one in book.book.statements if one.statement_id == BY_HAND + message.key]
        if done:
            return self._records_of(book.book.key, done[0])
        held = book.held
        amount = held.amount + message.change if message.change is not None else message.amount
        if amount is None:
            return denied("BAD_REQUEST", "amount", "an amount, or a change of it", "neither")
        price = message.price or held.price or self._mark(message.instrument)
        if amount and price is None:
            return denied("BAD_REQUEST", "price", "the average price of what is held", "none, and none is known")
        venue_ms = self._desk.venue.now_ms(
            self.ctx.clock.monotonic_s()
        )  # by its clock its fills are told apart from this
        statement = Statement(
            statement_id=BY_HAND + message.key,
            record_type=message.record_type,
            amount=amount,
            price=price if amount else None,
            mark=price,
            at_ms=max(venue_ms or self._now_ms(), book.book.newest_ms),
        )
        records = self._book_statement(message.instrument, message.side, statement, message.note, ())
        self._ledger.after(partial(self.defer_reply().send, records))
        return None

    def _records_of(self, position_key: str, statement: Statement) -> tuple[PositionRecord, ...]:
        """What was booked for a statement, as it is stored."""
        key = (position_key, statement.at_ms, f"stated.{statement.statement_id}")
        record = self._desk.store.table("position_records").get(key)
        return () if record is None else (record,)

    @on(DoubtPosition)
    def doubt_position(self, message: DoubtPosition) -> None:
        account = self._desk.account
        doubt = Discrepancy(
            discrepancy_id=discrepancy_id(
                account, DiscrepancyKind.POSITION, message.instrument, message.subject, message.got
            ),
            account=account,
            kind=DiscrepancyKind.POSITION,
            subject=message.subject,
            expected=message.expected,
            got=message.got,
            action="nothing is booked: a person has to look",
            review=True,
            found_at_ms=self._now_ms(),
        )
        found = self._found_now((doubt,))
        if found.changes:
            self._ledger.write(
                self._commit("positions.doubt", found.changes), partial(self._saved_statement, (), found)
            )
        self._ledger.after(partial(self.defer_reply().send, doubt.discrepancy_id))
