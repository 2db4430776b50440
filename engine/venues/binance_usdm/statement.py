"""The account's statement: its list of income, which holds everything that changed a wallet.

A trade's profit and its commission are lines of their own. The list is read by halving spans that fill a page, like the
others; the lines of a single millisecond, of which a sweep through the book makes many, are read by page number. A line is
named by its type and its transaction: the venue promises no more. To this venue money comes by transfer only, so there are no
deposits in its books.
"""

from engine.venues.answers import FlowPage
from engine.venues.base import OutcomeUnknown
from engine.venues.binance_usdm.account_wire import IncomeData
from engine.venues.binance_usdm.endpoints import INCOME
from engine.venues.binance_usdm.holdings import HoldingsView
from engine.venues.binance_usdm.signed import Params, SignedClient
from engine.venues.binance_usdm.spans import PAGE, read_span
from engine.venues.binance_usdm.wire import decoder
from engine.venues.clock import VenueClock

_MOST_PAGES = 40
_MOST_PARTS = 10
_KEPT_MS = 89 * 86_400_000  # what the venue keeps
_INCOME = decoder(list[IncomeData])


class StatementReader:
    def __init__(self, client: SignedClient, view: HoldingsView, clock: VenueClock) -> None:
        self._client = client
        self._view = view
        self._clock = clock

    async def between(self, since_ms: int, until_ms: int) -> FlowPage:
        since_ms = max(since_ms, self._clock.now_ms() - _KEPT_MS)
        if until_ms < since_ms:
            return FlowPage((), complete=True)
        rows, end_ms = await self._rows(since_ms, until_ms)
        asked = (row for row in rows if since_ms <= row.time <= until_ms and row.income)
        once = {(row.incomeType, str(row.tranId), row.asset): row for row in asked}
        lines = sorted(once.values(), key=lambda row: row.time)
        return FlowPage(tuple(self._view.flow(line) for line in lines), complete=end_ms >= until_ms)

    async def _rows(self, since_ms: int, until_ms: int) -> tuple[list[IncomeData], int]:
        """Lines, and until when they are all. Read part by part, until there is something to go on from."""
        rows: list[IncomeData] = []
        begin_ms = since_ms
        for _ in range(_MOST_PARTS):
            part, end_ms = await read_span(self._ask, begin_ms, until_ms, most=_MOST_PAGES, crowd=self._crowd)
            rows += part
            if end_ms >= until_ms or any(since_ms < row.time <= end_ms and row.income for row in rows):
                return rows, end_ms
            begin_ms = end_ms + 1
        raise OutcomeUnknown(f"statement since {since_ms}: nothing by {begin_ms}, and too much after it")

    async def _ask(self, first_ms: int, last_ms: int, page: int | None = None) -> list[IncomeData]:
        params: Params = {"startTime": first_ms, "endTime": last_ms, "limit": PAGE, "page": page}
        return await self._client.ask(INCOME, params, _INCOME)

    async def _crowd(self, page: list[IncomeData]) -> list[IncomeData]:
        """All lines of one millisecond."""
        at_ms, rows = page[0].time, list(page)
        for number in range(2, _MOST_PAGES):
            more = await self._ask(at_ms, at_ms, number)
            rows += more
            if len(more) < PAGE:
                return rows
        raise OutcomeUnknown(f"statement: more than {_MOST_PAGES} pages of {PAGE} lines at {at_ms}")
