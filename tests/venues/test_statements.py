"""What an account has done, asked of the simulated venues over loopback sockets: statement lines, an order's fills, what its
key may do. Two readings of one protocol agree, to the last digit."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio

from engine.kernel import Entropy, SystemClock, TrioClock
from engine.model import CashFlow, FlowKind, Instrument
from engine.net import Endpoint, HttpReply, dialing
from engine.simulator import BinanceSettings, Simulator, faults, open_simulator
from engine.simulator import DeribitSettings as Simulated
from engine.simulator.acts import AnyAct
from engine.simulator.orders import Side as SimSide
from engine.simulator.wire.keychanges import AnyKeyChange
from engine.venues.base import BadReply, FillPage, NotAuthorised, OutcomeUnknown, Unavailable, VenueRest
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue
from engine.venues.deribit import DeribitSettings, DeribitVenue
from tests.support.binance_account import Host, refusal, trader
from tests.support.deribit import Keys, rest_against

D = Decimal
ZERO = D(0)
DAY_MS = 86_400_000


class Place:
    """One venue with an account at it, a client of that account, and a hand to meddle with it."""

    def __init__(self, name: str, sim: Simulator, rest: VenueRest) -> None:
        self.name = name
        self.rest = rest
        self.sim = sim
        self.end: Any = sim.deribit if name == "deribit" else sim.binance
        self.symbol = "BTC-PERPETUAL" if name == "deribit" else "BTCUSDT"
        self.currency = "BTC" if name == "deribit" else "USDT"
        self.lot = D(10) if name == "deribit" else D("0.010")
        self.instruments: dict[str, Instrument] = {}
        self.began_ms = self.end.now_ms()

    def act(self, do: str, **fields: Any) -> Any:
        act = msgspec.convert({"venue": self.name, "do": do, **fields}, AnyAct)
        return msgspec.to_builtins(self.end.act(act), builtin_types=(Decimal,))

    def trade(self, side: str, lots: int = 1, **fields: Any) -> Any:
        return self.act("order", symbol=self.symbol, side=side, amount=self.lot * lots, **fields)

    def far(self, side: str = "buy") -> Decimal:
        price = self.end.venue.exchange.markets[self.symbol].book.best_price(SimSide(side))
        return (price * (D("0.99") if side == "buy" else D("1.01"))).quantize(D(1))

    @property
    def balances(self) -> dict[str, Decimal]:
        if self.name == "deribit":
            return dict(self.sim.truth()["balances"])
        return dict(self.end.truth("main")["balances"])

    async def flows(self, since_ms: int | None = None) -> tuple[CashFlow, ...]:
        page = await self.rest.cash_flows(self.began_ms if since_ms is None else since_ms, self.end.now_ms())
        assert page.complete
        return page.flows


@asynccontextmanager
async def place(name: str, seed: int = 3, **changes: Any) -> AsyncIterator[Place]:
    clock = SystemClock()
    async with open_simulator(
        clock,
        Entropy(seed),
        control=None,
        settings=Simulated.plain(),
        binance=("127.0.0.1", 0) if name == "binance_usdm" else None,
        binance_settings=BinanceSettings.plain(),
        binance_symbols=["BTCUSDT"],
    ) as sim:
        if name == "deribit":
            ends = {"http_url": sim.deribit.http_url, "ws_url": sim.deribit.ws_url}
            keys = Keys(sim.deribit.client_id, sim.deribit.client_secret)
            settings = DeribitSettings(**ends, **changes)
            venue: Any = DeribitVenue(name, settings, clock=clock, entropy=Entropy(8), credentials={"main": keys})
        else:
            ends = {"http_url": sim.binance.http_url, "ws_url": sim.binance.ws_url, "spot_url": sim.binance.http_url}
            keys = Keys(sim.binance.api_key, sim.binance.api_secret)
            limits = BinanceUsdmSettings(**ends, **changes)
            venue = BinanceUsdmVenue(name, limits, clock=clock, entropy=Entropy(8), credentials={"main": keys})
        made = Place(name, sim, venue.rest("main"))
        made.instruments = {row.symbol: row for row in await made.rest.instruments()}
        try:
            yield made
        finally:
            await made.rest.close()


both = pytest.mark.parametrize("name", ["deribit", "binance_usdm"])


def sums(flows: tuple[CashFlow, ...]) -> dict[str, Decimal]:
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for flow in flows:
        total[flow.currency] += flow.amount
    return {currency: amount for currency, amount in total.items() if amount}


def change(before: dict[str, Decimal], after: dict[str, Decimal]) -> dict[str, Decimal]:
    return {currency: after[currency] - before[currency] for currency in after if after[currency] != before[currency]}


# ── statements ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@both
@pytest.mark.parametrize("seed", range(4))
async def test_the_lines_of_a_statement_add_up_to_the_change_of_the_balance(name: str, seed: int) -> None:
    dice = Entropy(seed)
    async with place(name, seed) as at:
        before = at.balances
        acts: list[Callable[[], Any]] = [
            lambda: at.act("deposit", currency=at.currency, amount=D(1 + dice.randrange(999)) / 1000),
            lambda: at.act("withdraw", currency=at.currency, amount=D(1 + dice.randrange(99)) / 1000),
            lambda: at.trade("buy", 1 + dice.randrange(300)),
            lambda: at.trade("sell", 1 + dice.randrange(300)),
            lambda: at.act("funding", symbol=at.symbol, rate=D(dice.randrange(200) - 99) / 100_000),
        ]
        for _ in range(25):
            dice.choice(acts)()
        flows = await at.flows()
        assert sums(flows) == change(before, at.balances)
        assert len({flow.key for flow in flows}) == len(flows)
        assert [flow.at_ms for flow in flows] == sorted(flow.at_ms for flow in flows)
        assert all(flow.amount for flow in flows)


@both
async def test_each_line_is_of_its_kind(name: str) -> None:
    async with place(name) as at:
        at.act("deposit", currency=at.currency, amount="2")
        at.act("transfer_out", currency=at.currency, amount="0.5")
        at.act("withdraw", currency=at.currency, amount="0.25")
        trades = at.trade("buy", 10)["trades"]
        at.act("funding", symbol=at.symbol, rate="0.001")
        flows = await at.flows()
        kinds = [flow.kind for flow in flows if flow.kind is not FlowKind.FEE]
        if name == "deribit":
            wanted = [FlowKind.DEPOSIT, FlowKind.TRANSFER_OUT, FlowKind.WITHDRAWAL, FlowKind.SETTLEMENT]
            assert flows[-1].funding < ZERO
            assert flows[-1].balance == at.balances[at.currency]
        else:  # to this venue money only ever comes by transfer
            wanted = [FlowKind.TRANSFER_IN, FlowKind.TRANSFER_OUT, FlowKind.TRANSFER_OUT, FlowKind.FUNDING]
        assert kinds == wanted
        fees = {flow.trade_id: flow for flow in flows if flow.kind is FlowKind.FEE}
        assert {trade_id: -flow.amount for trade_id, flow in fees.items()} == {
            trade["trade_id"]: trade["fee"] for trade in trades
        }
        assert {flow.instrument for flow in fees.values()} == {f"{name}:{at.symbol}"}


async def test_a_profit_taken_at_binance_is_a_line_beside_its_fee() -> None:
    async with place("binance_usdm") as at:
        at.trade("buy", 5)
        at.end.venue.exchange.move_index(at.symbol, at.end.venue.exchange.markets[at.symbol].mark * D("1.01"))
        at.end.venue.exchange.flush()
        before = at.balances[at.currency]
        at.act("close", symbol=at.symbol)
        flows = [flow for flow in await at.flows() if flow.kind is FlowKind.TRADE]
        assert flows
        assert {flow.trade_id for flow in flows} <= {fill["trade_id"] for fill in at.end.truth("main")["fills"]}
        fees = sum((fill["fee"] for fill in at.end.truth("main")["fills"] if fill["side"] == "SELL"), ZERO)
        assert sum((flow.amount for flow in flows), ZERO) - fees == at.balances[at.currency] - before


@both
async def test_a_statement_is_of_the_time_that_is_asked_for(name: str) -> None:
    async with place(name, **({"currencies": ("BTC",)} if name == "deribit" else {})) as at:
        at.act("deposit", currency=at.currency, amount="1")
        first = await at.flows()
        line = first[-1]
        assert (await at.rest.cash_flows(line.at_ms, line.at_ms)).flows == first
        assert (await at.rest.cash_flows(line.at_ms + 1, line.at_ms + DAY_MS)).flows == ()
        assert (await at.rest.cash_flows(at.began_ms - 2 * DAY_MS, at.began_ms - DAY_MS)).flows == ()


async def test_a_log_of_many_pages_is_read_whole() -> None:
    async with place("deribit") as at:
        account = at.end.venue.exchange.account("main")
        for number in range(1, 1_101):
            at.end.venue.exchange.ledger.move(account, "deposit", "ETH", D(number) / 1000, at.end.now_ms())
        flows = [flow for flow in await at.flows() if flow.currency == "ETH"]
        assert len(flows) == 1_100
        assert flows[-1].balance == account.wallet("ETH").balance


async def test_more_income_of_one_millisecond_than_a_page_holds_is_read_whole() -> None:
    async with place("binance_usdm") as at:
        exchange = at.end.venue.exchange
        at_ms = exchange.now_ms
        for number in range(1, 2_301):
            exchange.ledger.move(exchange.account("main"), "deposit", "USDT", D(number) / 1000, at_ms)
        flows = await at.flows()
        assert len(flows) == 2_300
        assert sums(flows) == {"USDT": sum((D(number) / 1000 for number in range(1, 2_301)), ZERO)}


async def test_what_happens_while_a_long_log_is_read_is_not_missed() -> None:
    async with place("deribit") as at:
        at.rest._rpc._budget = _Free()
        ledger = at.end.venue.exchange.ledger
        account, made_ms = at.end.venue.exchange.account("main"), at.end.now_ms() - 5_000

        def pay(times: int, at_ms: int) -> None:
            for number in range(times):
                ledger.move(account, "deposit", "ETH", D(number + 1) / 1000, at_ms)

        pay(7_000, made_ms)
        since_ms, seen, interrupted = made_ms - 60_000, {}, 0
        while True:
            try:
                page = await at.rest.cash_flows(since_ms, at.end.now_ms() + 60_000)
            except Unavailable:
                interrupted += 1
                pay(3, at.end.now_ms())
                continue
            seen |= {flow.key: flow for flow in page.flows if flow.currency == "ETH"}
            if page.complete:
                break
            since_ms = page.flows[-1].at_ms
        assert interrupted
        assert sums(tuple(seen.values())) == {"ETH": account.wallet("ETH").balance}


def spread(began_ms: int, dense_from_ms: int, count: int = 6_000) -> dict[int, int]:
    """When each line was made: one at the beginning, all others close together."""
    return {1: began_ms} | {number: dense_from_ms + number * 7 for number in range(2, count + 1)}


async def read_all(
    rest: VenueRest, since_ms: int, until_ms: int, asked: Callable[[], int] = lambda: 0, later_ms: int = 0
) -> list[CashFlow]:
    """As who asks page after page does it. `asked`: how many questions that took by now."""
    seen: dict[str, CashFlow] = {}
    for _ in range(40):
        before = asked()
        try:
            page = await rest.cash_flows(since_ms, until_ms)
        except Unavailable:
            assert asked() - before == 20  # which come within twenty seconds
            since_ms, until_ms = since_ms + later_ms, until_ms + 1_000
            continue
        seen |= {flow.key: flow for flow in page.flows}
        if page.complete:
            return sorted(seen.values(), key=lambda flow: flow.at_ms)
        assert page.flows[-1].at_ms > since_ms
        since_ms = page.flows[-1].at_ms
    raise AssertionError("no end")


@pytest.mark.parametrize("dense_ms", [100, 3 * DAY_MS, 9 * DAY_MS])
async def test_a_log_too_long_to_be_read_at_once_is_read_on_when_it_is_asked_for_again(dense_ms: int) -> None:
    """Wherever most of it lies; here the newest lines come first, as at the venue."""
    began_ms = 1_790_000_000_000
    times = spread(began_ms, began_ms + dense_ms)
    questions = 0

    async def answer(request: Any) -> HttpReply:
        nonlocal questions
        questions += 1
        params = msgspec.json.decode(request.body)["params"]
        low, high = params["start_timestamp"], params["end_timestamp"]
        newest = params.get("continuation") or len(times)
        wanted = [n for n in range(newest, 0, -1) if low <= times[n] <= high] if params["currency"] == "BTC" else []
        page, rest = wanted[:250], wanted[250:]
        logs = [{"id": n, "type": "deposit", "currency": "BTC", "timestamp": times[n], "change": 1} for n in page]
        body = {"jsonrpc": "2.0", "id": 1, "result": {"logs": logs, "continuation": rest[0] if rest else None}}
        return HttpReply(200, {}, msgspec.json.encode(body))

    rest = rest_against(answer)
    rest._rpc._budget = _Free()  # a page a second otherwise
    flows = await read_all(rest, began_ms, began_ms + 10 * DAY_MS, lambda: questions)
    assert [int(flow.flow_id) for flow in flows] == list(times)
    assert questions <= len(times) / 250 + 10
    flows = await read_all(rest, began_ms, began_ms + 10 * DAY_MS, lambda: questions, later_ms=1)
    assert [int(flow.flow_id) for flow in flows] == list(times)[1:]
    assert questions <= 2 * (len(times) / 250 + 10)


@pytest.mark.parametrize("dense_ms", [100, 20 * DAY_MS, 59 * DAY_MS])
async def test_more_income_than_is_read_at_once_is_read_from_its_beginning(dense_ms: int) -> None:
    now_ms = SystemClock().wall_ms()
    began_ms = now_ms - 60 * DAY_MS
    times = spread(began_ms, began_ms + dense_ms, 30_000)

    def answer(asked: Any) -> Any:
        low, high = int(asked.params["startTime"]), int(asked.params["endTime"])
        line = {"incomeType": "TRANSFER", "income": "1", "asset": "USDT"}
        return [{"time": at_ms, "tranId": n, **line} for n, at_ms in times.items() if low <= at_ms <= high][-1000:]

    rest = trader(Host({"GET /v1/income": answer}), request_timeout_s=120)
    rest._client._host._budget = _Free()
    flows = await read_all(rest, began_ms, now_ms)
    assert [int(flow.flow_id.removeprefix("TRANSFER-")) for flow in flows] == list(times)


async def log_of(*rows: dict[str, Any]) -> tuple[CashFlow, ...]:
    """What a client makes of these lines of Deribit's log."""

    async def answer(request: Any) -> HttpReply:
        currency = msgspec.json.decode(request.body)["params"]["currency"]
        logs = [{"id": number, "timestamp": 100 + number, **row} for number, row in enumerate(rows)]
        mine = [row for row in logs if row["currency"] == currency]
        return HttpReply(200, {}, msgspec.json.encode({"id": 1, "result": {"logs": mine, "continuation": None}}))

    return (await rest_against(answer).cash_flows(0, 10_000)).flows


