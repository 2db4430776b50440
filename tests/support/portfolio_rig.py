"""A portfolio with its recorder on one mock clock and a real store; the exchange is played, exactly and on command."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import trio

from actors.messages import Notify
from actors.portfolios import (
    PortfolioDesk,
    PortfolioKeeper,
    Portfolios,
    PortfolioSettings,
    PortfolioSynced,
    PortfolioView,
)
from actors.recorder import InlineHost, Recorder, RecorderSettings
from engine.kernel import Entropy, Message, Ref, SupervisorSpec, System, TrioClock, open_system
from engine.model import (
    ZERO,
    Balance,
    CashFlow,
    Discrepancy,
    FlowKind,
    OrderState,
    Portfolio,
    PortfolioOrder,
    PortfolioTrade,
    Position,
    Side,
    SyncMode,
)
from engine.store import Store
from engine.venues.ccxt import (
    CapabilityMissing,
    MarketCredential,
    MarketCredentialService,
    OperationalException,
    PortfolioProvider,
    PortfolioProviders,
)
from tests.support.order_rig import EPOCH_MS, Ear, patient

D = Decimal
KEYS = MarketCredential("fake", "key", "secret")


def order_of(external_id: str, at_ms: int = EPOCH_MS, **stated: Any) -> PortfolioOrder:
    """An open order of the portfolio `main`, with what is `stated` otherwise."""
    order = PortfolioOrder(
        portfolio_id="main",
        external_id=external_id,
        symbol="BTC/USDT",
        side=Side.BUY,
        order_type="limit",
        amount=D(1),
        price=D(100),
        state=OrderState.OPEN,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
    )
    return msgspec.structs.replace(order, **stated)


class PlayedExchange(PortfolioProvider):
    """A spot exchange with one account. Money is USDT, orders are of BTC/USDT; nothing trades by itself."""

    priority: ClassVar = {"*": 0}

    def __init__(self, now_ms: Callable[[], int] = lambda: EPOCH_MS, **totals: Any) -> None:
        self.now_ms = now_ms
        self.totals = {name: D(amount) for name, amount in totals.items()}
        self.orders: dict[str, PortfolioOrder] = {}
        self.hidden: set[str] = set()  # orders it does not admit to
        self.trades: list[PortfolioTrade] = []
        self.flows: list[CashFlow] = []
        self.contracts: dict[str, Decimal] = {}
        self.moving: set[str] = set()  # what its statement is about
        self.cannot: set[str] = set()
        self.failing: dict[str, OperationalException] = {}
        self.asked: list[str] = []
        self.credentials: list[MarketCredential] = []
        self.released: list[MarketCredential] = []
        self.busy = self.most_busy = 0
        self.slow_s = 0.0
        self._numbers = 0

    # ── what happens there ────────────────────────────────────────────────────────────────────────────────────────────

    def _id(self) -> str:
        self._numbers += 1
        return f"{self._numbers}"

    def place(self, side: str = "buy", amount: Any = 1, price: Any = 100) -> str:
        number = self._id()
        self.orders[number] = order_of(number, self.now_ms(), side=Side(side), amount=D(amount), price=D(price))
        return number

    def fill(self, number: str, amount: Any = None) -> None:
        order = self.orders[number]
        part = order.amount - order.filled_amount if amount is None else D(amount)
        filled = order.filled_amount + part
        assert order.price is not None
        self._change(
            number,
            filled_amount=filled,
            average_price=order.price,
            state=OrderState.FILLED if filled == order.amount else OrderState.OPEN,
        )
        self.trades.append(
            PortfolioTrade(
                portfolio_id="main",
                trade_id=self._id(),
                external_id=number,
                symbol=order.symbol,
                side=order.side,
                price=order.price,
                amount=part,
                at_ms=self.now_ms(),
            )
        )
        self.totals["BTC"] = self.totals.get("BTC", ZERO) + order.side.sign * part
        self.totals["USDT"] -= order.side.sign * part * order.price

    def trade(self, side: str = "buy", amount: Any = 1, price: Any = 100) -> str:
        """By hand, at once."""
        number = self.place(side, amount, price)
        self.fill(number)
        return number

    def cancel(self, number: str) -> None:
        self._change(number, state=OrderState.CANCELLED)

    def _change(self, number: str, **changes: Any) -> None:
        self.orders[number] = msgspec.structs.replace(self.orders[number], updated_at_ms=self.now_ms(), **changes)

    def move(self, amount: Any, *, told: bool = True, currency: str = "USDT") -> None:
        """A deposit or a withdrawal, with or without a line."""
        amount = D(amount)
        self.totals[currency] = self.totals.get(currency, ZERO) + amount
        if told:
            self.tell(amount, currency)

    def tell(self, amount: Any, currency: str = "USDT") -> None:
        self.flows.append(
            CashFlow(
                account="main",
                flow_id=self._id(),
                kind=FlowKind.DEPOSIT if amount > 0 else FlowKind.WITHDRAWAL,
                currency=currency,
                amount=D(amount),
                at_ms=self.now_ms(),
            )
        )

    # ── what it answers ───────────────────────────────────────────────────────────────────────────────────────────────

    async def supports_market(self, market: str) -> bool:
        return market == "fake"

    async def _ask(self, what: str, credential: MarketCredential) -> None:
        self.asked.append(what)
        self.credentials.append(credential)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            await trio.sleep(self.slow_s)
        finally:
            self.busy -= 1
        if what in self.cannot:
            raise CapabilityMissing("fake", f"expected an exchange that has {what}, it does not")
        error = self.failing.get(what) or self.failing.get("*")
        if error is not None:
            raise error

    async def get_order(
        self, portfolio: Portfolio, order: PortfolioOrder, market_credential: MarketCredential
    ) -> PortfolioOrder | None:
        await self._ask("order", market_credential)
        return None if order.external_id in self.hidden else self.orders.get(order.external_id)

    async def get_position(
        self, portfolio: Portfolio, symbol: str, market_credential: MarketCredential
    ) -> Balance | None:
        rows = await self.get_balances(portfolio, market_credential)
        return next((row for row in rows if row.currency == symbol), None)

    async def get_balances(self, portfolio: Portfolio, market_credential: MarketCredential) -> tuple[Balance, ...]:
        await self._ask("balances", market_credential)
        held = {"USDT": ZERO, "BTC": ZERO}
        for order in self.orders.values():
            if order.state is OrderState.OPEN and order.price is not None:
                rest = order.amount - order.filled_amount
                held["USDT" if order.side is Side.BUY else "BTC"] += rest * (
                    order.price if order.side is Side.BUY else 1
                )
        return tuple(
            Balance(
                account="main",
                currency=name,
                balance=total,
                equity=total,
                available=total - held.get(name, ZERO),
                updated_at_ms=self.now_ms(),
            )
            for name, total in self.totals.items()
        )

    async def get_positions(self, portfolio: Portfolio, market_credential: MarketCredential) -> tuple[Position, ...]:
        await self._ask("positions", market_credential)
        return tuple(
            Position(account="main", instrument=f"fake:{name}", amount=amount, updated_at_ms=self.now_ms())
            for name, amount in self.contracts.items()
            if amount
        )

    async def get_open_orders(
        self, portfolio: Portfolio, market_credential: MarketCredential
    ) -> tuple[PortfolioOrder, ...]:
        await self._ask("open orders", market_credential)
        return tuple(
            order
            for order in self.orders.values()
            if order.state is OrderState.OPEN and order.external_id not in self.hidden
        )

    async def get_order_trades(
        self, portfolio: Portfolio, order: PortfolioOrder, market_credential: MarketCredential
    ) -> tuple[PortfolioTrade, ...]:
        await self._ask("order trades", market_credential)
        return tuple(trade for trade in self.trades if trade.external_id == order.external_id)

    async def get_trades(
        self, portfolio: Portfolio, symbol: str, since_ms: int, market_credential: MarketCredential
    ) -> tuple[PortfolioTrade, ...]:
        await self._ask("trades" if symbol else "all trades", market_credential)
        return tuple(trade for trade in self.trades if symbol in ("", trade.symbol) and trade.at_ms >= since_ms)

    async def get_flows(
        self, portfolio: Portfolio, since_ms: int, market_credential: MarketCredential
    ) -> tuple[CashFlow, ...]:
        await self._ask("flows", market_credential)
        return tuple(
            flow for flow in self.flows if flow.at_ms >= since_ms and flow.currency == portfolio.trading_symbol
        )

    async def get_moving(
        self, portfolio: Portfolio, since_ms: int, market_credential: MarketCredential
    ) -> frozenset[str]:
        await self._ask("moving", market_credential)
        return frozenset(self.moving)

    def release(self, market_credential: MarketCredential) -> None:
        self.released.append(market_credential)

    def close(self) -> None:
        self.released.append(KEYS)


class PortfolioRig:
    """What a test holds."""

    def __init__(
        self, system: System, store: Store, exchanges: dict[str, PlayedExchange], heard: list[Message]
    ) -> None:
        self.system = system
        self.store = store
        self.exchanges = exchanges
        self.exchange = exchanges.get("main") or next(iter(exchanges.values()))
        self.heard = heard
        self.refs: dict[str, Ref] = {name: system.address(f"root/{name}") for name in exchanges}
        self.functions = Portfolios(self.refs)
        self.keys: dict[str, Any] = dict.fromkeys(exchanges, KEYS)

    async def sync(self, name: str = "main", *, accept: bool = False) -> PortfolioSynced:
        return await self.functions.sync(name, accept=accept)

    async def view(self, name: str = "main") -> PortfolioView:
        return await self.functions.get_portfolio(name)

    @property
    def portfolio(self) -> Portfolio:
        found: Portfolio | None = self.store.table("portfolios").get("main")
        assert found is not None
        return found

    def rows(self, table: str) -> dict[Any, Any]:
        return dict(self.store.table(table).iterate())

    @property
    def discrepancies(self) -> list[Discrepancy]:
        return list(self.rows("discrepancies").values())

    def notices(self, kind: str = "") -> list[str]:
        notices = [message.notice for message in self.heard if isinstance(message, Notify)]
        return [notice.kind for notice in notices if notice.kind.startswith(kind)]


class _Several(PortfolioProvider):
    """Each portfolio at an exchange of its own."""

    priority: ClassVar = {"*": 0}

    def __init__(self, exchanges: dict[str, PlayedExchange]) -> None:
        self._exchanges = exchanges

    async def supports_market(self, market: str) -> bool:
        return market == "fake"

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("get_"):
            return object.__getattribute__(self, name)
        exchanges = object.__getattribute__(self, "_exchanges")
        return lambda portfolio, *rest: getattr(exchanges[portfolio.identifier], name)(portfolio, *rest)

    async def get_order(self, *_: Any) -> Any: ...
    async def get_position(self, *_: Any) -> Any: ...
    async def get_balances(self, *_: Any) -> Any: ...
    async def get_positions(self, *_: Any) -> Any: ...
    async def get_open_orders(self, *_: Any) -> Any: ...
    async def get_order_trades(self, *_: Any) -> Any: ...
    async def get_trades(self, *_: Any) -> Any: ...
    async def get_flows(self, *_: Any) -> Any: ...
    async def get_moving(self, *_: Any) -> Any: ...

    def release(self, market_credential: MarketCredential) -> None:
        for exchange in self._exchanges.values():
            exchange.release(market_credential)

    def close(self) -> None:
        return


@asynccontextmanager
async def portfolio_rig(
    path: Path,
    exchanges: PlayedExchange | dict[str, PlayedExchange],
    *,
    keys: dict[str, MarketCredential | OperationalException] | None = None,
    **changes: Any,
) -> AsyncIterator[PortfolioRig]:
    """Running portfolios, `main` or those named. A test that starts again on the same path goes on.

    `keys` are what is kept where they are read, by portfolio: an error is raised.
    """
    played = {"main": exchanges} if isinstance(exchanges, PlayedExchange) else exchanges
    clock, entropy = TrioClock(EPOCH_MS), Entropy(1)
    async with open_system(clock, entropy) as system:
        with Store.open(path, clock=clock, entropy=entropy) as store:
            heard: list[Message] = []
            for exchange in played.values():
                exchange.now_ms = clock.wall_ms
            rig = PortfolioRig(system, store, played, heard)
            rig.keys |= keys or {}
            providers = PortfolioProviders([_Several(played)])
            credentials = MarketCredentialService(replaced=providers.release)
            changes["mode"] = SyncMode(changes.get("mode", "raise"))
            settings = PortfolioSettings(**({"market": "fake", "trading_symbol": "USDT"} | changes))

            def keeper(name: str) -> Callable[[], PortfolioKeeper]:
                def read() -> MarketCredential:
                    kept = rig.keys[name]
                    if isinstance(kept, OperationalException):
                        raise kept
                    return kept

                desk = PortfolioDesk(
                    name=name,
                    settings=settings,
                    providers=providers,
                    credentials=credentials,
                    read_credential=read,
                    store=store,
                    recorder=system.address("root/recorder"),
                    notifier=system.address("root/notifier"),
                )
                return lambda: PortfolioKeeper(desk)

            await system.start(
                SupervisorSpec(
                    "root",
                    children=(
                        patient("recorder", lambda: Recorder(store, RecorderSettings(), InlineHost)),
                        patient("notifier", lambda: Ear(heard)),
                        *(patient(name, keeper(name)) for name in played),
                    ),
                )
            )
            try:
                yield rig
            finally:
                await system.stop(10.0)
