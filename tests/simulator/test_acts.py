"""What people do by hand at both venues: money that comes and goes, orders, closings, fills by a passer-by, funding."""

from contextlib import suppress
from decimal import Decimal
from typing import Any, get_args

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import Entropy, SystemClock
from engine.simulator import DeribitSettings, open_simulator
from engine.simulator.acts import ActRefused, AnyAct
from engine.simulator.orders import Side
from tests.support.binance_trader import SYMBOL, Trader
from tests.support.sim_client import sim_client
from tests.support.sim_deribit import PERP, START_MS, Desk, open_desk, rpc_error
from tests.support.sim_venue import sim_in_memory

D = Decimal
EXACT = D("1e-12")
KINDS: tuple[Any, ...] = get_args(AnyAct)
DOINGS = [kind.__struct_config__.tag for kind in KINDS]


class Bench:
    """One venue's account under test, whichever venue it is."""

    def __init__(self, name: str, seed: int = 1) -> None:
        self.name = name
        if name == "deribit":
            desk, _ = open_desk(seed)
            self.venue, self.exchange, self.hand = desk.venue, desk.venue.exchange, desk.venue.hand
            self.account, self.symbol, self.currency, self.lot = "ann", PERP, "BTC", D(10)
        else:
            trader = Trader(seed=seed, symbols=(SYMBOL,))
            self.venue, self.exchange, self.hand = trader.venue, trader.exchange, trader.side.hand
            self.account, self.symbol, self.currency, self.lot = "main", SYMBOL, "USDT", D("0.010")

    def act(self, do: str, **fields: Any) -> Any:
        given = {"venue": self.name, "account": self.account, "do": do, **fields}
        return self.hand.do(msgspec.convert(given, AnyAct))

    def refused(self, do: str, **fields: Any) -> str:
        with pytest.raises(ActRefused) as error:
            self.act(do, **fields)
        return str(error.value)

    @property
    def owner(self):
        return self.exchange.account(self.account)

    @property
    def held(self) -> Decimal:
        """Cash, as this venue counts it."""
        wallet = self.owner.wallet(self.currency)
        return wallet.balance + (wallet.session_profit if self.name == "binance_usdm" else 0)

    @property
    def position(self) -> Decimal:
        return self.owner.position(self.symbol).size

    def resting(self, lots: int = 5) -> dict[str, Any]:
        """A bid well below the market."""
        best = self.exchange.markets[self.symbol].book.best_price(Side.BUY)
        price = (best * D("0.99")).quantize(D(1))
        (order,) = self.act("order", symbol=self.symbol, side="buy", amount=self.lot * lots, price=price)["orders"]
        return order

    def conserved(self) -> bool:
        ledger = self.exchange.ledger
        return all(abs(ledger.total(currency) - ledger.deposited[currency]) < EXACT for currency in ledger.deposited)


BENCHES: dict[str, Bench] = {}  # that are not put back in order after use


@pytest.fixture(params=["deribit", "binance_usdm"])
def bench(request) -> Bench:
    return Bench(request.param)


def scoped(venue: Any, scope: str) -> Desk:
    """A caller whose key may do no more."""
    desk = Desk(venue)
    desk.scopes = frozenset({scope})
    return desk


# -- money


@pytest.mark.parametrize(("do", "sign", "kind"), [
    ("deposit", 1, "deposit"), ("withdraw", -1, "withdrawal"), ("transfer_in", 1, "transfer"), ("transfer_out", -1, "transfer"),
])  # fmt: skip
def test_money_that_comes_or_goes_changes_the_balance_by_as_much(bench, do, sign, kind):
    before = bench.held
    done = bench.act(do, currency=bench.currency, amount="0.25")
    assert bench.held - before == sign * D("0.25")
    (line,) = done["money"]
    assert (line["kind"], line["amount"], line["balance"]) == (kind, sign * D("0.25"), bench.held)
    assert (done["orders"], done["trades"]) == ([], [])
    assert bench.conserved()


def test_no_more_leaves_than_is_free(bench):
    before = bench.held
    assert "free" in bench.refused("withdraw", currency=bench.currency, amount="10000000")
    assert bench.held == before


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_an_amount_of_money_is_above_zero(bench, amount):
    assert "amount" in bench.refused("deposit", currency=bench.currency, amount=amount)