async def test_a_line_of_an_option_is_its_price_and_its_fee() -> None:
    """Its change is both; what a future's profit does to the balance comes with the settlement."""
    option = {"type": "trade", "currency": "BTC", "change": "-0.0123", "commission": "0.0003", "trade_id": "7"}
    rebate = {"type": "trade", "currency": "ETH", "change": "0.0001", "commission": "-0.0001", "trade_id": "8"}
    flows = await log_of(*({**row, "balance": 5} for row in (option, rebate)))
    assert [(flow.kind, flow.amount, flow.flow_id, flow.trade_id, flow.balance) for flow in flows] == [
        (FlowKind.TRADE, D("-0.0120"), "0", "7", None),
        (FlowKind.FEE, D("-0.0003"), "0-fee", "7", D(5)),
        (FlowKind.FEE, D("0.0001"), "1-fee", "8", D(5)),
    ]


async def test_a_line_of_a_kind_nobody_knows_is_told_by_its_name_and_one_that_changed_nothing_is_not() -> None:
    flows = await log_of(
        {"type": "swap", "currency": "BTC", "change": -0.5, "info": {"to": "ETH"}},
        {"type": "deposit", "currency": "BTC", "change": 0},
        {"type": "settlement", "currency": "BTC", "change": None},
        {
            "type": "settlement",
            "currency": "BTC",
            "change": "1e-8",
            "interest_pl": "-2e-8",
            "total_interest_pl": "-3e-8",
        },
    )
    assert [(flow.kind, flow.text, flow.amount, flow.funding) for flow in flows] == [
        (FlowKind.OTHER, "swap", D("-0.5"), ZERO),
        (FlowKind.SETTLEMENT, "settlement", D("1e-8"), D("-3e-8")),
    ]


