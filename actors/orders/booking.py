"""Position records: what every fill did to a position, on disk in the fill's own commit.

The rules are `engine.model.accounts.books`; this layer keeps the books of one account, opens one when it is first written in
(its stored half is the row, its other half the newest records), and gives each commit of a fill the rows that belong to it.
So there is no moment at which a fill is stored and its record is not, and nothing to repair after a crash.

Two cases are otherwise. A store of an older version, or one whose recording was off, has fills without records. And with batch
recording a fill's commit does not wait for its record. For both, the fills say what is missing: whoever starts and does not find
the mark that all is recorded goes through the stored fills, oldest first, and books those that have no record. A record's key is
made of its fill, so it cannot be booked twice. Fills that come meanwhile wait for that to be done.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec
import trio

from actors._discrepancies import discrepancy_id, put_of, settled
from actors.orders.desk import OrdersDesk
from actors.orders.differing import Differing, Found
from engine.kernel import Message, Overflow, on
from engine.model import (
    Discrepancy,
    DiscrepancyKind,
    Executed,
    Fill,
    OpenBook,
    PositionBook,
    PositionRecord,
    PositionSide,
    RecordType,
    Statement,
    plain,
    step_of,
)
from engine.store import Change, Delete, Put, expired_records

MAX_BATCH = 200  # fills recorded by one commit
PER_TURN = 64  # fills looked at before others get the loop
MAX_REBUILT = 200_000  # records read back for a fill that is older than what a book remembers
MS_PER_DAY = 86_400_000
RETAIN_EVERY_S = 3600.0


class RecordBatch(Message, frozen=True):
    """The interval of batch recording is over."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class ExpireRecords(Message, frozen=True):
    """See whether records are past their retention."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Booking(Differing):
    """See the module's page."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._recording = desk.settings.position_recording
        self._books: dict[str, OpenBook] = {}  # by position, those written in by this incarnation
        self._shelf: dict[str, PositionBook] = {}  # the others, as stored
        self._unsaved_books: Counter[str] = Counter()  # commits under way, by position
        self._unrecorded: list[Fill] = []  # stored, and to be recorded together
        self._short: set[str] = set()  # positions whose past is not all there any more
        self._behind = False  # stored fills may lack their records
        self._catching_up = False

    def _recover_books(self) -> None:
        """What is held by the books, and whether every stored fill is in them."""
        account, store = self._desk.account, self._desk.store
        self._recover_begin()
        self._shelf = dict(store.table("position_books").iterate(prefix=f"{account}|"))
        whole = store.meta(self._whole_key, bool) is True
        lasting = self._recording.enabled and not self._recording.batched
        if whole and not lasting:
            self._write("positions.recording", (Delete("meta", self._whole_key),))
        self._behind = self._recording.enabled and not whole
        if self._behind and not any(True for _ in store.table("fills").iterate(prefix=f"{account}|", limit=1)):
            self._all_recorded()
        if self._recording.enabled and self._recording.batched:
            self.every(self._recording.batch_interval_s, RecordBatch())
        self.every(RETAIN_EVERY_S, ExpireRecords())

    @property
    def _whole_key(self) -> str:
        return f"recorded:{self._desk.account}"

    def _all_recorded(self) -> None:
        self._behind = False
        if not self._recording.batched:
            self._write("positions.recorded", (Put("meta", self._whole_key, True),))

    def _write(self, kind: str, changes: tuple[Change, ...], note: str = "", books: Iterable[str] = ()) -> None:
        self._ledger.write(self._commit(kind, changes, note), partial(self._saved_books, tuple(books)))

    # ── one fill ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _book_fill(self, fill: Fill) -> "Booked":
        """What the commit of a fill has beside the fill. Call `_saved_books` with its positions when that is durable."""
        if not self._recording.enabled:
            return NOTHING
        if self._behind or self._recording.batched:
            self._unrecorded.append(fill)
            return NOTHING
        return NOTHING if self._is_recorded(fill) else self._booked((fill,))

    def _book_ahead(self, fills: Sequence[Fill]) -> None:
        """Of fills that are heard together, those that come late, in one commit before their own: to fold a long book again for each of
        them would hold up everybody else. A fill whose record is there is not booked twice, so a crash in between costs nothing.
        """
        if not self._recording.enabled or self._recording.batched or self._behind or len(fills) < 2:
            return
        late = [fill for fill in fills if self._book_of(fill.instrument, fill.position_side).comes_late(step_of(fill))]
        late = [fill for fill in late if self._reached(fill)]
        if len(late) > 1:
            booked = self._booked(late)
            self._write("positions.recorded", booked.changes, booked.note, booked.keys)

    def _reached(self, fill: Fill) -> bool:
        return self._book_reaching(fill).reaches(step_of(fill))

    def _booked(self, fills: Iterable[Fill]) -> "Booked":
        """Book fills; all rows that changed by it."""
        records: list[PositionRecord] = []
        changes: list[Change] = []
        together: dict[str, list[Fill]] = {}
        for fill in fills:
            together.setdefault(fill.position_key, []).append(fill)
        for of_one in together.values():
            book = self._book_reaching(min(of_one, key=lambda fill: step_of(fill).place))
            before = book.unexplained()
            records += book.take_fills(of_one, now_ms=self._now_ms())
            changes += self._explained(book, before)
        return self._rows(together, records, changes)

    def _rows(self, keys: Iterable[str], records: list[PositionRecord], changes: list[Change]) -> "Booked":
        changes += [Put("position_records", (row.position_key, row.at_ms, row.record_id), row) for row in records]
        for key in keys:
            self._unsaved_books[key] += 1
            changes.append(Put("position_books", key, self._books[key].book))
        note = "; ".join(map(in_words, records)) if self._recording.audit_trail else ""
        return Booked(tuple(changes), tuple(keys), note)

    def _book_statement(
        self, instrument: str, side: PositionSide, statement: Statement, reason: str, found: tuple[Discrepancy, ...]
    ) -> tuple[PositionRecord, ...]:
        """Book what is held, with the difference that is told of it, in one commit."""
        book = self._book_of(instrument, side)
        records = book.take_statement(statement, reason=reason, now_ms=self._now_ms())
        new = self._found_now(found)
        booked = self._rows((book.book.key,), list(records), list(new.changes))
        then = partial(self._saved_statement, booked.keys, new)
        self._ledger.write(self._commit(f"positions.{statement.record_type}", booked.changes, booked.note), then)
        return records

    def _saved_statement(self, keys: tuple[str, ...], found: Found, _seq: int) -> None:
        self._saved_books(keys)
        self._tell_found(found)

    def _saved_books(self, keys: tuple[str, ...], _seq: int = 0) -> None:
        """The commit that had these books, or a fill that waits for its record, is durable."""
        for key in keys:
            self._unsaved_books[key] -= 1
            if not self._unsaved_books[key]:
                del self._unsaved_books[key]
                self._books[key].trim()
        if len(self._unrecorded) >= MAX_BATCH and not self._behind:
            self._record_batch()

    # ── books ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _book_of(self, instrument: str, side: PositionSide) -> OpenBook:
        """The open book of a position."""
        row = PositionBook(account=self._desk.account, instrument=instrument, side=side, inverse=None)
        book = self._books.get(row.key)
        if book is None:
            row = self._shelf.pop(row.key, row)
            steps: list[Executed | Statement] = [*self._executed(row)]
            steps += [statement for statement in row.statements if _is_after(statement, row)]
            book = self._books[row.key] = OpenBook(row, steps)
            if not book.whole:
                self.log.warning("{}: older records are gone, its book begins with what is held", row.key)
        if book.book.inverse is None:
            self._understand(book)
        return book

    def _understand(self, book: OpenBook) -> None:
        """Only the venue says how an instrument makes profit. What was booked before it did is corrected."""
        listed = self._instrument(book.book.instrument)
        if listed is None:
            return
        if not book.held.steps:
            book.book = msgspec.structs.replace(book.book, inverse=listed.inverse, currency=listed.settlement)
            return
        records = book.understand(inverse=listed.inverse, currency=listed.settlement, now_ms=self._now_ms())
        booked = self._rows((book.book.key,), list(records), [])
        self._write("positions.understood", booked.changes, booked.note, booked.keys)

    def _book_reaching(self, fill: Fill) -> OpenBook:
        """The open book, with as much of its past as the fill needs."""
        book = self._book_of(fill.instrument, fill.position_side)
        if book.reaches(step_of(fill)) or book.book.key in self._short:
            return book
        whole = msgspec.structs.replace(book.book, base_place=None)
        rebuilt = OpenBook.rebuilt(book.book, [*self._executed(whole), *whole.statements, *book.steps])
        if rebuilt is None:
            self._short.add(book.book.key)  # reading it back again would take as long and come to the same
            self.log.warning("{}: fill {} is older than what is kept of its position", book.book.key, fill.trade_id)
            return book
        self._books[book.book.key] = rebuilt
        return rebuilt

    def _executed(self, row: PositionBook) -> Iterator[Executed]:
        """The fills a book has, from its records: those after its base."""
        start = (row.key, row.base_place[0] if row.base_place else 0, "")
        rows = self._desk.store.table("position_records").iterate(prefix=(row.key,), start=start, limit=MAX_REBUILT)
        for _, record in rows:
            if record.record_type is RecordType.EXECUTION and not record.inferred and record.change_price is not None:
                step = Executed(record.trade_id, record.change_amount, record.change_price, record.at_ms)
                if _is_after(step, row):
                    yield step

    def _explained(self, book: OpenBook, before: dict[str, Any]) -> list[Change]:
        """The real fills of an inferred one have come: nobody has to look at it any more."""
        changes: list[Change] = []
        for statement_id, change in book.unexplained().items():
            if before.get(statement_id) and not change:
                found = self._told_before(self._inferred_id(book.book, statement_id))
                if found is not None and found.settled_at_ms is None:
                    gone = settled(found, now_ms=self._now_ms(), note="its fills have come")
                    self._keep_in_mind(gone)
                    changes.append(put_of(gone))
        return changes

    def _inferred_id(self, book: PositionBook, statement_id: str) -> str:
        parts = (book.instrument, book.side, statement_id)
        return discrepancy_id(book.account, DiscrepancyKind.FILL_INFERRED, *parts)

    # ── several at once ───────────────────────────────────────────────────────────────────────────────────────────────

    @on(RecordBatch)
    def record_batch(self, _message: RecordBatch) -> None:
        if not self._behind:
            self._record_batch()

    def _record_batch(self) -> None:
        """Every fill that waits for its record gets it, as many in one commit as may be."""
        while self._unrecorded:
            fills, self._unrecorded = self._unrecorded[:MAX_BATCH], self._unrecorded[MAX_BATCH:]
            booked = self._booked(fills)
            self._write("positions.recorded", booked.changes, booked.note, booked.keys)

    def _begin_catching_up(self) -> None:
        """The venue has been asked, so it is known what its instruments are."""
        if self._behind and not self._catching_up:
            self._catching_up = True
            self.spawn(self._catch_up, name="position records")

    async def _catch_up(self) -> None:
        """Book the stored fills that have no record. Only those as young as records are kept: older ones had theirs."""
        self.log.info("looking for fills without a record")
        missing: list[Fill] = []
        for number, fill in enumerate(self._stored_fills(self._oldest_ms), start=1):
            full = len(missing) >= MAX_BATCH and fill.filled_at_ms > missing[-1].filled_at_ms
            if full:
                await self._record_missing(missing)
                missing = []
            if not self._is_recorded(fill):
                missing.append(fill)
            if number % PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        await self._record_missing(missing)
        waiting = [fill for fill in self._unrecorded if not self._is_recorded(fill)]
        self._unrecorded = waiting
        self._record_batch()
        self._all_recorded()

    async def _record_missing(self, fills: list[Fill]) -> None:
        if not fills:
            return
        booked = self._booked(sorted(fills, key=lambda fill: step_of(fill).place))
        self._write("positions.recorded", booked.changes, booked.note, booked.keys)
        durable = trio.Event()
        self._ledger.after(durable.set)
        await durable.wait()

    def _stored_fills(self, since_ms: int) -> Iterator[Fill]:
        """Of this account, oldest first."""
        store, mine = self._desk.store, f"{self._desk.account}|"
        table = store.table("fills")
        for _, key in store.index("fills_by_time").iterate(start=(since_ms,)):
            fill = table.get(key) if key.startswith(mine) else None
            if fill is not None:
                yield fill

    def _is_recorded(self, fill: Fill) -> bool:
        key = (fill.position_key, fill.filled_at_ms, f"fill.{fill.trade_id}")
        return self._desk.store.table("position_records").get(key) is not None

    # ── retention ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _oldest_ms(self) -> int:
        """Records of before are past retention."""
        return max(0, self._now_ms() - int(self._recording.retention_period * MS_PER_DAY))

    @on(ExpireRecords)
    def expire_records(self, _message: ExpireRecords) -> None:
        """A commit's worth of records that are past retention, and the next when that is done."""
        commit = expired_records(self._desk.store, [*self._books, *self._shelf], self._oldest_ms)
        if commit is not None:
            self._write(commit.kind, commit.changes)
            self._ledger.after(partial(self.ctx.self_ref.tell, ExpireRecords()))


class Booked(msgspec.Struct, frozen=True):
    """The rows that belong into a commit, the positions whose books are among them, and all of it in words."""

    changes: tuple[Change, ...]
    keys: tuple[str, ...]
    note: str


NOTHING = Booked((), (), "")


def _is_after(step: Executed | Statement, row: PositionBook) -> bool:
    return row.base_place is None or step.place > row.base_place


def in_words(record: PositionRecord) -> str:
    """For people who read the journal."""
    price = "" if record.change_price is None else f" at {plain(record.change_price)}"
    before, after = plain(record.before_amount), plain(record.after_amount)
    change = f"{'+' if record.change_amount > 0 else ''}{plain(record.change_amount)}"
    return f"{record.instrument} {record.record_type}{' (inferred)' if record.inferred else ''}: {change}{price}, {before} to {after}"