def test_a_currency_nobody_has_is_refused(bench):
    assert "currency" in bench.refused("deposit", currency="XRP", amount="1")


# -- orders


def test_an_order_by_hand_trades_like_any_other(bench):
    done = bench.act("order", symbol=bench.symbol, side="buy", amount=bench.lot * 3)
    assert bench.position == bench.lot * 3
    assert sum(trade["amount"] for trade in done["trades"]) == bench.lot * 3
    (order,) = done["orders"]
    assert (order["state"], order["filled"]) == ("filled", bench.lot * 3)
    assert {trade["order_id"] for trade in done["trades"]} == {order["order_id"]}
    assert bench.conserved()


def test_an_order_by_hand_rests_until_it_is_cancelled_by_hand(bench):
    order = bench.resting()
    assert order["state"] == "open"
    (gone,) = bench.act("cancel", order_id=order["order_id"])["orders"]
    assert (gone["order_id"], gone["state"]) == (order["order_id"], "cancelled")
    assert "not open" in bench.refused("cancel", order_id=order["order_id"])


def test_a_close_by_hand_leaves_nothing(bench):
    bench.act("order", symbol=bench.symbol, side="sell", amount=bench.lot * 2)
    done = bench.act("close", symbol=bench.symbol)
    assert bench.position == 0
    assert {trade["side"] for trade in done["trades"]} == {"buy"}
    assert "no position" in bench.refused("close", symbol=bench.symbol)
    assert bench.conserved()


def test_what_the_venue_would_refuse_is_refused_by_hand_as_well(bench):
    bench.refused("order", symbol=bench.symbol, side="buy", amount=bench.lot / 3)
    bench.refused("order", symbol=bench.symbol, side="buy", amount=bench.lot, type="limit")
    bench.refused("order", symbol=bench.symbol, side="sell", amount=bench.lot, reduce_only=True)
    assert not bench.owner.live


def test_a_close_by_hand_closes_both_ways_where_both_are_held():
    trader = Trader(symbols=(SYMBOL,))
    trader.call("POST", "positionSide/dual", dualSidePosition="true")

    def act(do: str, **fields: Any) -> Any:
        return trader.side.hand.do(
            msgspec.convert({"venue": "binance_usdm", "do": do, "symbol": SYMBOL, **fields}, AnyAct)
        )

    act("order", side="buy", amount="0.03", position_side="LONG")
    act("order", side="sell", amount="0.02", position_side="SHORT")
    assert trader.truth["positions"] == {f"{SYMBOL}#LONG": D("0.03"), f"{SYMBOL}#SHORT": D("-0.02")}
    with pytest.raises(ActRefused):
        act("order", side="buy", amount="0.03")
    assert len(act("close")["orders"]) == 2
    assert trader.truth["positions"] == {}


def test_a_condition_of_binance_is_cancelled_by_hand_by_its_own_number():
    trader = Trader(symbols=(SYMBOL,))
    algo = trader.algo("SELL", "STOP_MARKET", triggerPrice=trader.at("0.9"))
    act = {"venue": "binance_usdm", "do": "cancel", "order_id": algo["algoId"]}
    trader.side.hand.do(msgspec.convert(act, AnyAct))
    assert [row["status"] for row in trader.truth["algos"].values()] == ["CANCELED"]


# -- fills by somebody in the market


def test_a_passer_by_takes_a_part_and_then_the_rest_of_an_order_far_from_the_market(bench):
    order = bench.resting(5)
    (trade,) = bench.act("fill", order_id=order["order_id"], amount=bench.lot * 2)["trades"]
    assert (trade["amount"], trade["price"], trade["side"]) == (bench.lot * 2, order["price"], "buy")
    assert (bench.position, bench.owner.orders[order["order_id"]].state.value) == (bench.lot * 2, "open")
    done = bench.act("fill", order_id=order["order_id"])
    assert (bench.position, done["orders"][0]["state"]) == (bench.lot * 5, "filled")
    assert not bench.owner.live
    assert bench.owner.exposure(bench.symbol).buys == 0
    assert bench.conserved()


def test_a_passer_by_takes_no_more_than_there_is(bench):
    order = bench.resting(2)
    bench.refused("fill", order_id=order["order_id"], amount=bench.lot * 3)
    bench.refused("fill", order_id=order["order_id"], amount=bench.lot / 3)
    bench.refused("fill", order_id="1")
    assert bench.position == 0