@pytest.mark.parametrize("change", ["NaN", "1e400", "Infinity", [], "much"])
async def test_a_line_that_is_no_line_is_a_bad_reply(change: Any) -> None:
    with pytest.raises(BadReply):
        await log_of({"type": "deposit", "currency": "BTC", "change": change})
    now_ms = SystemClock().wall_ms()
    line = {"time": now_ms - 50, "incomeType": "TRANSFER", "income": change, "asset": "USDT", "tranId": 1}
    with pytest.raises(BadReply):
        await trader(Host({"GET /v1/income": [line]})).cash_flows(0, now_ms)


async def test_rebates_and_rewards_at_binance_are_told_by_their_names() -> None:
    now_ms = SystemClock().wall_ms()
    words = {"API_REBATE": FlowKind.OTHER, "INTERNAL_TRANSFER": FlowKind.TRANSFER_OUT, "FUNDING_FEE": FlowKind.FUNDING}
    lines = [
        {"time": now_ms - 50, "incomeType": word, "income": "-1.5", "asset": "BNB", "tranId": "9", "tradeId": ""}
        for word in words
    ]
    flows = (await trader(Host({"GET /v1/income": lines})).cash_flows(now_ms - 1000, now_ms)).flows
    assert {flow.text: (flow.kind, flow.currency, flow.amount) for flow in flows} == {
        word: (kind, "BNB", D("-1.5")) for word, kind in words.items()
    }
    assert len({flow.key for flow in flows}) == len(words)


