"""The simulated Deribit: methods in, results and channel messages out, time pushed in from outside.

Whoever serves it over a wire does four things: passes requests to `call`; asks `accept_channel`, then `activate`s a
channel before its first subscriber, takes `snapshot` for each new one and only then counts him in; sends what `publish`
is given; and calls `advance` no later than `next_due_ms`. All of it from one thread.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from engine.kernel import Entropy
from engine.simulator.accounts import Account
from engine.simulator.deribit import (
    account_queries,
    history_queries,
    order_queries,
    public_history,
    public_market,
    trading,
    wallet_queries,
)
from engine.simulator.deribit.channels import Channel, parse_channel
from engine.simulator.deribit.hand import DeribitHand
from engine.simulator.deribit.late import Later
from engine.simulator.deribit.listings import INDEX_SOURCE, INDEXES, DeribitNames, instrument_id, listings, styles
from engine.simulator.deribit.method import METHODS, Call, Method
from engine.simulator.deribit.params import parse
from engine.simulator.deribit.public_streams import PUBLIC_STREAMS, BookStream
from engine.simulator.deribit.render import order_json, summary_json
from engine.simulator.deribit.rpc import Caller, Held, RpcError, refused
from engine.simulator.deribit.streams import Streams
from engine.simulator.deribit.truth import truth_of
from engine.simulator.deribit.user_batch import UserBatch, split_by_account
from engine.simulator.deribit.user_streams import USER_STREAMS
from engine.simulator.events import Batch
from engine.simulator.exchange import Exchange
from engine.simulator.margin import view
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Fill, Order
from engine.simulator.prices import BarPath, PricePath, RandomWalk
from engine.simulator.refusal import Refusal
from engine.simulator.replay import Recording
from engine.simulator.simulation import CATCH_UP_MS, Simulation

__all__ = ["DeribitVenue", "Publish"]

# The modules that fill the table of methods.
METHOD_MODULES = (
    public_market,
    public_history,
    trading,
    order_queries,
    history_queries,
    account_queries,
    wallet_queries,
)

Publish = Callable[[str, Any, str | None], None]
OPENING = {"BTC": Decimal("83251.03"), "ETH": Decimal("2912.47")}
FORGET_CLOSED_MS = 30 * 60_000
WARM_UP_MS = 5_000
USER_ID_BASE = 50_000
MAX_HOLD_MS = 5_000


class DeribitVenue:
    """Attributes below may be changed at any time; they are what goes wrong at real venues.

    late_fill_ms: fills of resting orders are told and listed this much later (the order itself is right at once).
    loses_fill: asked of each fill; one that is lost is told on no channel, nor is what it made of its order then.
    hide_fills_from_ms: queries deny fills from this time on.
    forget_closed_after_ms: closed orders vanish from every query but `historical` ones after this time.
    historical_delay_ms: how long it takes a closed order or trade to appear in `historical` queries.
    hide_orders_ms: how long queries deny a new order.
    engine_hold_ms: how long the matching engine keeps a command it has started (at most 5 s); `call` then answers Held.
    settlement_in_progress: trading answers 10041; it also does for `settlement_lasts_ms` after 08:00 UTC.
    maintenance: everything but time and status answers 11051.
    clamp_prices: prices outside the band are moved to its edge and not refused.
    """

    def __init__(
        self,
        *,
        start_ms: int,
        entropy: Entropy,
        publish: Publish | None = None,
        recording: Recording | None = None,
        bar_ms: int = 1000,
        warm_up_ms: int = WARM_UP_MS,
    ) -> None:
        self.publish: Publish = publish if publish is not None else _nobody
        self.late_fill_ms = 0
        self.loses_fill: Callable[[Fill], bool] = _keeps
        self.hide_fills_from_ms: int | None = None
        self.forget_closed_after_ms = FORGET_CLOSED_MS
        self.historical_delay_ms = 3_000
        self.hide_orders_ms = 0
        self.engine_hold_ms = 0
        self.settlement_lasts_ms = 3_000
        self.clamp_prices = False
        self._settling = False
        self._maintenance = False
        self._streams = Streams()
        self._later = Later()
        self.opened_ms = start_ms
        begin_ms = start_ms - warm_up_ms
        paths = _paths(begin_ms, entropy, recording, bar_ms)
        prices = {coin: Decimal(path.price(begin_ms)).quantize(Decimal("0.01")) for coin, path in paths.items()}
        self.names = DeribitNames(entropy.fork("names"), start_ms)
        self.exchange = Exchange(
            listings(begin_ms, prices),
            start_ms=begin_ms,
            names=self.names,
            entropy=entropy.fork("markets"),
        )
        self.hand = DeribitHand(self.exchange)
        contracts = [market.instrument for market in self.exchange.markets.values()]
        by_index = {index: paths[coin] for index, coin in INDEXES.items()}
        self._simulation = Simulation(self.exchange, by_index, styles(contracts), entropy.fork("flow"))
        self._names = list(self.exchange.markets)
        self._instruments = frozenset(self._names)
        self._user_ids: dict[str, int] = {}
        self.exchange.listener = self._on_batch
        self._simulation.advance(start_ms)

    # -- accounts

    def add_account(self, name: str, balances: Mapping[str, Decimal]) -> None:
        """Open an account with these deposits; every settlement currency exists, if only with nothing in it."""
        currencies = dict.fromkeys(sorted({m.instrument.settlement for m in self.exchange.markets.values()}), ZERO)
        self.exchange.open_account(name, currencies | dict(balances))
        self._user_ids[name] = USER_ID_BASE + len(self._user_ids)
        self.exchange.flush()

    def user_id(self, account: Account) -> int:
        return self._user_ids.get(account.name, 0)

    def truth(self, account: str) -> dict[str, Any]:
        """Everything that is so about an account, whatever queries and channels say at the moment."""
        return truth_of(self.exchange.account(account))

    # -- methods

    @property
    def methods(self) -> frozenset[str]:
        return frozenset(METHODS)

    def call(self, method: str, params: Mapping[str, Any], caller: Caller) -> Any:
        """Answer one request. Raises RpcError; returns Held when the engine keeps the command for a while."""
        entry = METHODS.get(method)
        if entry is None:
            raise RpcError(-32601, "Method not found")
        self.exchange.clock_to(caller.now_ms)
        self._check_allowed(entry, caller)
        call = Call(self, caller, parse(entry.params, params))
        valid_until = call.args.get("valid_until")
        if valid_until is not None and valid_until < caller.now_ms:
            raise RpcError(13888, "timed_out")
        if entry.matching and self.engine_hold_ms > 0:
            held = Held(caller.now_ms + min(self.engine_hold_ms, MAX_HOLD_MS), lambda: self._run(entry, call))
            self._later.add(held.due_ms, held.run)
            return held
        return self._run(entry, call)

    def _run(self, entry: Method, call: Call) -> Any:
        try:
            return entry.handler(call)
        except Refusal as refusal:
            raise refused(refusal) from None
        finally:
            self.exchange.flush()

    def _check_allowed(self, entry: Method, caller: Caller) -> None:
        if self.maintenance and entry.name not in ("public/status", "public/get_time"):
            raise RpcError(11051, "system_maintenance")
        if not entry.scope:
            return
        if caller.account is None or caller.account not in self._user_ids:
            raise RpcError(13009, "unauthorized", {"reason": "invalid_token"})
        if not _granted(entry.scope, caller.scopes):
            raise RpcError(13021, "forbidden", {"reason": f"scope {entry.scope} is needed"})
        if entry.matching and self.settlement_in_progress:
            raise RpcError(10041, "settlement_in_progress")

    # -- channels

    def accept_channel(self, channel: str, caller: Caller) -> bool | RpcError:
        """Whether the caller may have this channel. An RpcError is for the whole subscribe request."""
        parsed = self._channel(channel)
        if parsed is None:
            return False
        if parsed.private:
            return caller.account in self._user_ids and _granted(parsed.scope, caller.scopes)
        if caller.account is None and channel.endswith(".raw"):
            return RpcError(13778, "raw_subscriptions_not_available_for_unauthorized")
        return True

    def activate(self, channel: str) -> None:
        """Somebody subscribed: start building this channel's messages. Doing it twice changes nothing."""
        parsed = self._channel(channel)
        if parsed is None:
            raise ValueError(f"no such channel: {channel!r}")
        if channel not in self._streams:
            stream = (PUBLIC_STREAMS | USER_STREAMS)[parsed.topic]
            self._streams.add(stream(self, parsed))

    def deactivate(self, channel: str) -> None:
        """The last subscriber left."""
        self._streams.remove(channel)

    def snapshot(self, channel: str, caller: Caller) -> list[Any]:
        """The first messages of a new subscriber of an active channel; what was gathered goes to the others before."""
        stream = self._streams[channel]
        self._streams.flush_one(stream)
        return stream.first(caller.account)

    def _channel(self, channel: str) -> Channel | None:
        return parse_channel(channel, self._instruments)

    # -- time

    def next_due_ms(self) -> int:
        """When `advance` has something to do next."""
        due = [self._simulation.next_due_ms, self._streams.next_due_ms, self._later.next_due_ms]
        return min(at_ms for at_ms in due if at_ms is not None)

    def advance(self, now_ms: int) -> None:
        """Do everything due by now, in order of time."""
        if now_ms - self._simulation.next_due_ms > CATCH_UP_MS:
            self._simulation.skip_to(now_ms - CATCH_UP_MS)
        due = self.next_due_ms()
        while due <= now_ms:
            self._simulation.advance(due)
            self._later.run(due)
            self._streams.flush(due)
            due = self.next_due_ms()
        self.exchange.clock_to(now_ms)

    # -- faults and connections

    @property
    def maintenance(self) -> bool:
        return self._maintenance

    @maintenance.setter
    def maintenance(self, value: bool) -> None:
        if value != self._maintenance:
            self._maintenance = value
            self._streams.offer("platform", "maintenance", self.exchange.now_ms)

    @property
    def settlement_in_progress(self) -> bool:
        since = self._simulation.settled_ms
        return self._settling or (since is not None and self.exchange.now_ms - since < self.settlement_lasts_ms)

    @settlement_in_progress.setter
    def settlement_in_progress(self, value: bool) -> None:
        self._settling = value

    def skip_change_id(self, instrument: str) -> None:
        """Lose the next book change of an instrument on every channel that carries it."""
        self._streams.each(f"book:{instrument}", lambda s: s.lose_next() if isinstance(s, BookStream) else None)

    def cancel_for_connection(self, connection_id: int) -> int:
        """Cancel-on-disconnect: cancel what this connection created and return how many orders that were."""
        accounts = self.exchange.ledger.accounts.values()
        orders = [o for account in accounts for o in account.live.values() if o.connection_id == connection_id]
        for order in orders:
            self.exchange.withdraw(order, "cancel_on_disconnect")
        self.exchange.flush()
        return len(orders)

    # -- what methods and streams ask

    def index_price(self, index: str) -> Decimal:
        return next(m.index for m in self.exchange.markets.values() if m.instrument.index == index)

    def instrument_id(self, market: Market) -> int:
        return instrument_id(self._names, market.instrument.name)

    def order_json(self, order: Order) -> dict[str, Any]:
        instrument = self.exchange.markets[order.instrument].instrument
        return order_json(order, instrument, self._user_ids.get(order.account, 0))

    def summary(self, account: Account, currency: str) -> dict[str, Any]:
        standing = view(account, currency, self.exchange.markets)
        deltas: dict[str, Decimal] = {}
        for name, position in account.positions.items():
            market = self.exchange.markets[name]
            if market.instrument.settlement == currency and position.size:
                index = market.instrument.index
                deltas[index] = deltas.get(index, ZERO) + market.instrument.coins(position.size, market.mark)
        return summary_json(standing, 6 if currency == "USDC" else 8, deltas)

    def hides(self, order: Order) -> bool:
        """Whether queries deny an order because it is too new."""
        return self.exchange.now_ms - order.created_ms < self.hide_orders_ms

    def is_told(self, fill: Fill) -> bool:
        """Whether queries may list a fill yet."""
        if self.hide_fills_from_ms is not None and fill.trade.at_ms >= self.hide_fills_from_ms:
            return False
        return not fill.maker or self.exchange.now_ms - fill.trade.at_ms >= self.late_fill_ms

    # -- events

    def _on_batch(self, batch: Batch) -> None:
        streams, markets, now_ms = self._streams, self.exchange.markets, batch.at_ms
        for change in batch.books:
            streams.offer(f"book:{change.instrument}", change, now_ms)
        for trade in batch.trades:
            streams.offer(f"trades:{trade.instrument}", trade, now_ms)
        for name in batch.tickers:
            streams.offer(f"ticker:{name}", markets[name], now_ms)
        for index in batch.indexes:
            streams.offer(f"index:{index}", index, now_ms)
        for name in batch.states:
            streams.offer(f"state:{name}", markets[name], now_ms)
        if batch.orders or batch.fills:
            self._tell_users(batch)
        for wallet in batch.wallets:
            streams.offer("wallet", wallet, now_ms)

    def _tell_users(self, batch: Batch) -> None:
        for user in split_by_account(self, batch.orders, batch.fills):
            user.split_off(self.loses_fill)
            if self.late_fill_ms > 0:
                self._tell_later(user.split_off(_of_maker), batch.at_ms + self.late_fill_ms)
            if user:
                self._tell(user)

    def _tell_later(self, late: UserBatch, due_ms: int) -> None:
        if late:
            self._later.add(due_ms, lambda: self._tell(late))

    def _tell(self, user: UserBatch) -> None:
        self._streams.offer(f"user:{user.market.instrument.name}", user, self.exchange.now_ms)


def _nobody(channel: str, data: Any, account: str | None) -> None:
    """Until a wire sets `publish`."""


def _keeps(_: Fill) -> bool:
    return False


def _of_maker(fill: Fill) -> bool:
    return fill.maker


def _granted(needed: str, scopes: frozenset[str]) -> bool:
    return needed in scopes or (needed.endswith(":read") and f"{needed}_write" in scopes)


def _paths(start_ms: int, entropy: Entropy, recording: Recording | None, bar_ms: int) -> dict[str, PricePath]:
    """One path for each coin: recorded or drawn."""
    if recording is not None:
        return {
            coin: BarPath(recording.bars[symbol], start_ms=start_ms, bar_ms=bar_ms)
            for coin, symbol in INDEX_SOURCE.items()
        }
    return {
        coin: RandomWalk(float(price), start_ms=start_ms, volatility=0.6, entropy=entropy.fork(f"walk-{coin}"))
        for coin, price in OPENING.items()
    }
