"""Streams of private channels. One stream serves all accounts; each message goes out under the account it is about."""

from typing import Any

from engine.simulator.deribit.render import position_json
from engine.simulator.deribit.streams import Stream
from engine.simulator.deribit.user_batch import UserBatch

__all__ = ["USER_STREAMS"]


class UserStream(Stream):
    def topics(self) -> list[str]:
        return [f"user:{market.instrument.name}" for market in self.markets()]


class UserRowsStream(UserStream):
    """Rows that are gathered by account and sent as an array."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._rows: dict[str, list[Any]] = {}

    def rows(self, event: UserBatch) -> list[Any]:
        raise NotImplementedError

    def take(self, event: UserBatch) -> None:
        rows = self.rows(event)
        if not rows:
            return
        if self.channel.every_ms:
            self._rows.setdefault(event.account.name, []).extend(rows)
            self.pending = True
        else:
            self.send(rows, event.account.name)

    def send(self, rows: list[Any], account: str) -> None:
        self.emit(rows, account)

    def flush(self) -> None:
        gathered, self._rows = self._rows, {}
        for account, rows in gathered.items():
            self.emit(rows, account)


class UserOrdersStream(UserRowsStream):
    """Raw messages are single orders, the others arrays: so does the venue."""

    def rows(self, event: UserBatch) -> list[Any]:
        return event.orders

    def send(self, rows: list[Any], account: str) -> None:
        for row in rows:
            self.emit(row, account)


class UserTradesStream(UserRowsStream):
    def rows(self, event: UserBatch) -> list[Any]:
        return event.trades


class UserChangesStream(UserStream):
    """Orders, trades and the position of one instrument in one message."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._gathered: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {}

    def take(self, event: UserBatch) -> None:
        if not self.channel.every_ms:
            self._send(event.account.name, event.market.instrument.name, event.orders, event.trades, event.positions)
            return
        key = (event.account.name, event.market.instrument.name)
        orders, trades = self._gathered.setdefault(key, ([], []))
        orders.extend(event.orders)
        trades.extend(event.trades)
        self.pending = True

    def flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        exchange = self.venue.exchange
        for (account, instrument), (orders, trades) in gathered.items():
            position = position_json(exchange.account(account), exchange.markets[instrument], exchange.markets)
            self._send(account, instrument, orders, trades, [position])

    def _send(self, account: str, instrument: str, orders: list[Any], trades: list[Any], positions: list[Any]) -> None:
        data = {"instrument_name": instrument, "orders": orders, "trades": trades, "positions": positions}
        self.emit(data, account)


class PortfolioStream(Stream):
    """Account figures of one currency, or of each in a message of its own."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changed: dict[tuple[str, str], None] = {}

    def topics(self) -> list[str]:
        return ["wallet"]

    def take(self, event: tuple[str, str]) -> None:
        if self.channel.currency in ("any", event[1]):
            self._changed[event] = None
            self.pending = True

    def flush(self) -> None:
        changed, self._changed = self._changed, {}
        for account, currency in changed:
            self.emit(self.venue.summary(self.venue.exchange.account(account), currency), account)

    def first(self, account: str | None) -> list[Any]:
        if account is None:
            return []
        owner = self.venue.exchange.account(account)
        wanted = self.channel.currency
        return [self.venue.summary(owner, currency) for currency in owner.wallets if wanted in ("any", currency)]


USER_STREAMS: dict[str, type[Stream]] = {
    "user.orders": UserOrdersStream,
    "user.trades": UserTradesStream,
    "user.changes": UserChangesStream,
    "user.portfolio": PortfolioStream,
    "user.lock": Stream,
    "user.access_log": Stream,
}