async def test_the_log_is_asked_for_no_faster_than_the_venue_allows(autojump_clock: trio.testing.MockClock) -> None:
    clock = TrioClock(1_790_000_000_000)
    async with open_simulator(clock, Entropy(1), deribit=None, control=None, settings=Simulated()) as sim:

        async def dial(_: Endpoint) -> trio.abc.Stream:
            return sim.deribit.connect()

        keys = {"main": Keys(sim.deribit.client_id, sim.deribit.client_secret)}
        ends = DeribitSettings(http_url="http://sim/api/v2", ws_url="ws://sim/ws/api/v2")
        with dialing(dial):
            rest = DeribitVenue("deribit", ends, clock=clock, entropy=Entropy(2), credentials=keys).rest("main")
            began_s = trio.current_time()
            for _ in range(8):
                assert (await rest.cash_flows(clock.wall_ms() - 60_000, clock.wall_ms())).complete
            assert trio.current_time() - began_s > 10
            await rest.close()


class _Free:
    async def take(self, *_: Any) -> None:
        """Nothing is paid for."""

    def shut_s(self, *_: Any) -> float:
        return 0.0


# ── an order's fills ───────────────────────────────────────────────────────────────────────────────────────────────────


@both
async def test_the_fills_of_an_order_are_its_own_and_all_of_them(name: str) -> None:
    async with place(name) as at:
        (order,) = at.trade("buy", 6, price=at.far())["orders"]
        (report,) = await at.rest.open_orders()
        instrument = at.instruments[at.symbol]
        assert (await at.rest.fills_of(report, instrument)).fills == ()
        trades = [at.act("fill", order_id=order["order_id"], amount=at.lot * lots)["trades"][0] for lots in (1, 2, 3)]
        at.trade("sell", 2)
        page = await at.rest.fills_of(report, instrument)
        assert page.complete
        assert [(fill.trade_id, fill.amount) for fill in page.fills] == [
            (trade["trade_id"], trade["amount"]) for trade in trades
        ]
        assert {(fill.venue_order_id, fill.order_id) for fill in page.fills} == {(order["order_id"], "")}
        assert (
            await at.rest.fills_of(msgspec.structs.replace(report, venue_order_id=""), instrument)
        ).complete is False


