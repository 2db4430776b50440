"""The books: what our own fills make of each position.

A position is what its fills make of it, taken in the order the venue executed them; so a book is a fold over *steps* in that
order (time, then trade id), by the method of average cost, and it gives the same whatever order the steps are heard in. Most
come in order: one `PositionRecord` each. One that comes late is put where it belongs and what follows is folded again: its own
record says what it did there, and one correction says what that did to what was booked after it.

Some changes have no fill: what was held before the records begin, what a person states, what the venue shows and cannot
explain. Such a step is a *statement*: "at this time so much is held", and never "so much was bought", because only the first
is known. Its change is what is left unexplained by the fills before it. So a real fill that comes later and belongs before the
statement takes its place without any bookkeeping: less is left unexplained, and the position after it stays what the venue
said. An inferred trade that is explained by half keeps the other half; one that is explained wholly is gone.

Bounded: a book remembers its newest steps (`WINDOW` to twice as many) and the state before them. An older fill needs the older
steps read back (`rebuilt`); where those are past retention it is folded in before the oldest step that is remembered, which
keeps every amount exact and leaves the profit of what is forgotten as it is.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from engine.model.accounts.fills import Fill, PositionSide
from engine.model.accounts.profit import WORK, averaged, explaining, profit
from engine.model.accounts.records import PositionRecord, RecordType
from engine.model.money import ZERO
from engine.model.terms import Side

WINDOW = 256  # steps a book remembers at least
MAX_STATEMENTS = 64  # the newest; older ones are in the state before the window

Place = tuple[int, int, int, str]  # the order of steps: when, statements last, and by id as the venues count them


class Held(msgspec.Struct, frozen=True, array_like=True):
    """What is held after some steps: amount, signed; average price, None when flat; realised profit so far; number of steps."""

    amount: Decimal = ZERO
    price: Decimal | None = None
    realised: Decimal = ZERO
    steps: int = 0


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """At `at_ms` `amount` was held, at the average `price` where that is known. `mark`: what it was worth then.

    Of type adjustment it sets both and realises nothing; of type execution it stands for trades nobody could tell (`inferred`), at
    the price that explains the average, else at the mark.
    """

    statement_id: str
    record_type: RecordType
    amount: Decimal
    price: Decimal | None = None
    mark: Decimal | None = None
    at_ms: int

    @property
    def place(self) -> Place:
        return (self.at_ms, 1, len(self.statement_id), self.statement_id)


class Executed(msgspec.Struct, frozen=True):
    """The part of a fill that moves a position; `amount` is signed."""

    trade_id: str
    amount: Decimal
    price: Decimal
    at_ms: int

    @property
    def place(self) -> Place:
        return (self.at_ms, 0, len(self.trade_id), self.trade_id)


Step = Executed | Statement


class PositionBook(msgspec.Struct, frozen=True, kw_only=True):
    """One position as the fills make it; the stored half of an `OpenBook`, whose other half are the newest records.

    `base` is the state before the remembered steps, the last of which before them was at `base_place`. `inverse` None: the venue does not list
    the instrument, so amounts are exact and no profit is computed. `fees` by currency.
    """

    account: str
    instrument: str
    side: PositionSide = PositionSide.NET
    inverse: bool | None
    currency: str = ""
    held: Held = Held()
    base: Held = Held()
    base_place: Place | None = None
    fees: dict[str, Decimal] = {}
    statements: tuple[Statement, ...] = ()
    newest_ms: int = 0  # the venue's time of the newest step
    updated_at_ms: int = 0

    @property
    def key(self) -> str:
        """As `Position.key`: account, instrument, side."""
        return f"{self.account}|{self.instrument}|{self.side}"


def signed(fill: Fill) -> Decimal:
    return fill.amount if fill.side is Side.BUY else -fill.amount


def step_of(fill: Fill) -> Executed:
    return Executed(fill.trade_id, signed(fill), fill.price, fill.filled_at_ms)


def traded(held: Held, amount: Decimal, price: Decimal, *, inverse: bool | None) -> Held:
    """After `amount`, signed, was traded at `price`. What closes realises; what goes through zero closes all and opens the rest."""
    before, after = held.amount, WORK.add(held.amount, amount)
    steps = held.steps + 1
    if held.price is None or not before:
        return Held(after, price if after else None, held.realised, steps)
    if before * amount > ZERO:
        average = averaged(before, held.price, amount, price, inverse=bool(inverse))
        return Held(after, average, held.realised, steps)
    closed = -amount if abs(amount) <= abs(before) else before
    made = ZERO if inverse is None else profit(closed, held.price, price, inverse=inverse)
    left = None if not after else held.price if before * after > ZERO else price
    return Held(after, left, WORK.add(held.realised, made), steps)


def stated(held: Held, statement: Statement, *, inverse: bool | None) -> tuple[Held, Decimal | None]:
    """After `statement`, and the price its change is booked at; nothing changes when the fills before it explain it all."""
    change = WORK.subtract(statement.amount, held.amount)
    if not change:
        return msgspec.structs.replace(held, steps=held.steps + 1), None
    if statement.record_type is not RecordType.EXECUTION:
        price = statement.price or held.price or statement.mark
        after = Held(statement.amount, price if statement.amount else None, held.realised, held.steps + 1)
        return after, price
    price = statement.price and explaining(
        held.amount, held.price, statement.amount, statement.price, inverse=bool(inverse)
    )
    price = price or statement.mark or statement.price or held.price
    if price is None:  # flat before and no price known: what is held is all that can be said
        return Held(statement.amount, None, held.realised, held.steps + 1), None
    return traded(held, change, price, inverse=inverse), price


def after_step(held: Held, step: Step, *, inverse: bool | None) -> Held:
    if isinstance(step, Statement):
        return stated(held, step, inverse=inverse)[0]
    return traded(held, step.amount, step.price, inverse=inverse)


def folded(steps: Iterable[Step], *, inverse: bool | None) -> Held:
    """The ledger computed in one pass: all steps in the order of their places, each once."""
    held = Held()
    for _, step in sorted({step.place: step for step in steps}.items()):
        held = after_step(held, step, inverse=inverse)
    return held


class OpenBook:
    """A book that can be written in: the stored state and the newest steps, each with the state after it."""

    def __init__(self, book: PositionBook, steps: Iterable[Step] = ()) -> None:
        """`steps`: those after `book.base_place`, in any order. `whole` is False where they do not lead from the base to what is held:
        some are past retention, and the book begins anew with what is held.
        """
        self.book = book
        ordered = sorted({step.place: step for step in steps}.items())
        self._places = [place for place, _ in ordered]
        self._steps = [step for _, step in ordered]
        self._states: list[Held] = []
        self._fold_from(0)
        self.whole = self._newest == book.held
        if not self.whole:
            self._places, self._steps, self._states = [], [], []
            self.book = msgspec.structs.replace(
                book, base=book.held, base_place=(book.newest_ms, 2, 0, "") if book.held.steps else None
            )

    @classmethod
    def rebuilt(cls, book: PositionBook, steps: Sequence[Step]) -> "OpenBook | None":
        """The book with all its steps, however old; None when these are not all."""
        base = msgspec.structs.replace(book, base=Held(), base_place=None)
        opened = cls(base, steps)
        return opened if opened.whole else None

    @property
    def held(self) -> Held:
        return self.book.held

    @property
    def steps(self) -> tuple[Step, ...]:
        """All that are remembered, in order."""
        return tuple(self._steps)

    def comes_late(self, step: Step) -> bool:
        """Whether something is booked that was executed after it."""
        newest = self._places[-1] if self._places else self.book.base_place
        return newest is not None and step.place < newest

    def reaches(self, step: Step) -> bool:
        """Whether a step belongs into what is remembered."""
        return self.book.base_place is None or step.place > self.book.base_place

    def unexplained(self) -> dict[str, Decimal]:
        """What each remembered statement changes: nothing where fills explain it all."""
        changes: dict[str, Decimal] = {}
        if not self.book.statements:
            return changes
        for number, step in enumerate(self._steps):
            if isinstance(step, Statement):
                changes[step.statement_id] = WORK.subtract(self._states[number].amount, self._before(number).amount)
        return changes

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def take_fill(self, fill: Fill, *, now_ms: int) -> tuple[PositionRecord, ...]:
        """Book a fill: its record, and when it came late a correction. Nothing for one that is in already."""
        return self.take_fills((fill,), now_ms=now_ms)

    def take_fills(self, fills: Iterable[Fill], *, now_ms: int) -> tuple[PositionRecord, ...]:
        """Book fills: their records in the order of execution, and when any came late one correction for all of them. What follows
        the oldest is folded once.
        """
        was, end, first, fees = self.held, len(self._steps), len(self._steps), self.book.fees
        taken: dict[int, Fill] = {}  # by identity of the step: places move while more is put in
        for fill in fills:
            step = step_of(fill)
            number = self._put(step)
            if number is not None:
                taken[id(step)], first, fees = fill, min(first, number), _with_fee(fees, fill)
        if not taken:
            return ()
        self._fold_from(first)
        self._settle(max(fill.filled_at_ms for fill in taken.values()), now_ms, fees=fees)
        made = [
            self._made_of(taken[id(step)], number, now_ms)
            for number, step in enumerate(self._steps[first:], first)
            if id(step) in taken
        ]
        return tuple(made) if first == end else (*made, self._late(was, made, now_ms))

    def _made_of(self, fill: Fill, number: int, now_ms: int) -> PositionRecord:
        """The record of a fill that is booked."""
        name, change, price, at_ms = f"fill.{fill.trade_id}", signed(fill), fill.price, fill.filled_at_ms
        before, after = self._before(number), self._states[number]
        record = self._record(name, RecordType.EXECUTION, change, price, before, after, at_ms, now_ms)
        return msgspec.structs.replace(
            record, fee=fill.fee, fee_currency=fill.fee_currency, order_id=fill.order_id, trade_id=fill.trade_id
        )

    def _late(self, was: Held, made: Sequence[PositionRecord], now_ms: int) -> PositionRecord:
        """What these fills did to what had been booked after them."""
        first, change, realised = made[0], ZERO, ZERO
        for record in made:
            change, realised = WORK.add(change, record.change_amount), WORK.add(realised, record.realised_pnl)
        one = len(made) == 1
        reason = f"trade {first.trade_id} came late" if one else f"{len(made)} trades came late"
        all_of_them = msgspec.structs.replace(
            first, change_amount=change, realised_pnl=realised, order_id=first.order_id if one else ""
        )
        return self._correction(f"late.{first.trade_id}", was, all_of_them, reason, now_ms)

    def take_statement(self, statement: Statement, *, reason: str, now_ms: int) -> tuple[PositionRecord, ...]:
        """Book what is held: the change that is unexplained, and a correction where steps after it were booked."""
        was = self.held
        number = self._insert(statement)
        if number is None:
            return ()
        kept = (*self.book.statements, statement)[-MAX_STATEMENTS:]
        self._settle(statement.at_ms, now_ms, statements=kept)
        before, after = self._before(number), self._states[number]
        _, price = stated(before, statement, inverse=self.book.inverse)
        change = WORK.subtract(after.amount, before.amount)
        name = f"stated.{statement.statement_id}"
        record = self._record(name, statement.record_type, change, price, before, after, statement.at_ms, now_ms)
        inferred = statement.record_type is RecordType.EXECUTION
        record = msgspec.structs.replace(record, inferred=inferred, reason=reason)
        if number == len(self._steps) - 1:
            return (record,)
        return record, self._correction(f"late.{statement.statement_id}", was, record, reason, now_ms)

    def understand(self, *, inverse: bool, currency: str, now_ms: int) -> tuple[PositionRecord, ...]:
        """The venue lists the instrument now: fold again what is remembered, with profit this time."""
        was = self.held
        self.book = msgspec.structs.replace(self.book, inverse=inverse, currency=currency)
        self._fold_from(0)
        self.book = msgspec.structs.replace(self.book, held=self._newest, updated_at_ms=now_ms)
        if was == self.held:
            return ()
        nothing = self._record("", RecordType.CORRECTION, ZERO, None, was, was, self.book.newest_ms, now_ms)
        return (self._correction(f"listed.{now_ms}", was, nothing, "the venue lists the instrument now", now_ms),)

    def trim(self) -> None:
        """Forget the oldest steps beyond the window. Only what is stored may be forgotten."""
        if len(self._steps) < 2 * WINDOW:
            return
        cut = len(self._steps) - WINDOW
        base, place = self._states[cut - 1], self._places[cut - 1]
        self.book = msgspec.structs.replace(self.book, base=base, base_place=place)
        del self._steps[:cut], self._places[:cut], self._states[:cut]

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _newest(self) -> Held:
        return self._states[-1] if self._states else self.book.base

    def _before(self, number: int) -> Held:
        return self._states[number - 1] if number else self.book.base

    def _insert(self, step: Step) -> int | None:
        """As `_put`, with all that follows folded again."""
        number = self._put(step)
        if number is not None:
            self._fold_from(number)
        return number

    def _put(self, step: Step) -> int | None:
        """Where it belongs; None if it is there. What is too old goes first."""
        number = bisect_left(self._places, step.place) if self.reaches(step) else 0
        if number < len(self._places) and self._places[number] == step.place:
            return None
        self._places.insert(number, step.place if self.reaches(step) else _just_after(self.book.base_place))
        self._steps.insert(number, step)
        return number

    def _fold_from(self, number: int) -> None:
        del self._states[number:]
        held = self._before(number)
        for step in self._steps[number:]:
            held = after_step(held, step, inverse=self.book.inverse)
            self._states.append(held)

    def _settle(self, at_ms: int, now_ms: int, **changes: object) -> None:
        newest_ms = max(self.book.newest_ms, at_ms)
        self.book = msgspec.structs.replace(
            self.book, held=self._newest, newest_ms=newest_ms, updated_at_ms=now_ms, **changes
        )

    def _record(
        self,
        record_id: str,
        record_type: RecordType,
        change: Decimal,
        price: Decimal | None,
        before: Held,
        after: Held,
        at_ms: int,
        now_ms: int,
    ) -> PositionRecord:
        book = self.book
        return PositionRecord(
            record_id=record_id,
            account=book.account,
            instrument=book.instrument,
            side=book.side,
            record_type=record_type,
            direction=Side.SELL if change < ZERO else Side.BUY,
            change_amount=change,
            change_price=price,
            before_amount=before.amount,
            before_price=before.price,
            after_amount=after.amount,
            after_price=after.price,
            realised_pnl=WORK.subtract(after.realised, before.realised),
            currency=book.currency,
            at_ms=at_ms,
            recorded_at_ms=now_ms,
        )

    def _correction(self, record_id: str, was: Held, made: PositionRecord, reason: str, now_ms: int) -> PositionRecord:
        """From what was believed, with the late step just added to it, to what is so. All records of a position together always sum up
        to what is held and to what was realised.
        """
        believed = msgspec.structs.replace(
            was, amount=WORK.add(was.amount, made.change_amount), realised=WORK.add(was.realised, made.realised_pnl)
        )
        change = WORK.subtract(self.held.amount, believed.amount)
        at_ms = self.book.newest_ms
        record = self._record(record_id, RecordType.CORRECTION, change, None, believed, self.held, at_ms, now_ms)
        return msgspec.structs.replace(record, order_id=made.order_id, trade_id=made.trade_id, reason=reason)


def _just_after(place: Place | None) -> Place:
    assert place is not None, "a book without a base reaches every step"
    return (*place[:3], f"{place[3]}\x00")


def _with_fee(fees: dict[str, Decimal], fill: Fill) -> dict[str, Decimal]:
    if not fill.fee:
        return fees
    return {**fees, fill.fee_currency: WORK.add(fees.get(fill.fee_currency, ZERO), fill.fee)}
