"""Positions by one interface: what is held, every change of it, and what it came to."""

from datetime import timedelta

import msgspec
import trio

from actors.trading.caller import Record
from actors.trading.errors import bad_field
from actors.trading.forms import unknown
from actors.trading.history import Moment, moment_ms
from actors.trading.position_changes import PositionChanges
from actors.trading.position_records import (
    PositionFilter,
    change_record,
    cursor_of,
    cursor_text,
    positions_of,
    walk,
)
from actors.trading.records import moment
from engine.analytics import PositionStatistics
from engine.model import (
    FlowKind,
    PositionBook,
    RecordType,
    instrument_id,
    split_instrument,
)

MAX_LOOKED_AT = 200_000  # records of one answer
PER_TURN = 128  # looked at before others get the loop
MAX_PAGE = 1000
DAY_S = 86_400.0
BY_HAND = (RecordType.ADJUSTMENT, RecordType.CORRECTION)

Period = float | timedelta | tuple[Moment | None, Moment | None]


class Positions(PositionChanges):
    """Nothing is read but the store."""

    async def get_current_positions(self, account_id: str | None = None) -> list[Record]:
        """What is held, by our own fills and as the venue states it (`venue_amount`); see `position_record`. Raises
        AdvancedOrderError.
        """
        return list(positions_of(self._parts.store, self._filter(account_id, None, None, None)))

    async def get_position_history(
        self,
        instrument_name: str | None = None,
        period: Period | None = None,
        *,
        account_id: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> Record:
        """`{records, next}`: changes of positions, newest first. `period`: so many seconds until now, or `(start, end)` of which either may be
        None; without it all that is kept. Raises AdvancedOrderError.
        """
        since_ms, until_ms = self._period(period)
        keep = self._filter(account_id, instrument_name, since_ms, until_ms)
        return await self._page(keep, limit, cursor)

    async def get_position_records(
        self,
        account_id: str | None = None,
        instrument_name: str | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        include_history: bool = False,
        *,
        limit: int = 100,
        cursor: str = "",
    ) -> Record:
        """`{positions, records, next}`: what is held now, and with `include_history` the changes from `start_time` (inclusive) to `end_time`
        (exclusive), newest first. Raises AdvancedOrderError.
        """
        since_ms, until_ms = moment_ms(start_time, "start_time"), moment_ms(end_time, "end_time")
        keep = self._filter(account_id, instrument_name, since_ms, until_ms)
        page = await self._page(keep, limit, cursor) if include_history else {"records": [], "next": ""}
        return {"positions": list(positions_of(self._parts.store, keep)), **page}

    async def calculate_position_statistics(
        self,
        account_id: str | None = None,
        *,
        instrument_name: str | None = None,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        period_s: float = DAY_S,
    ) -> Record:
        """What positions came to, by account, instrument, direction, type of record and periods of `period_s`; see `PositionStatistics`.
        `complete` is False where there was more than one answer looks at. Raises AdvancedOrderError.
        """
        if not 1.0 <= period_s <= 366 * DAY_S:
            raise bad_field("period_s", "1 second to a year", period_s)
        since_ms, until_ms = moment_ms(start_time, "start_time"), moment_ms(end_time, "end_time")
        keep = self._filter(account_id, instrument_name, since_ms, until_ms)
        statistics = PositionStatistics(int(period_s * 1000))
        complete = await self._add_records(statistics, keep) and await self._add_funding(statistics, keep)
        figures = statistics.figures()
        for part in figures["by_period"]:
            part["start"] = moment(part.pop("start_ms"))
        return figures | {"complete": complete}

    def _filter(
        self, account_id: str | None, instrument_name: str | None, since_ms: int | None, until_ms: int | None
    ) -> PositionFilter:
        full = instrument_id(*split_instrument(instrument_name, self._parts.default_venue)) if instrument_name else ""
        if account_id and not any(self._parts.accounts(account_id)):
            raise unknown(self._parts.account_unknown(account_id))
        keep = PositionFilter(account=account_id or "", instrument=full, since_ms=since_ms or 0)
        return keep if until_ms is None else msgspec.structs.replace(keep, until_ms=until_ms)

    def _period(self, period: Period | None) -> tuple[int | None, int | None]:
        if period is None:
            return None, None
        if isinstance(period, tuple):
            return moment_ms(period[0], "period"), moment_ms(period[1], "period")
        seconds = period.total_seconds() if isinstance(period, timedelta) else period
        if not 0 < seconds < 1e10:
            raise bad_field("period", "seconds above zero, or (start, end)", period)
        return max(0, self._parts.clock.wall_ms() - int(seconds * 1000)), None

    async def _page(self, keep: PositionFilter, limit: int, cursor: str) -> Record:
        if not 1 <= limit <= MAX_PAGE:
            raise bad_field("limit", f"1 to {MAX_PAGE}", limit)
        found: list[Record] = []
        for number, (place, record) in enumerate(walk(self._parts.store, keep, cursor_of(cursor)), start=1):
            if record is not None:
                found.append(change_record(record))
            if len(found) == limit or number == MAX_LOOKED_AT:
                return {"records": found, "next": cursor_text(place)}
            if number % PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        return {"records": found, "next": ""}

    async def _add_records(self, statistics: PositionStatistics, keep: PositionFilter) -> bool:
        """Position by position, each from its oldest record on; whether that was all."""
        store, looked = self._parts.store, 0
        books: dict[str, PositionBook] = dict(store.table("position_books").iterate())
        for key, book in books.items():
            if not keep.takes(book.account, book.instrument):
                continue
            rows = store.table("position_records").iterate(prefix=(key,), start=(key, keep.since_ms, ""))
            for _, record in rows:
                if record.at_ms >= keep.until_ms:
                    break
                statistics.add(record, book.inverse)
                looked += 1
                if looked == MAX_LOOKED_AT:
                    return False
                if looked % PER_TURN == 0:
                    await trio.lowlevel.checkpoint()
        return True

    async def _add_funding(self, statistics: PositionStatistics, keep: PositionFilter) -> bool:
        store = self._parts.store
        table = store.table("cash_flows")
        rows = store.index("cash_flows_by_time").iterate(start=(keep.since_ms,))
        for number, (at_ms, key) in enumerate(rows, start=1):
            if at_ms >= keep.until_ms:
                break
            flow = table.get(key)
            pays = flow is not None and (flow.funding or flow.kind is FlowKind.FUNDING)
            if flow is not None and pays and keep.takes(flow.account, flow.instrument):
                statistics.add_funding(flow)
            if number == MAX_LOOKED_AT:
                return False
            if number % PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        return True