@both
async def test_fills_a_venue_hides_are_missing_until_it_tells_them(name: str) -> None:
    async with place(name) as at:
        (order,) = at.trade("buy", 2, price=at.far())["orders"]
        (report,) = await at.rest.open_orders()
        fault = at.sim.faults.add(faults.HideFills())
        at.act("fill", order_id=order["order_id"])
        assert (await at.rest.fills_of(report, at.instruments[at.symbol])).fills == ()
        at.sim.faults.lift(fault)
        assert len((await at.rest.fills_of(report, at.instruments[at.symbol])).fills) == 1


async def test_fills_of_an_order_deribit_has_forgotten_come_from_its_archive() -> None:
    async with place("deribit") as at:
        (order,) = at.trade("buy", 2, price=at.far())["orders"]
        (report,) = await at.rest.open_orders()
        (trade,) = at.act("fill", order_id=order["order_id"])["trades"]
        at.end.set_clock(31 * 60_000)
        page = await at.rest.fills_of(report, at.instruments[at.symbol])
        assert [fill.trade_id for fill in page.fills] == [trade["trade_id"]]
        at.end.set_clock(DAY_MS)
        for answer in (
            await at.rest.fills_of(report, at.instruments[at.symbol]),
            await at.rest.fills_since(at.began_ms),
        ):
            assert (answer.complete, [fill.trade_id for fill in answer.fills]) == (True, [trade["trade_id"]])


