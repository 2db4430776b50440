"""The account's statement: every line of the transaction log that changed a balance.

`change` is what a line did to the cash balance: fees, and an option's or a spot trade's price, when something is traded; a
session's profit with its funding when it is settled; the money itself when it comes or goes. A line of a trade is two of
ours when it holds more than its fee. The log is asked for by currency, page after page until no continuation is named, and
nothing is assumed of the order of its pages. A span with more lines than we are willing to read is read up to its middle
first.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.model import ZERO, CashFlow, FlowKind, ModelError, instrument_id, rounded
from engine.venues.answers import FlowPage
from engine.venues.base import OutcomeUnknown
from engine.venues.decoding import wire_error
from engine.venues.deribit.names import NO_MORE
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import LogData, LogResult

_PAGE = 250
_MOST_PAGES = 20  # of one span: at a page a second
_MOST_HALVINGS = 30
_MOST_PARTS = 30
_LOGS = msgspec.json.Decoder(LogResult)
_KINDS = {
    "deposit": FlowKind.DEPOSIT,
    "withdrawal": FlowKind.WITHDRAWAL,
    "settlement": FlowKind.SETTLEMENT,
    "delivery": FlowKind.SETTLEMENT,
}
_TRADES = frozenset({"trade", "liquidation"})
_TRANSFERS = frozenset({"transfer"})


class StatementReader:
    """The statement of one account, in the currencies it is to be asked for."""

    def __init__(self, rpc: RpcClient, venue: str, account: str, currencies: Sequence[str]) -> None:
        self._rpc = rpc
        self._venue = venue
        self._account = account
        self._currencies = tuple(currencies)

    async def between(self, since_ms: int, until_ms: int) -> FlowPage:
        """Part by part, until there is something to go on from."""
        flows: list[CashFlow] = []
        begin_ms = since_ms
        for _ in range(_MOST_PARTS):
            part, end_ms = await self._part(begin_ms, until_ms)
            flows += part
            if end_ms == until_ms or (flows and flows[-1].at_ms > since_ms):
                return FlowPage(tuple(flows), complete=end_ms == until_ms)
            begin_ms = end_ms + 1
        raise OutcomeUnknown(f"statement since {since_ms}: nothing by {begin_ms}, and too much after it")

    async def _part(self, since_ms: int, until_ms: int) -> tuple[list[CashFlow], int]:
        """Lines, and until when they are all: where one currency's are cut, every currency's are."""
        rows: dict[tuple[str, int], LogData] = {}
        end_ms = until_ms
        for currency in self._currencies:
            found, end_ms = await self._lines(currency, since_ms, end_ms)
            rows |= {(row.currency, row.id): row for row in found}
        kept = sorted(
            (row for row in rows.values() if since_ms <= row.timestamp <= end_ms),
            key=lambda row: (row.timestamp, row.currency, row.id),
        )
        return [flow for row in kept for flow in self._flows(row)], end_ms

    async def _lines(self, currency: str, since_ms: int, until_ms: int) -> tuple[list[LogData], int]:
        """Lines, and until when they are all."""
        for _ in range(_MOST_HALVINGS):
            rows = await self._span(currency, since_ms, until_ms)
            if rows is not None:
                return rows, until_ms
            until_ms = (since_ms + until_ms) // 2
        raise OutcomeUnknown(f"statement in {currency} since {since_ms}: more than {_MOST_PAGES} pages by {until_ms}")

    async def _span(self, currency: str, since_ms: int, until_ms: int) -> list[LogData] | None:
        params: dict[str, object] = {
            "currency": currency,
            "start_timestamp": since_ms,
            "end_timestamp": until_ms,
            "count": _PAGE,
        }
        rows: list[LogData] = []
        for _ in range(_MOST_PAGES):
            page = (await self._rpc.call("private/get_transaction_log", params, _LOGS)).result
            rows += page.logs
            if page.continuation in NO_MORE:
                return rows
            params["continuation"] = page.continuation
        return None

    def _flows(self, row: LogData) -> Iterator[CashFlow]:
        try:
            change = rounded(row.change or ZERO, "change")
            fee = -rounded(row.commission or ZERO, "commission") if row.type in _TRADES else ZERO
            parts = [part for part in ((_kind(row), "", change - fee), (FlowKind.FEE, "-fee", fee)) if part[2]]
            for kind, part, amount in parts:
                yield self._flow(row, kind, part, amount, last=part == parts[-1][1])
        except ModelError as error:
            raise wire_error(error, b"") from error

    def _flow(self, row: LogData, kind: FlowKind, part: str, amount: Decimal, *, last: bool) -> CashFlow:
        funding = row.total_interest_pl if row.total_interest_pl is not None else row.interest_pl
        flow = CashFlow(
            account=self._account,
            flow_id=f"{row.id}{part}",
            kind=kind,
            currency=row.currency.upper(),
            amount=amount,
            balance=rounded(row.balance, "balance") if last and row.balance is not None else None,
            instrument=instrument_id(self._venue, row.instrument_name) if row.instrument_name else "",
            trade_id=row.trade_id or "",
            funding=rounded(funding or ZERO, "interest_pl") if kind is FlowKind.SETTLEMENT else ZERO,
            text=row.type,
            at_ms=row.timestamp,
        )
        flow.check()
        return flow


def _kind(row: LogData) -> FlowKind:
    if row.type in _TRADES:
        return FlowKind.TRADE
    if row.type in _TRANSFERS:
        return FlowKind.TRANSFER_IN if (row.change or ZERO) > ZERO else FlowKind.TRANSFER_OUT
    return _KINDS.get(row.type, FlowKind.OTHER)
