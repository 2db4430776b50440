"""The account's statement: every line of the transaction log that changed a balance.

`change` is what a line did to the cash balance: fees, and an option's or a spot trade's price, when something is traded; a
session's profit with its funding when it is settled; the money itself when it comes or goes. A line of a trade is two of
ours when it holds more than its fee.

The log is asked for by currency, page after page until no continuation is named, and nothing is assumed of the order of its
pages. A page costs a second's worth of credits, so a long log is not read at once: what was read is kept, the question is
answered by "later", and goes on there when it is put again.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.model import ZERO, CashFlow, FlowKind, ModelError, instrument_id, rounded
from engine.venues.answers import FlowPage
from engine.venues.base import OutcomeUnknown, Unavailable
from engine.venues.decoding import wire_error
from engine.venues.deribit.names import NO_MORE
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import LogData, LogResult

_PAGE = 250
_MOST_PAGES = 20  # for one question: eight may be asked for at once, then one a second
_MOST_LINES = 200_000
_STEP_MS = 1_000  # between the moment an answer is made up and the stamp it gets when it leaves, at most
_LOGS = msgspec.json.Decoder(LogResult)
_KINDS = {
    "deposit": FlowKind.DEPOSIT,
    "withdrawal": FlowKind.WITHDRAWAL,
    "settlement": FlowKind.SETTLEMENT,
    "delivery": FlowKind.SETTLEMENT,
}
_TRADES = frozenset({"trade", "liquidation"})
_TRANSFERS = frozenset({"transfer"})


class _Log(msgspec.Struct):
    """What was read of one currency's log; `continuation` is where it goes on. `begun_ms`: before the first page, by the venue's
    clock; 0 if nobody knows."""

    rows: list[LogData] = msgspec.field(default_factory=list)
    continuation: str | int | None = None
    read: bool = False
    begun_ms: int = 0


class _Reading(msgspec.Struct):
    """A question that is being answered. `until_ms`: what was made later may be missing."""

    since_ms: int
    asked_until_ms: int
    until_ms: int
    logs: dict[str, _Log]

    @property
    def lines(self) -> int:
        return sum(len(log.rows) for log in self.logs.values())


class StatementReader:
    """The statement of one account, in the currencies it is to be asked for."""

    def __init__(self, rpc: RpcClient, venue: str, account: str, currencies: Sequence[str]) -> None:
        self._rpc = rpc
        self._venue = venue
        self._account = account
        self._currencies = tuple(currencies)
        self._unfinished: _Reading | None = None

    async def between(self, since_ms: int, until_ms: int) -> FlowPage:
        """Raises `Unavailable` when it takes more than one question: it is to be put again, and may begin later then."""
        reading, self._unfinished = self._unfinished, None
        if reading is None or not reading.since_ms <= since_ms <= reading.until_ms <= until_ms:
            reading = _Reading(since_ms, until_ms, until_ms, {currency: _Log() for currency in self._currencies})
        await self._read(reading)
        flows = self._lines(reading, since_ms)
        if reading.until_ms == until_ms or (flows and flows[-1].at_ms > since_ms):
            return FlowPage(flows, complete=reading.until_ms == until_ms)
        rest = await self.between(reading.until_ms + 1, until_ms)
        return FlowPage((*flows, *rest.flows), rest.complete)

    async def _read(self, reading: _Reading) -> None:
        pages = 0
        for currency, log in reading.logs.items():
            while not log.read:
                if reading.lines > _MOST_LINES:
                    raise OutcomeUnknown(f"statement since {reading.since_ms}: more than {_MOST_LINES} lines")
                if pages == _MOST_PAGES:
                    self._put_aside(reading)
                    raise Unavailable(f"statement since {reading.since_ms}: long; {reading.lines} lines by now")
                await self._next_page(currency, log, reading)
                pages += 1

    def _put_aside(self, reading: _Reading) -> None:
        """Lines that are made from now on are on no page to come, though they may be of the time that was asked for."""
        begun = [log.begun_ms for log in reading.logs.values() if log.begun_ms]
        reading.until_ms = min(reading.until_ms, *begun, reading.asked_until_ms)
        self._unfinished = reading

    async def _next_page(self, currency: str, log: _Log, reading: _Reading) -> None:
        params = {
            "currency": currency,
            "start_timestamp": reading.since_ms,
            "end_timestamp": reading.asked_until_ms,
            "count": _PAGE,
            "continuation": log.continuation,
        }
        answer = await self._rpc.call("private/get_transaction_log", params, _LOGS)
        page = answer.result
        log.begun_ms = log.begun_ms or max(0, answer.venue_ms - _STEP_MS)
        log.rows += page.logs
        log.continuation = page.continuation
        log.read = page.continuation in NO_MORE

    def _lines(self, reading: _Reading, since_ms: int) -> tuple[CashFlow, ...]:
        rows = {(row.currency, row.id): row for log in reading.logs.values() for row in log.rows}
        ordered = sorted(rows.values(), key=lambda row: (row.timestamp, row.currency, row.id))
        asked = (row for row in ordered if since_ms <= row.timestamp <= reading.until_ms)
        return tuple(flow for row in asked for flow in self._flows(row))

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
