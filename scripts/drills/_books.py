"""Whether the fills of a store and what they did to positions are one story."""

from collections import Counter, defaultdict

from engine.model import Executed, PositionBook, RecordType, Statement, folded, step_of
from engine.store import Reader


def unrecorded(store: Reader) -> int:
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
    wrong = sum(
        book.held != folded([*steps[key], *book.statements], inverse=book.inverse) for key, book in books.items()
    )
    return sum(((had - made) + (made - had)).values()) + wrong + len(set(steps) - set(books))
