"""What people say of positions, which no fill says."""

from decimal import Decimal

from engine.kernel import Request
from engine.model import Denial, PositionRecord, PositionSide, RecordType


class StatePosition(Request[tuple[PositionRecord, ...] | Denial], frozen=True):
    """What is held, as a person knows it: `amount`, or `change` to what the books have. Answered with what was booked for it, once
    that is on disk; the same `key` again is answered with the same and books nothing.

    `record_type` adjustment or correction. `price`: the average price from here on; None keeps the one there is.
    """

    instrument: str
    record_type: RecordType
    note: str
    key: str
    side: PositionSide = PositionSide.NET
    amount: Decimal | None = None
    change: Decimal | None = None
    price: Decimal | None = None


class DoubtPosition(Request[str], frozen=True):
    """Somebody knows of a change of a position that is not in its records: put it up for a person. Answered with the id of the
    difference once it is on disk; one that was put up before is not told again.
    """

    instrument: str
    subject: str  # trade or order id
    expected: str
    got: str
