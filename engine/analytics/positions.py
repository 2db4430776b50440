"""Statistics of position records: what was traded, what it made and how long it was held, by several dimensions.

A record belongs to the direction of the position it changed: a sale that closes a long counts with the longs. Money is kept by
currency, since a Decimal of dollars and one of bitcoins have no sum.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import ZERO, CashFlow, FlowKind, PositionRecord, RecordType

MAX_PERIODS = 1000

Money = dict[str, Decimal]


class Round(msgspec.Struct):
    """One position from its opening to where it was flat, or turned, again. `since_ms` None: it was open before the records begin."""

    amount: Decimal
    since_ms: int | None


class Tally:
    """Records of one kind. A trade that realised something is won or lost by that, without fees."""

    def __init__(self) -> None:
        self.records = 0
        self.trades = 0
        self.inferred = 0
        self.volume = ZERO
        self.turnover: Money = defaultdict(Decimal)
        self.realised: Money = defaultdict(Decimal)
        self.fees: Money = defaultdict(Decimal)
        self.funding: Money = defaultdict(Decimal)
        self.won = 0
        self.lost = 0
        self.rounds = 0
        self.held_ms = 0

    def add(self, record: PositionRecord, inverse: bool | None) -> None:
        self.records += 1
        if record.realised_pnl:
            self.realised[record.currency] += record.realised_pnl
        if record.fee:
            self.fees[record.fee_currency] += record.fee
        if record.record_type is not RecordType.EXECUTION:
            return
        size = abs(record.change_amount)
        self.trades += 1
        self.inferred += record.inferred
        self.volume += size
        self.won += record.realised_pnl > ZERO
        self.lost += record.realised_pnl < ZERO
        if record.change_price and inverse is not None:
            self.turnover[record.currency] += size / record.change_price if inverse else size * record.change_price

    def figures(self) -> dict[str, Any]:
        """`volume` in the venue's unit, a sum only within one instrument; `turnover` its worth in the settlement currency.
        `win_rate` of the trades that realised something, 0.0 with none; `average_holding` in seconds, of positions that were closed.
        """
        decided = self.won + self.lost
        return {
            "records": self.records,
            "trades": self.trades,
            "inferred": self.inferred,
            "volume": self.volume,
            "turnover": _told(self.turnover),
            "realised_pnl": _told(self.realised),
            "fees": _told(self.fees),
            "funding": _told(self.funding),
            "won": self.won,
            "lost": self.lost,
            "win_rate": self.won / decided if decided else 0.0,
            "rounds": self.rounds,
            "average_holding": self.held_ms / self.rounds / 1000 if self.rounds else 0.0,
        }


def _told(money: Mapping[str, Decimal]) -> Money:
    return {currency: amount for currency, amount in sorted(money.items()) if amount}


def direction_of(record: PositionRecord) -> str:
    """Of the position it changed, or opened."""
    amount = record.before_amount or record.after_amount
    return "flat" if not amount else "long" if amount > ZERO else "short"


#: What figures are told apart by.
DIMENSIONS: dict[str, Callable[[PositionRecord], str]] = {
    "account": lambda record: record.account,
    "instrument": lambda record: record.instrument,
    "direction": direction_of,
    "type": lambda record: str(record.record_type),
}


class PositionStatistics:
    """All tallies of one walk over records. Give those of each position in the order of their time."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._all = Tally()
        self._by: dict[str, dict[str, Tally]] = {name: defaultdict(Tally) for name in DIMENSIONS}
        self._periods: dict[int, Tally] = {}
        self._rounds: dict[str, Round] = {}

    def add(self, record: PositionRecord, inverse: bool | None) -> None:
        tallies = [self._all, *(self._by[name][key(record)] for name, key in DIMENSIONS.items())]
        period = self._period(record.at_ms)
        if period is not None:
            tallies.append(period)
        held_ms = self._round(record)
        for tally in tallies:
            tally.add(record, inverse)
            if held_ms is not None:
                tally.rounds += 1
                tally.held_ms += held_ms

    def add_funding(self, flow: CashFlow) -> None:
        """What a statement says was paid or received for holding."""
        period = self._period(flow.at_ms)
        tallies = [self._all, self._by["account"][flow.account]]
        tallies += [self._by["instrument"][flow.instrument]] if flow.instrument else []
        for tally in [*tallies, *([period] if period is not None else [])]:
            tally.funding[flow.currency] += flow.amount if flow.kind is FlowKind.FUNDING else flow.funding

    def _period(self, at_ms: int) -> Tally | None:
        number = at_ms // self._period_ms
        if number not in self._periods and len(self._periods) >= MAX_PERIODS:
            return None
        return self._periods.setdefault(number, Tally())

    def _round(self, record: PositionRecord) -> int | None:
        """How long what this record closes was held; None when it closes nothing, or since when is not known."""
        known = self._rounds.get(record.position_key)
        if known is None:
            known = Round(record.before_amount, None)
            self._rounds[record.position_key] = known
        before, after = known.amount, known.amount + record.change_amount
        known.amount = after
        if before * after > ZERO or before == after:
            return None
        since_ms, known.since_ms = known.since_ms, record.at_ms if after else None
        return record.at_ms - since_ms if before and since_ms is not None else None

    def figures(self) -> dict[str, Any]:
        """Of all, and by each dimension; periods by when they begin, in milliseconds."""
        told = self._all.figures()
        for name, tallies in self._by.items():
            told[f"by_{name}"] = {key: tally.figures() for key, tally in sorted(tallies.items())}
        told["by_period"] = [
            {"start_ms": number * self._period_ms} | tally.figures() for number, tally in sorted(self._periods.items())
        ]
        return told
