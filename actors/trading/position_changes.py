"""Changes of positions as somebody tells them.

What is recorded is recorded without being asked to: every fill is stored with its record. So `record_position_change` of an execution
writes nothing. It answers with the records there are, by trade and never twice, and where a trade is missing it says so, puts that up
for a person and has the account look again. Only what a person states is booked here.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from actors.messages import DoubtPosition, StatePosition, SyncSoon
from actors.parts import AccountParts
from actors.trading.caller import Caller, Record
from actors.trading.errors import PositionRecordingError, bad_field
from actors.trading.forms import unknown
from actors.trading.position_records import change_record
from actors.trading.records import exact
from engine.model import (
    ZERO,
    Denial,
    ModelError,
    Order,
    PositionRecord,
    PositionSide,
    RecordType,
    checked,
    instrument_id,
    split_instrument,
)

MAX_RECORDS = 1000  # of one order
BY_HAND = (RecordType.ADJUSTMENT, RecordType.CORRECTION)


class PositionChanges(Caller):
    """See the module's page."""

    async def record_position_change(
        self,
        order: str | Mapping[str, Any] | None = None,
        change: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> list[Record]:
        """Records of a change of a position. Called as `(order_id, position_data)` or `(order_data, execution_result)`; all of it may be given by name.

        With a `trade_id`, or an order alone: the records of that trade, or of all trades of the order. With a `type` of adjustment
        or correction: what a person states to be held is booked now – `instrument_name`, `amount` (or `change_amount`), `avg_price`
        (or `change_price`), `note`, `account_id`, `side`, `request_key` by which it is booked once.

        Raises PositionRecordingError where records and venue cannot both be right, AdvancedOrderError for a parameter to mend.
        """
        said = self._said(order, change, fields)
        kind = str(said.get("type") or RecordType.EXECUTION)
        if kind in BY_HAND:
            return await self._state(RecordType(kind), said)
        if kind != RecordType.EXECUTION:
            raise bad_field("type", f"one of {', '.join(RecordType)}", kind)
        return await self._executed(said)

    # ── executions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _executed(self, said: Record) -> list[Record]:
        order_id, trade_id = str(said.get("order_id") or ""), str(said.get("trade_id") or "")
        if order_id:
            known = self._order(order_id)
            records = [one for one in self._of_order(order_id) if trade_id in ("", one.trade_id)]
            missing = bool(trade_id) and not records
            if missing or known.executed_amount < known.filled_amount:
                raise await self._doubtful(self._holder(order_id), known.instrument, trade_id or order_id, known)
            return [change_record(one) for one in records]
        account, instrument = self._place(said)
        if not trade_id:
            raise bad_field("trade_id", "the venue's id of the trade, or an order_id", "neither")
        fill = self._parts.store.fill(f"{account.name}|{instrument}|{trade_id}")
        key = None if fill is None else (fill.position_key, fill.filled_at_ms, f"fill.{trade_id}")
        record = None if key is None else self._parts.store.table("position_records").get(key)
        if record is None:
            raise await self._doubtful(account, instrument, trade_id, None)
        return [change_record(record)]

    def _of_order(self, order_id: str) -> list[PositionRecord]:
        store = self._parts.store
        table = store.table("position_records")
        keys = (key[1:] for key in store.index("position_records_by_order").iterate((order_id,), limit=MAX_RECORDS))
        return [record for key in keys if (record := table.get(key)) is not None]

    async def _doubtful(
        self, account: AccountParts, instrument: str, subject: str, order: Order | None
    ) -> PositionRecordingError:
        """Somebody knows of a trade that is not recorded: a person has to look, and the account looks first."""
        expected = "a record of every trade"
        got = f"trade {subject} is not recorded"
        if order is not None and order.executed_amount < order.filled_amount:
            got = (
                f"{exact(order.executed_amount)} of {exact(order.filled_amount)} of order {order.order_id} is recorded"
            )
        id_ = await self._call(account.orders, DoubtPosition(instrument, subject, expected, got))
        account.account.tell(SyncSoon(got))
        return PositionRecordingError(
            "NOT_RECORDED", "trade_id", expected, got, text=f"{got}; it is up for review as {id_}"
        )

    # ── what a person states ───────────────────────────────────────────────────────────────────────────────────────────

    async def _state(self, kind: RecordType, said: Record) -> list[Record]:
        account, instrument = self._place(said)
        note = str(said.get("note") or "").strip()
        if not note:
            raise bad_field("note", "why it is so, for whoever reads the records", "nothing")
        amount, change = _figure(said, "amount"), _figure(said, "change_amount")
        if (amount is None) == (change is None):
            raise bad_field("amount", "what is held, or change_amount, and not both", f"{amount} and {change}")
        price = _figure(said, "avg_price", "change_price")
        if price is not None and price <= ZERO:
            raise bad_field("avg_price", "a price above zero", price)
        message = StatePosition(
            instrument=instrument,
            record_type=kind,
            note=note[:500],
            key=str(said.get("request_key") or self._parts.entropy.token(12))[:100],
            side=_side(said.get("side")),
            amount=amount,
            change=change,
            price=price,
        )
        answer = await self._call(account.orders, message)
        if isinstance(answer, Denial):
            raise PositionRecordingError(answer.code, answer.field, answer.expected, answer.got, text=answer.message)
        return [change_record(record) for record in answer]

    def _said(self, order: str | Mapping[str, Any] | None, change: Mapping[str, Any] | None, fields: Record) -> Record:
        """Both call forms and names, as one mapping; what is said later of the same field counts."""
        first = {"order_id": order} if isinstance(order, str) else dict(order or {})
        said = {**first, **dict(change or {}), **fields}
        return {name: value for name, value in said.items() if value is not None}

    def _place(self, said: Record) -> tuple[AccountParts, str]:
        """The account, and the instrument's full name."""
        name = str(said.get("instrument_name") or "")
        if not name:
            raise bad_field("instrument_name", "an instrument", "none")
        wanted = str(said.get("account_id") or "")
        account = self._parts.account_for(name, wanted)
        if account is None:
            raise unknown(self._parts.account_unknown(wanted))
        return account, instrument_id(*split_instrument(name, self._parts.default_venue))


def _figure(said: Record, *names: str) -> Decimal | None:
    """The first of these fields that is said, as an exact figure."""
    name = next((one for one in names if said.get(one) not in (None, "")), None)
    if name is None:
        return None
    value = said[name]
    try:
        return checked(Decimal(repr(value) if isinstance(value, float) else str(value)), name)
    except (ArithmeticError, ModelError) as error:
        raise bad_field(name, "a finite figure", value) from error


def _side(said: object) -> PositionSide:
    try:
        return PositionSide(str(said)) if said else PositionSide.NET
    except ValueError as error:
        raise bad_field("side", f"one of {', '.join(PositionSide)}", said) from error
