"""Position records: every change of a holding, what caused it, and what was held before and after."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.accounts.fills import PositionSide
from engine.model.money import ZERO
from engine.model.terms import Side


class RecordType(StrEnum):
    EXECUTION = "execution"  # a fill, or one inferred because the venue could not give it
    ADJUSTMENT = "adjustment"  # what was held before the records begin, or what no fill explains
    CORRECTION = "correction"  # an earlier record turned out different: a late fill, a real one for an inferred one


class PositionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one position.

    Amounts are signed, short below zero, in the venue's unit; profits are in `currency`, the instrument's settlement
    currency. `realised_pnl` is what this change realised, without fees; `fee` is in `fee_currency`. `trade_id` is empty for
    what no trade caused; `inferred`: the venue could not give the trade, and its own will replace this one.
    """

    record_id: str
    account: str
    instrument: str
    side: PositionSide = PositionSide.NET
    record_type: RecordType
    direction: Side
    change_amount: Decimal
    change_price: Decimal | None
    before_amount: Decimal
    before_price: Decimal | None
    after_amount: Decimal
    after_price: Decimal | None
    realised_pnl: Decimal = ZERO
    fee: Decimal = ZERO
    fee_currency: str = ""
    currency: str = ""
    order_id: str = ""
    trade_id: str = ""
    inferred: bool = False
    reason: str = ""
    at_ms: int  # the venue's time of what caused it
    recorded_at_ms: int

    @property
    def position_key(self) -> str:
        """As `Position.key`: account, instrument, side."""
        return f"{self.account}|{self.instrument}|{self.side}"