# -- funding


def test_funding_is_paid_by_the_long_side_at_once(bench):
    bench.act("order", symbol=bench.symbol, side="buy", amount=bench.lot * 100)
    before, entry = bench.held, bench.owner.position(bench.symbol).size
    (line,) = bench.act("funding", symbol=bench.symbol, rate="0.001")["money"]
    assert bench.held - before == line["amount"]
    assert line["amount"] < 0
    assert bench.owner.position(bench.symbol).size == entry
    assert bench.conserved()


# -- all together


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["deribit", "binance_usdm"]),
    acts=st.lists(st.integers(0, 7), max_size=30),
    seed=st.integers(1, 3),
)
def test_whatever_is_done_by_hand_money_is_conserved_and_statements_add_up(name, acts, seed):
    bench = Bench(name, seed)
    start, lines = bench.held, bench.owner.log_count
    for step, kind in enumerate(acts):
        side = ("buy", "sell")[step % 2]
        if kind == 0:
            bench.act("deposit", currency=bench.currency, amount=f"0.0{step + 1}")
        elif kind == 1:
            bench.act("withdraw", currency=bench.currency, amount="0.001")
        elif kind in (2, 3):
            bench.act("order", symbol=bench.symbol, side=side, amount=bench.lot * (step + 1))
        elif kind == 4:
            order = bench.resting(3)
            bench.act("fill", order_id=order["order_id"], amount=bench.lot)
            bench.act("cancel", order_id=order["order_id"])
        elif kind == 5 and bench.position:
            bench.act("close", symbol=bench.symbol)
        elif kind == 6:
            bench.act("funding", symbol=bench.symbol, rate="0.00037")
        else:
            bench.venue.advance(bench.exchange.now_ms + 700)
    assert bench.conserved()
    new = [entry for entry in bench.owner.log if entry.entry_id > lines and entry.currency == bench.currency]
    earned = sum((entry.change for entry in new), D(0))
    if name == "binance_usdm":
        earned += sum((entry.cashflow for entry in new if entry.fill is not None), D(0))
    assert bench.held - start == earned


figures = st.sampled_from(["NaN", "-0", "1e400", "1e-400", "Infinity", "1e15", "-5", "0.00000001"]) | st.decimals().map(
    str
)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["deribit", "binance_usdm"]),
    do=st.sampled_from(DOINGS),
    one=figures,
    two=figures,
    text=st.text(max_size=30),
)
def test_nobody_breaks_a_venue_by_hand(name, do, one, two, text):
    bench = BENCHES.setdefault(name, Bench(name))
    given = {"venue": name, "account": bench.account, "do": do, "symbol": bench.symbol, "currency": bench.currency}
    given |= {"amount": one, "price": two, "rate": two, "side": "buy", "order_id": text, "label": text}
    for fewer in (given, given | {"symbol": text, "currency": text}):
        known = {field for kind in KINDS if kind.__struct_config__.tag == do for field in kind.__struct_fields__}
        try:
            act = msgspec.convert({key: value for key, value in fewer.items() if key in (*known, "do")}, AnyAct)
        except msgspec.ValidationError:
            continue
        with suppress(ActRefused):
            bench.hand.do(act)
    assert bench.conserved()


def test_the_same_acts_come_out_the_same(bench):
    def life() -> Any:
        one = Bench(bench.name, 5)
        order = one.resting()
        one.venue.advance(one.exchange.now_ms + 400)
        return [
            one.act("order", symbol=one.symbol, side="sell", amount=one.lot * 40),
            one.act("fill", order_id=order["order_id"], amount=one.lot),
            one.act("close", symbol=one.symbol),
        ]

    assert life() == life()


# -- what streams are told


def test_money_at_binance_is_told_by_its_reason():
    trader = Trader()
    for do, reason, change in (("deposit", "DEPOSIT", D("12.5")), ("withdraw", "WITHDRAW", D("-12.5"))):
        trader.told()
        trader.side.hand.do(
            msgspec.convert({"venue": "binance_usdm", "do": do, "currency": "USDT", "amount": "12.5"}, AnyAct)
        )
        (event,) = trader.told()
        (row,) = event["a"]["B"]
        assert (event["e"], event["a"]["m"], event["a"]["P"]) == ("ACCOUNT_UPDATE", reason, [])
        assert (row["a"], D(row["bc"]), D(row["wb"])) == ("USDT", change, trader.wallet)


