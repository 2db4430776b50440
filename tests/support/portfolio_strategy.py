"""A strategy that looks at a portfolio: what a user's own would do."""

from actors.strategy import Strategy, StrategyParams
from engine.model import SyncResult


class WatcherParams(StrategyParams, frozen=True, kw_only=True, tag="watcher"):
    portfolio: str


class Watcher(Strategy):
    """Keeps what it saw where a test finds it."""

    Params = WatcherParams
    seen: list[SyncResult] = []  # noqa: RUF012 - of every life

    async def started(self) -> None:
        self.spawn(self.look, name="look")

    async def look(self) -> None:
        self.seen.append(await self.trading.portfolios.sync_unallocated(self.params.portfolio))
