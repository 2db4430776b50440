"""Whether the fills of a store and what they did to positions are one story."""

from collections import Counter, defaultdict

from engine.model import Executed, PositionBook, RecordType, Statement, folded, step_of
from engine.store import Reader


def unrecorded(store: Reader) -> list[str]:
    """Fills without their one execution record, records without their fill, and books that are not the ledger of one pass."""
    fills = [fill for _, fill in store.table("fills").iterate()]
    records = [record for _, record in store.table("position_records").iterate()]
    made = Counter(
        (record.position_key, record.trade_id)
        for record in records
        if record.record_type is RecordType.EXECUTION and not record.inferred
    )
    had = Counter((fill.position_key, fill.trade_id) for fill in fills)
    steps: dict[str, list[Executed | Statement]] = defaultdict(list)
    for fill in fills:
        steps[fill.position_key].append(step_of(fill))
    books: dict[str, PositionBook] = dict(store.table("position_books").iterate())
    return [
        *(f"fill {trade} of {key} without a record" for key, trade in (had - made).elements()),
        *(f"record {trade} of {key} without its fill" for key, trade in (made - had).elements()),
        *(text for key, book in books.items() if (text := _other(key, book, steps[key]))),
        *(f"fills of {key} and no book" for key in steps.keys() - books.keys()),
    ]


def _other(key: str, book: PositionBook, steps: list[Executed | Statement]) -> str:
    made = folded([*steps, *book.statements], inverse=book.inverse)
    return "" if book.held == made else f"book of {key} holds {book.held}, its fills make {made}"
