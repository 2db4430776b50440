"""The questions of a pass."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from actors.account.strangers import Watcher
from actors.messages import HearFills, Told, ask_venue
from engine.kernel import ActorDown, CallFailed, CallTimeout, MailboxFull, Request
from engine.model import Balance, Fill, OrderReport, Position
from engine.store import Put
from engine.venues.base import FillPage, VenueRest

MAX_FILL_PAGES = 200


class Snapshot(msgspec.Struct, frozen=True):
    """All answers of one pass; `asked_at_ms` and `asked_s` (ours) and `venue_ms` are of before the first question,
    `holdings_asked_s` of before the one for positions.
    """

    asked_at_ms: int
    asked_s: float
    venue_ms: int
    live: tuple[OrderReport, ...]
    told: Told | None
    fills: tuple[Fill, ...]
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    holdings_asked_s: float


class PassFailed(Exception):
    """A pass came to nothing although the venue answered."""


class Asker(Watcher):
    """Any question that is not answered raises `VenueError`: half an answer is none."""

    async def _ask_everything(self, complete_for_s: float) -> Snapshot:
        """`complete_for_s`: for how long the private stream has told everything."""
        asked_at_ms, asked_s = self._now_ms(), self.ctx.clock.monotonic_s()
        venue_ms = await self._ask("time", lambda rest: rest.server_time_ms())
        live = await self._ask("open orders", lambda rest: rest.open_orders())
        told = self._told_between(venue_ms, complete_for_s)
        fills = await self._fills(self._since_ms(venue_ms), told)
        holdings_asked_s = self.ctx.clock.monotonic_s()
        positions = await self._ask("positions", lambda rest: rest.positions())
        balances = await self._ask("balances", lambda rest: rest.balances())
        return Snapshot(asked_at_ms, asked_s, venue_ms, live, told, fills, positions, balances, holdings_asked_s)

    def _told_between(self, venue_ms: int, complete_for_s: float) -> Told | None:
        """When the private stream should have told of every fill by now."""
        late_s = self._settings.deaf_after_s
        if complete_for_s <= 2 * late_s:
            return None
        return Told(venue_ms - int((complete_for_s - late_s) * 1000), venue_ms - int(late_s * 1000))

    async def _fills(self, since_ms: int, told: Told | None) -> tuple[Fill, ...]:
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
            await self._hand_over(HearFills(page.fills, told))
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

    async def _hand_over(self, message: Request[Any]) -> None:
        """Return when the order queue took it and has it on disk. Raises `PassFailed`."""
        try:
            await self._desk.orders.call(message, timeout_s=self._settings.query_timeout_s)
        except (ActorDown, CallTimeout, CallFailed, MailboxFull) as error:
            raise PassFailed(f"the order queue did not take it: {error}") from error

    async def _ask(self, what: str, do: Callable[[Any], Any], timeout_s: float | None = None) -> Any:
        timeout_s = self._settings.query_timeout_s if timeout_s is None else timeout_s
        return await ask_venue(self._desk.session, what, do, account=self._desk.account, timeout_s=timeout_s)


async def _fills_since(rest: VenueRest, *, since_ms: int) -> FillPage:
    return await rest.fills_since(since_ms)
