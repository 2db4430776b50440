"""The questions of a pass."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from actors.account.holdings import Holder
from actors.messages import HearFills, ask_venue
from engine.kernel import ActorDown, CallFailed, CallTimeout, MailboxFull, Request
from engine.model import Balance, Fill, OrderReport, Position
from engine.store import Put
from engine.venues.base import FillPage, VenueRest

MAX_FILL_PAGES = 200


class Snapshot(msgspec.Struct, frozen=True):
    """All answers of one pass; `asked_at_ms` (ours) and `venue_ms` are of before the first question."""

    asked_at_ms: int
    venue_ms: int
    live: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]


class PassFailed(Exception):
    """A pass came to nothing although the venue answered."""


class Asker(Holder):
    """Any question that is not answered raises `VenueError`: half an answer is none."""

    async def _ask_everything(self) -> Snapshot:
        asked_at_ms = self.ctx.clock.wall_ms()
        venue_ms = await self._ask("time", lambda rest: rest.server_time_ms())
        live = await self._ask("open orders", lambda rest: rest.open_orders())
        fills = await self._fills(self._since_ms(venue_ms))
        positions = await self._ask("positions", lambda rest: rest.positions())
        balances = await self._ask("balances", lambda rest: rest.balances())
        return Snapshot(asked_at_ms, venue_ms, live, fills, positions, balances)

    async def _fills(self, since_ms: int) -> tuple[Fill, ...]:
        """The newest fills from `since_ms` on. What does not fit in one page goes to the queue page by page before, so
        that a long absence is caught up with in any number of passes.
        """
        before: set[str] = set()
        for _ in range(MAX_FILL_PAGES):
            page: FillPage = await self._ask("fills", partial(_fills_since, since_ms=since_ms))
            if page.complete:
                return page.fills
            keys = {fill.key for fill in page.fills}
            if keys <= before:
                raise PassFailed(f"fills since {since_ms}: a full page brought nothing new")
            await self._hand_over(HearFills(page.fills))
            before = keys
            since_ms = max(fill.filled_at_ms for fill in page.fills)
            self._move_cursor(since_ms)
        raise PassFailed(f"fills since {since_ms}: more than {MAX_FILL_PAGES} pages, the rest comes with the next pass")

    def _since_ms(self, venue_ms: int) -> int:
        """Where a pass begins to read fills: behind the last complete pass, or far back when there was none."""
        cursor: int | None = self._desk.store.meta(self._cursor_key, int)
        if cursor is None:
            return venue_ms - int(self._settings.first_lookback_s * 1000)
        return cursor - int(self._settings.overlap_s * 1000)

    def _move_cursor(self, venue_ms: int) -> None:
        self._write("account.synced", Put("meta", self._cursor_key, venue_ms))

    @property
    def _cursor_key(self) -> str:
        return f"synced:{self._desk.account}"

    async def _hand_over(self, message: Request[bool]) -> None:
        """Return when the order queue took it and has it on disk. Raises `PassFailed`."""
        try:
            await self._desk.orders.call(message, timeout_s=self._settings.query_timeout_s)
        except (ActorDown, CallTimeout, CallFailed, MailboxFull) as error:
            raise PassFailed(f"the order queue did not take it: {error}") from error

    async def _ask(self, what: str, do: Callable[[Any], Any]) -> Any:
        return await ask_venue(
            self._desk.session, what, do, account=self._desk.account, timeout_s=self._settings.query_timeout_s
        )


async def _fills_since(rest: VenueRest, *, since_ms: int) -> FillPage:
    return await rest.fills_since(since_ms)
