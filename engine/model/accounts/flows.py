"""Cash flows: everything a venue's own account statement says changed a balance."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.money import ZERO, checked
from engine.model.text import name


class FlowKind(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    TRANSFER_IN = "transfer_in"  # between accounts of one owner
    TRANSFER_OUT = "transfer_out"
    TRADE = "trade"  # the profit a trade realised
    FEE = "fee"
    FUNDING = "funding"
    SETTLEMENT = "settlement"  # session profit, delivery
    OTHER = "other"  # corrections, insurance, rewards: in `text` as the venue calls it

    @property
    def external(self) -> bool:
        """Whether money came from or went to somewhere else: no result of trading."""
        return self in EXTERNAL_FLOWS


EXTERNAL_FLOWS = frozenset({FlowKind.DEPOSIT, FlowKind.WITHDRAWAL, FlowKind.TRANSFER_IN, FlowKind.TRANSFER_OUT})


class CashFlow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the statement. `amount` is signed: what it did to the balance."""

    account: str
    flow_id: str  # the venue's, unique within account and currency
    kind: FlowKind
    currency: str
    amount: Decimal
    balance: Decimal | None = None  # after it, where the venue says so
    instrument: str = ""
    trade_id: str = ""
    funding: Decimal = ZERO  # part of `amount` that is funding, where a line holds several
    text: str = ""
    at_ms: int

    @property
    def key(self) -> str:
        return f"{self.account}|{self.currency}|{self.flow_id}"

    def check(self) -> None:
        name(self.flow_id, "flow_id")
        name(self.currency, "currency")
        checked(self.amount, "amount")
        checked(self.funding, "funding")
        if self.balance is not None:
            checked(self.balance, "balance")