async def test_fills_of_an_order_the_venue_denies_are_not_none() -> None:
    async with place("binance_usdm") as at:
        at.trade("buy", 2, price=at.far())
        (report,) = await at.rest.open_orders()
        at.sim.faults.add(faults.HideOrders(hide_ms=60_000))
        with pytest.raises(OutcomeUnknown):
            await at.rest.fills_of(report, at.instruments[at.symbol])


async def test_a_condition_has_the_fills_of_the_order_it_became() -> None:
    async with place("binance_usdm") as at:
        exchange, instrument = at.end.venue.exchange, at.instruments[at.symbol]
        mark = exchange.markets[at.symbol].mark
        asked = {
            "symbol": at.symbol,
            "side": "BUY",
            "type": "STOP_MARKET",
            "quantity": "0.020",
            "clientAlgoId": "theirs",
        }
        asked |= {"algoType": "CONDITIONAL", "workingType": "MARK_PRICE", "triggerPrice": f"{mark * D('1.01'):.1f}"}
        at.end.venue.call("POST", "/fapi/v1/algoOrder", asked, "main", at.end.now_ms())
        (waits,) = await at.rest.open_orders()
        assert await at.rest.fills_of(waits, instrument) == FillPage((), complete=True)
        exchange.move_index(at.symbol, mark * D("1.03"))
        exchange.flush()
        page = await at.rest.fills_of(waits, instrument)
        assert {fill.trade_id for fill in page.fills} == {fill["trade_id"] for fill in at.end.truth("main")["fills"]}
        assert (sum(fill.amount for fill in page.fills), page.complete) == (D("0.020"), True)


# ── permissions ────────────────────────────────────────────────────────────────────────────────────────────────────────


@both
@pytest.mark.parametrize("given", [["read"], ["read", "trade"], ["read", "trade", "withdraw"]])
async def test_a_key_is_known_by_what_it_may_do(name: str, given: list[str]) -> None:
    async with place(name) as at:
        key = at.end.client_id if name == "deribit" else at.end.api_key
        for _ in range(20):  # more often than a key may have sessions
            assert await at.rest.permissions()
        narrowed = {"venue": name, "do": "permissions", "key": key, "permissions": given}
        at.end.change_key(msgspec.convert(narrowed, AnyKeyChange))
        found = await at.rest.permissions()
        assert (found.read, found.trade, found.withdraw) == (True, "trade" in given, "withdraw" in given)
        assert found.text


@both
async def test_a_key_that_was_revoked_may_nothing(name: str) -> None:
    async with place(name) as at:
        key = at.end.client_id if name == "deribit" else at.end.api_key
        at.end.change_key(msgspec.convert({"venue": name, "do": "revoke", "key": key}, AnyKeyChange))
        with pytest.raises(NotAuthorised):
            await at.rest.permissions()


async def test_where_the_spot_host_does_not_know_a_key_the_futures_host_vouches_for_its_reading() -> None:
    unknown = refusal(-2008, 401)
    config = {"canTrade": True, "canDeposit": True, "canWithdraw": True}
    host = Host({"GET /sapi/v1/account/apiRestrictions": unknown, "GET /v1/accountConfig": config})
    found = await trader(host).permissions()
    assert (found.read, found.trade, found.withdraw) == (True, None, None)
    host.answers["GET /v1/accountConfig"] = refusal(-2015, 401)
    with pytest.raises(NotAuthorised):
        await trader(host).permissions()
