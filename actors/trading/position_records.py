"""Position records as everybody outside sees them, and reading them from the store a page at a time."""

from collections.abc import Iterator
from typing import Any

import msgspec

from actors.trading.errors import bad_field
from actors.trading.records import exact, moment
from engine.analytics import pnl_of
from engine.model import ZERO, Position, PositionBook, PositionRecord, is_account
from engine.store import Store

Record = dict[str, Any]

Cursor = tuple[int, str, str]  # when, which position, which record


def direction_of(amount: Any) -> str:
    return "flat" if not amount else "long" if amount > ZERO else "short"


def change_record(record: PositionRecord) -> Record:
    """One change: what it was, and what was held before and after. Figures are exact; `amount` and `avg_price` are of after it."""
    return {
        "id": f"{record.position_key}|{record.record_id}",
        "account_id": record.account,
        "instrument_name": record.instrument,
        "side": str(record.side),
        "amount": exact(record.after_amount),
        "avg_price": exact(record.after_price),
        "direction": str(record.direction),
        "order_id": record.order_id,
        "trade_id": record.trade_id,
        "timestamp": moment(record.at_ms),
        "type": str(record.record_type),
        "inferred": record.inferred,
        "change_amount": exact(record.change_amount),
        "change_price": exact(record.change_price),
        "before_amount": exact(record.before_amount),
        "before_price": exact(record.before_price),
        "realised_pnl": exact(record.realised_pnl),
        "currency": record.currency,
        "fee": exact(record.fee),
        "fee_currency": record.fee_currency,
        "note": record.reason,
        "recorded_at": moment(record.recorded_at_ms),
    }


def position_record(book: PositionBook, stated: Position | None) -> Record:
    """What is held by our own fills, and what the venue last said of the same. Without the venue's word the mark is not known."""
    pnl = pnl_of(book, stated.mark_price if stated else None)
    return {
        "id": book.key,
        "account_id": book.account,
        "instrument_name": book.instrument,
        "side": str(book.side),
        "amount": exact(book.held.amount),
        "avg_price": exact(book.held.price),
        "direction": direction_of(book.held.amount),
        "realised_pnl": exact(pnl.realised),
        "unrealised_pnl": exact(pnl.unrealised),
        "fees": {currency: exact(fee) for currency, fee in book.fees.items()},
        "currency": book.currency or (stated.currency if stated else ""),
        "mark_price": exact(stated.mark_price if stated else None),
        "venue_amount": exact(stated.amount) if stated else ZERO,
        "venue_avg_price": exact(stated.average_price) if stated else None,
        "timestamp": moment(book.newest_ms or (stated.updated_at_ms if stated else None)),
    }


def positions_of(store: Store, keep: "PositionFilter") -> Iterator[Record]:
    """All that the books or the venue hold, each once."""
    books: dict[str, PositionBook] = dict(store.table("position_books").iterate())
    stated: dict[str, Position] = dict(store.table("positions").iterate())
    for key in sorted(books.keys() | stated.keys()):
        book, position = books.get(key), stated.get(key)
        if book is None and position is not None:
            book = PositionBook(
                account=position.account, instrument=position.instrument, side=position.side, inverse=None
            )
        if book is None or not keep.takes(book.account, book.instrument):
            continue
        if book.held.amount or (position is not None and position.amount):
            yield position_record(book, position)


class PositionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """`account` in full or without its venue, `instrument` in full; times in milliseconds, the second one exclusive."""

    account: str = ""
    instrument: str = ""
    since_ms: int = 0
    until_ms: int = 1 << 62

    def takes(self, account: str, instrument: str) -> bool:
        return is_account(self.account, account) and self.instrument in ("", instrument)


def walk(
    store: Store, keep: PositionFilter, after: Cursor | None = None
) -> Iterator[tuple[Cursor, PositionRecord | None]]:
    """Records newest first from just before `after` on; None for each that is not wanted, so that who walks can give others a turn."""
    table = store.table("position_records")
    start = after or (keep.until_ms,)
    for at_ms, position_key, record_id in store.index("position_records_by_time").iterate(start=start, reverse=True):
        cursor = (at_ms, position_key, record_id)
        if at_ms < keep.since_ms:
            return
        account, instrument, _ = position_key.split("|")
        wanted = cursor != after and at_ms < keep.until_ms and keep.takes(account, instrument)
        yield cursor, table.get((position_key, at_ms, record_id)) if wanted else None


def cursor_text(cursor: Cursor) -> str:
    return "~".join(map(str, cursor))


def cursor_of(text: str) -> Cursor | None:
    """Raises AdvancedOrderError for what is not the `next` of a page."""
    if not text:
        return None
    at_ms, _, rest = text.partition("~")
    position_key, slash, record_id = rest.partition("~")
    if not (at_ms.isascii() and at_ms.isdigit() and slash):
        raise bad_field("cursor", "the `next` of the page before", text)
    return int(at_ms), position_key, record_id
