"""Orders and account queries over REST."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from engine.model import (
    ZERO,
    Balance,
    Fill,
    Instrument,
    Order,
    OrderReport,
    Position,
    ProofRules,
)
from engine.venues.base import (
    BadReply,
    FillPage,
    FlowPage,
    KeyPermissions,
    OrderSearch,
    OutcomeUnknown,
    Refused,
    VenueError,
)
from engine.venues.binance_usdm.account_wire import (
    AccountData,
    AlgoCancelled,
    AssetData,
    ListenKey,
    Nothing,
    PositionData,
)
from engine.venues.binance_usdm.batching import Batches
from engine.venues.binance_usdm.credits import SPOT, Limits
from engine.venues.binance_usdm.endpoints import (
    ACCOUNT,
    AMEND,
    CANCEL,
    CANCEL_ALGO,
    OPEN_ALGOS,
    OPEN_KEY,
    OPEN_ORDERS,
    PLACE,
    PLACE_ALGO,
    POSITIONS,
    RENEW_KEY,
    Call,
)
from engine.venues.binance_usdm.errors import DUPLICATE, NOT_OPEN, WRONG_SIDE
from engine.venues.binance_usdm.fills import FillReader
from engine.venues.binance_usdm.listing import ALGO, ORDER, ROWS, algos_in, orders_in, reports
from engine.venues.binance_usdm.mapping import AccountView
from engine.venues.binance_usdm.memory import AccountMemory, Condition
from engine.venues.binance_usdm.params import (
    algo_params,
    amend_params,
    cancel_params,
    order_params,
    waits_here,
)
from engine.venues.binance_usdm.permissions import permissions
from engine.venues.binance_usdm.public import BinanceUsdmRest
from engine.venues.binance_usdm.rest import RestClient
from engine.venues.binance_usdm.search import ALGO_SOURCES, SOURCES, OrderFinder
from engine.venues.binance_usdm.signed import Params, SignedClient
from engine.venues.binance_usdm.statement import StatementReader
from engine.venues.binance_usdm.sweeping import Sweeper
from engine.venues.binance_usdm.wire import decoder
from engine.venues.clock import VenueClock

T = TypeVar("T")

_CANCELLED = decoder(AlgoCancelled)
_POSITIONS = decoder(list[PositionData])
_ACCOUNT = decoder(AccountData)
_KEY = decoder(ListenKey)
_NOTHING = decoder(Nothing)
NO_LINKS = "this venue links no orders"


class BinanceUsdmTrader(BinanceUsdmRest):
    """See `engine.venues.base.VenueRest`."""

    def __init__(
        self,
        name: str,
        futures: RestClient,
        spot: RestClient,
        limits: Limits,
        clock: VenueClock,
        *,
        client: SignedClient,
        view: AccountView,
        memory: AccountMemory,
        resolve: ProofRules,
    ) -> None:
        super().__init__(name, futures, spot, limits, clock)
        self.resolve = resolve
        self._client = client
        self._spot_client = client.at(spot, SPOT)
        self._view = view
        self._memory = memory
        self._sweeper = Sweeper(client, memory)
        self._batches = Batches(client, view, memory)
        self._finder = OrderFinder(client, view, clock)
        self._fills = FillReader(client, view, memory, self._finder, clock)
        self._statement = StatementReader(client, view, clock)

    # ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        """The reply says what the order came to, never at which prices: the stream and `fills_since` do."""
        self._memory.see(instrument.symbol, self._clock.now_ms())
        if waits_here(order):
            return await self._submit_condition(order, instrument), ()
        return self._view.report(await self._place(PLACE, order_params(order, instrument), order, ORDER)), ()

    async def submit_linked(
        self, orders: Sequence[Order], instruments: Sequence[Instrument]
    ) -> tuple[tuple[OrderReport, tuple[Fill, ...]], ...]:
        raise Refused(NO_LINKS)

    async def amend(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        params = amend_params(order, instrument)
        until_ms = order.amend.valid_until_ms if order.amend else None
        return self._view.report(await self._client.ask(AMEND, params, ORDER, until_ms=until_ms)), ()

    async def cancel(self, order: Order, instrument: Instrument) -> OrderReport | None:
        """A condition that was triggered meanwhile is no live condition any more, and what it became is found by a search."""
        try:
            if waits_here(order) and not order.triggered:
                return await self._cancel_condition(order)
            return self._view.report(await self._client.ask(CANCEL, cancel_params(order, instrument), ORDER))
        except Refused as error:
            if error.code in NOT_OPEN:
                return None
            raise

    async def cancel_everything(self, symbol: str = "") -> None:
        await self._sweeper.everything(symbol)

    async def count_down(self, symbols: Collection[str], after_s: float) -> None:
        """The venue is to cancel all orders of these symbols in `after_s` seconds unless it is told anew before, and no others
        any more that it was told of by this account. Conditional orders are not among them."""
        await self._sweeper.count_down(symbols, after_s)

    async def place_batch(self, orders: Sequence[tuple[Order, Instrument]]) -> tuple[OrderReport | VenueError, ...]:
        """Up to `MOST_PLACED` orders without a trigger at once, each with an answer of its own."""
        for _, instrument in orders:
            self._memory.see(instrument.symbol, self._clock.now_ms())
        return await self._batches.place(orders)

    async def cancel_batch(
        self, orders: Sequence[Order], instrument: Instrument
    ) -> tuple[OrderReport | VenueError | None, ...]:
        """Up to `MOST_CANCELLED` orders of one symbol at once, conditions not among them."""
        return await self._batches.cancel(orders, instrument)

    async def open_orders(self) -> tuple[OrderReport, ...]:
        """Conditional ones first: one that is triggered between the two questions is then in both answers, not in neither."""
        algos = algos_in(await self._client.ask(OPEN_ALGOS, {}, ROWS))
        waiting = reports(algos, self._view.condition, lambda row: row.clientAlgoId)
        orders = orders_in(await self._client.ask(OPEN_ORDERS, {}, ROWS))
        resting = reports(orders, self._view.report, lambda row: row.clientOrderId)
        now_ms = self._clock.now_ms()
        for symbol in {algo.symbol for algo in algos} | {
            order.symbol for order in orders
        }:  # what rests now may have been traded by the next pass
            self._memory.see(symbol, now_ms)
        return tuple(row for row in (*waiting, *resting) if not row.state.terminal)

    async def find_order(self, order: Order, instrument: Instrument) -> OrderSearch:
        self._memory.see(instrument.symbol, self._clock.now_ms())
        report = await self._finder.find(order, instrument)
        return OrderSearch(report, ALGO_SOURCES if waits_here(order) else SOURCES)

    # ── account ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def fills_since(self, since_ms: int) -> FillPage:
        fills, complete = await self._fills.since(since_ms)
        return FillPage(fills, complete)

    async def fills_of(self, order: Order | OrderReport, instrument: Instrument) -> FillPage:
        if not order.venue_order_id:
            return FillPage((), complete=False)
        fills, complete = await self._fills.of(order, instrument.symbol)
        return FillPage(fills, complete)

    async def cash_flows(self, since_ms: int, until_ms: int) -> FlowPage:
        return await self._statement.between(since_ms, until_ms)

    async def permissions(self) -> KeyPermissions:
        return await permissions(self._client, self._spot_client)

    async def positions(self) -> tuple[Position, ...]:
        rows = await self._client.ask(POSITIONS, {}, _POSITIONS)
        at_ms = self._clock.now_ms()
        return tuple(self._view.position(row, at_ms) for row in rows if row.st == 1)

    async def balances(self) -> tuple[Balance, ...]:
        data = await self._client.ask(ACCOUNT, {}, _ACCOUNT)
        at_ms = self._clock.now_ms()
        return tuple(self._view.balance(row, at_ms) for row in data.assets if _was_used(row))

    async def open_key(self) -> str:
        """The listen key of the private stream. While one is alive the venue gives the same and prolongs its life."""
        return (await self._client.ask(OPEN_KEY, {}, _KEY)).listenKey

    async def renew_key(self) -> None:
        """Prolong the listen key's life by an hour. `Refused` with -1125 when there is none alive."""
        await self._client.ask(RENEW_KEY, {}, _NOTHING)

    # ── parts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _submit_condition(self, order: Order, instrument: Instrument) -> OrderReport:
        """It may be triggered before its reply is here, so the stream must know of it before."""
        params, client_id = algo_params(order, instrument), order.client_order_id
        self._memory.await_trigger(client_id, Condition(instrument.symbol, order.side, order.amount))
        try:
            return self._view.condition(await self._place(PLACE_ALGO, params, order, ALGO))
        except (OutcomeUnknown, BadReply):
            raise
        except VenueError:
            self._memory.end_condition(client_id)
            raise

    async def _place(
        self, call: Call, params: Callable[[bool], Params], order: Order, reply: msgspec.json.Decoder[T]
    ) -> T:
        """Written for the position mode the account was last known to have. An order for the other one is refused, so it was
        not placed, and is written anew."""
        hedge = self._memory.hedge
        try:
            return await self._send(call, params(hedge), order, reply)
        except Refused as error:
            if error.code not in WRONG_SIDE:
                raise
        placed = await self._send(call, params(not hedge), order, reply)
        self._memory.hedge = not hedge
        return placed

    async def _send(self, call: Call, params: Params, order: Order, reply: msgspec.json.Decoder[T]) -> T:
        """A client id is used for one attempt only, so a refusal because it is in use already is no refusal: the attempt is
        there, and a search will tell."""
        try:
            return await self._client.ask(call, params, reply, until_ms=order.valid_until_ms)
        except Refused as error:
            if error.code == DUPLICATE:
                raise OutcomeUnknown(str(error), code=error.code) from error
            raise

    async def _cancel_condition(self, order: Order) -> OrderReport:
        """The reply says that it was done; what the order is now is in its record."""
        await self._client.ask(CANCEL_ALGO, {"clientAlgoId": order.client_order_id}, _CANCELLED)
        data = await self._finder.condition(order.client_order_id)
        if data is None:
            raise OutcomeUnknown(f"{order.client_order_id}: cancelled, and then denied")
        return self._view.condition(data)


def _was_used(row: AssetData) -> bool:
    """An account lists every asset there is; one that was emptied must be told as empty."""
    return row.updateTime > 0 or row.walletBalance != ZERO or row.marginBalance != ZERO
