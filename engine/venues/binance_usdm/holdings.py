"""The venue's positions, balances and statement lines → the model's."""

from decimal import Decimal

import msgspec

from engine.model import ZERO, Balance, CashFlow, FlowKind, Position, PositionSide, instrument_id, rounded
from engine.venues.binance_usdm.account_wire import (
    AssetData,
    BalanceEventData,
    IncomeData,
    PositionData,
    PositionEventData,
)
from engine.venues.binance_usdm.memory import AccountMemory
from engine.venues.decoding import WireError
from engine.venues.figures import checking, some

_SIDES = {"BOTH": PositionSide.NET, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}


_KINDS = {
    "REALIZED_PNL": FlowKind.TRADE,
    "COMMISSION": FlowKind.FEE,
    "FUNDING_FEE": FlowKind.FUNDING,
    "DELIVERED_SETTELMENT": FlowKind.SETTLEMENT,  # as the venue spells it
}
_TRANSFERS = frozenset({"TRANSFER", "INTERNAL_TRANSFER", "CROSS_COLLATERAL_TRANSFER", "STRATEGY_UMFUTURES_TRANSFER"})


class HoldingsView:
    """Maps what the venue says an account holds."""

    def __init__(self, venue: str, account: str, memory: AccountMemory) -> None:
        self._venue = venue
        self._account = account
        self._memory = memory

    @checking
    def position(self, data: PositionData, at_ms: int) -> Position:
        self._memory.see(data.symbol, at_ms)
        position = Position(
            account=self._account,
            instrument=instrument_id(self._venue, data.symbol),
            side=position_side(data.positionSide),
            amount=data.positionAmt,
            average_price=some(data.entryPrice, "entryPrice"),
            mark_price=some(data.markPrice, "markPrice"),
            unrealised_pnl=rounded(data.unRealizedProfit or ZERO, "unRealizedProfit"),
            currency=data.marginAsset,
            updated_at_ms=at_ms,
        )
        position.check()
        return position

    @checking
    def position_heard(self, data: PositionEventData, at_ms: int) -> Position:
        """Without what has been realised: only the stream says it, and a figure that comes and goes is none."""
        self._memory.see(data.s, at_ms)
        position = Position(
            account=self._account,
            instrument=instrument_id(self._venue, data.s),
            side=position_side(data.ps),
            amount=data.pa,
            average_price=some(data.ep, "ep"),
            unrealised_pnl=rounded(data.up or ZERO, "up"),
            currency=data.ma,
            updated_at_ms=at_ms,
        )
        position.check()
        return position

    @checking
    def balance(self, data: AssetData, at_ms: int) -> Balance:
        balance = Balance(
            account=self._account,
            currency=data.asset,
            balance=rounded(data.walletBalance, "walletBalance"),
            equity=rounded(data.marginBalance, "marginBalance"),
            available=rounded(data.availableBalance, "availableBalance"),
            initial_margin=rounded(data.initialMargin or ZERO, "initialMargin"),
            maintenance_margin=rounded(data.maintMargin or ZERO, "maintMargin"),
            updated_at_ms=at_ms,
        )
        balance.check()
        self._memory.balances.put(balance.currency, balance)
        return balance

    @checking
    def balance_heard(self, data: BalanceEventData, at_ms: int) -> Balance | None:
        """The stream tells the wallet alone: the other figures are what the venue said of them last. None before it has."""
        last = self._memory.balances.get(data.a)
        if last is None:
            return None
        balance = msgspec.structs.replace(last, balance=rounded(data.wb, "wb"), updated_at_ms=at_ms)
        self._memory.balances.put(data.a, balance)
        return balance

    @checking
    def flow(self, row: IncomeData) -> CashFlow:
        """To this venue money comes by transfer only, so there are no deposits in its books."""
        amount = rounded(row.income, "income")
        flow = CashFlow(
            account=self._account,
            flow_id=f"{row.incomeType}-{row.tranId}",
            kind=_kind(row.incomeType, amount),
            currency=row.asset,
            amount=amount,
            instrument=instrument_id(self._venue, row.symbol) if row.symbol else "",
            trade_id=row.tradeId,
            text=row.incomeType,
            at_ms=row.time,
        )
        flow.check()
        return flow


def _kind(word: str, amount: Decimal) -> FlowKind:
    if word in _TRANSFERS:
        return FlowKind.TRANSFER_IN if amount > ZERO else FlowKind.TRANSFER_OUT
    return _KINDS.get(word, FlowKind.OTHER)


def position_side(word: str) -> PositionSide:
    side = _SIDES.get(word)
    if side is None:
        raise WireError("positionSide", f"one of {', '.join(_SIDES)}", repr(word[:40]))
    return side