def test_a_deposit_at_deribit_shows_in_the_portfolio_channel_and_in_the_log():
    desk, inbox = open_desk()
    desk.subscribe("user.portfolio.any")
    act = {"venue": "deribit", "account": "ann", "do": "deposit", "currency": "ETH", "amount": 2}
    desk.venue.hand.do(msgspec.convert(act, AnyAct))
    desk.run(2)
    portfolio = [data for data in inbox.of("user.portfolio.any") if data["currency"] == "ETH"]
    assert portfolio[-1]["balance"] == desk.venue.exchange.account("ann").wallet("ETH").balance
    window = {"start_timestamp": START_MS - 10_000, "end_timestamp": START_MS + 60_000}
    newest = desk("private/get_transaction_log", currency="ETH", **window)["logs"][0]
    assert (newest["type"], newest["change"]) == ("deposit", 2)


# -- over the control endpoint


async def test_acts_are_done_and_refused_over_the_control_endpoint():
    async with (
        open_simulator(
            SystemClock(),
            Entropy(1),
            settings=DeribitSettings.plain(),
            binance=("127.0.0.1", 0),
            binance_symbols=[SYMBOL],
        ) as sim,
        httpx.AsyncClient(base_url=sim.control_url) as http,
    ):
        for venue, currency, symbol in (("deribit", "BTC", PERP), ("binance_usdm", "USDT", SYMBOL)):
            act = {"venue": venue, "do": "deposit", "currency": currency, "amount": "1.5"}
            done = (await http.post("/act", json=act)).json()
            assert (done["do"], done["account"], done["money"][0]["amount"]) == ("deposit", "main", "1.5")
            amount = "10" if venue == "deribit" else "0.01"
            order = {"venue": venue, "do": "order", "symbol": symbol, "side": "buy", "amount": amount, "label": "mine"}
            done = (await http.post("/act", json=order)).json()
            assert [row["label"] for row in done["orders"]] == ["mine"]
            truth = (await http.get(f"/truth?venue={venue}&account=main")).json()[venue]["main"]
            assert {fill["trade_id"] for fill in truth["fills"]} == {trade["trade_id"] for trade in done["trades"]}
            assert (await http.post("/act", json=act | {"amount": "-1"})).status_code == 409
            assert (await http.post("/act", json=act | {"account": "nobody"})).status_code == 404
            assert (await http.post("/act", json=act | {"do": "steal"})).status_code == 400
            assert (await http.post("/act", json=act | {"sum": 1})).status_code == 400
        assert (await http.post("/act", json={**act, "venue": "kraken"})).status_code == 400


async def test_a_socket_hears_of_an_order_by_hand(autojump_clock):
    async with sim_in_memory() as sim, sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        await client.request("private/subscribe", channels=["user.changes.any.any.raw"])
        act = {"venue": "deribit", "do": "order", "symbol": PERP, "side": "buy", "amount": 10}
        done = sim.deribit.act(msgspec.convert(act, AnyAct))
        data = await client.data("user.changes.any.any.raw")
        assert [trade["trade_id"] for trade in data["trades"]] == [trade["trade_id"] for trade in done["trades"]]


@pytest.mark.parametrize(
    ("do", "method"),
    [("deposit", "get_deposits"), ("withdraw", "get_withdrawals"), ("transfer_in", "get_transfers")],
)
def test_deribit_lists_money_that_came_and_went_newest_first_and_page_by_page(do, method):
    bench = Bench("deribit")
    desk = scoped(bench.venue, "wallet:read")
    before = desk(f"private/{method}", currency="BTC")["count"]
    for number in range(1, 6):
        bench.act(do, currency="BTC", amount=f"0.0{number}")
    pages = [desk(f"private/{method}", currency="BTC", count=2, offset=offset) for offset in (0, 2, 4)]
    assert {page["count"] for page in pages} == {before + 5}
    listed = [row["amount"] for page in pages for row in page["data"]][:5]
    assert listed == [D("0.05"), D("0.04"), D("0.03"), D("0.02"), D("0.01")]
    assert desk(f"private/{method}", currency="ETH", offset=1)["data"] == []
    with rpc_error(13021):
        scoped(bench.venue, "trade:read_write")(f"private/{method}", currency="BTC")
