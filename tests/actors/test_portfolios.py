"""A portfolio is in step with its exchange, or says why not; nothing is concluded from silence and nothing is told twice."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.portfolios import FollowOrder
from engine.kernel import CallFailed
from engine.model import DiscrepancyKind, OrderState, PortfolioTrade, Severity, Side, SyncKind
from engine.venues.ccxt import (
    CapabilityMissing,
    CredentialError,
    ImproperlyConfigured,
    MarketCredential,
    OperationalException,
    PortfolioOutOfSyncError,
    TooManyRows,
    TransientExchangeError,
)
from tests.support.portfolio_rig import KEYS, PlayedExchange, PortfolioRig, order_of, portfolio_rig

D = Decimal
TRANSIENT = TransientExchangeError("fake", "no answer")


def kinds(rig: PortfolioRig) -> list[DiscrepancyKind]:
    return [one.kind for one in rig.discrepancies]


async def snapshot(rig: PortfolioRig) -> Any:
    tables = (
        "portfolios",
        "portfolio_positions",
        "portfolio_orders",
        "portfolio_trades",
        "cash_flows",
        "discrepancies",
    )
    return {table: rig.rows(table) for table in tables}


# ── sync_unallocated: initialisation (regression of the origin) ───────────────────────────────────────────────────────


async def test_initialisation_takes_the_initial_balance(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000), initial_balance=D(400)) as rig:
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, result.broker_available) == (SyncKind.NOOP, D(400), D(1000))
        portfolio = rig.portfolio
        assert (portfolio.initialized, portfolio.unallocated, portfolio.net_size) == (True, D(400), D(400))
        assert rig.rows("portfolio_positions")["main|USDT|net"].amount == 1000


async def test_initialisation_takes_all_that_is_available_without_one(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000, BTC=2)) as rig:
        result = await rig.functions.sync_unallocated("main")
        assert (result.new_unallocated, rig.portfolio.unallocated) == (D(1000), D(1000))


@pytest.mark.parametrize("totals", [{"USDT": 399}, {}])
async def test_more_initial_balance_than_there_is_is_a_clear_error(
    tmp_path: Path, autojump_clock: object, totals: dict[str, Any]
) -> None:
    """S-40, and with no balance of the currency at all."""
    async with portfolio_rig(tmp_path, PlayedExchange(**totals), initial_balance=D(400)) as rig:
        with pytest.raises(
            OperationalException,
            match=r"initial_balance: expected at most the \S+ USDT available at the exchange, got 400",
        ):
            await rig.functions.sync_unallocated("main")
        assert rig.rows("portfolios") == {}
        assert rig.notices("portfolio.") == ["portfolio.refused"]
        rig.exchange.move(1)
        rig.exchange.totals["USDT"] = D(500)
        assert (await rig.functions.sync_unallocated("main")).new_unallocated == 400


async def test_unallocated_that_the_exchange_has_not_is_a_clear_error(tmp_path: Path, autojump_clock: object) -> None:
    """S-41."""
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.functions.sync_unallocated("main")
        rig.exchange.move(-300)
        with pytest.raises(PortfolioOutOfSyncError) as raised:
            await rig.functions.sync_unallocated("main")
        error = raised.value
        assert (error.market, error.local_unallocated, error.broker_available) == ("fake", D(1000), D(700))
        assert error.delta == -300
        assert rig.portfolio.unallocated == 1000


async def test_no_credential_is_a_clear_error_and_is_not_tried_again_by_itself(
    tmp_path: Path, autojump_clock: object
) -> None:
    """S-38."""
    none = CredentialError("fake", "no market credential: expected FAKE_API_KEY")
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1), keys={"main": none}) as rig:
        with pytest.raises(CredentialError, match="expected FAKE_API_KEY"):
            await rig.functions.sync_unallocated("main")
        before = len(rig.exchange.asked)
        await trio.sleep(3600)
        assert len(rig.exchange.asked) == before
        assert rig.notices("portfolio.") == ["portfolio.stopped"]
        assert (await rig.view()).waits_for_keys


async def test_what_the_exchange_cannot_do_is_a_clear_error(tmp_path: Path, autojump_clock: object) -> None:
    """S-39: without balances nothing is known; without single orders the money still is."""
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange) as rig:
        await rig.sync()
        number = exchange.place()
        await rig.sync()
        exchange.cannot = {"order"}
        exchange.cancel(number)
        assert (await rig.functions.sync_unallocated("main")).new_unallocated == 1000
        with pytest.raises(CapabilityMissing, match="order"):
            await rig.functions.sync_orders("main")
        assert rig.rows("portfolio_orders")[f"main|{number}"].state is OrderState.OPEN
        exchange.cannot = {"balances"}
        with pytest.raises(CapabilityMissing, match="balances"):
            await rig.functions.sync_unallocated("main")


async def test_an_order_that_cannot_be_fetched_fails_the_pass_changes_nothing_and_is_told_when_it_lasts(
    tmp_path: Path, autojump_clock: object
) -> None:
    """S-42."""
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange) as rig:
        number = exchange.place()
        await rig.sync()
        exchange.fill(number)
        exchange.failing = {"order": TRANSIENT}
        before = await snapshot(rig)
        with pytest.raises(TransientExchangeError):
            await rig.functions.sync_orders("main")
        assert await snapshot(rig) == before
        await trio.sleep(300)
        assert rig.notices("portfolio.") == ["portfolio.unreachable"]
        exchange.failing = {}
        await trio.sleep(700)
        assert rig.rows("portfolio_orders")[f"main|{number}"].state is OrderState.FILLED
        assert (await rig.view()).trouble == ""


async def test_no_provider_for_a_market_is_a_clear_error(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(), market="nowhere") as rig:
        with pytest.raises(ImproperlyConfigured, match="expected a provider"):
            await rig.functions.sync_unallocated("main")
        with pytest.raises(ImproperlyConfigured, match="expected one of: main"):
            await rig.functions.sync_unallocated("other")


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_our_own_orders_are_no_loss(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.place(amount=7, price=100)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.broker_available, result.reserved_for_pending_orders) == (
            SyncKind.NOOP,
            D(1000),
            D(700),
        )


async def test_where_open_orders_cannot_be_listed_what_they_hold_is_no_loss(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = PlayedExchange(USDT=1000)
    exchange.cannot = {"open orders"}
    async with portfolio_rig(tmp_path, exchange, mode="halt") as rig:
        await rig.sync()
        exchange.place(amount=7, price=100)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.broker_available, result.new_unallocated) == (SyncKind.NOOP, D(1000), D(1000))
        exchange.move(-50)
        with pytest.raises(PortfolioOutOfSyncError):
            await rig.functions.sync_unallocated("main")


async def test_a_key_that_may_not_read_contracts_is_no_broken_key_while_there_are_none(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Keys of a spot account are refused by the part of the exchange that has contracts."""
    exchange = PlayedExchange(USDT=1000)
    refused = CredentialError("fake", "no permission")
    exchange.failing = {"positions": refused}
    async with portfolio_rig(tmp_path, exchange) as rig:
        assert (await rig.functions.sync_unallocated("main")).new_unallocated == 1000
        exchange.failing = {}
        exchange.contracts["BTC/USDT:USDT"] = D(2)
        await rig.sync()
        exchange.failing = {"positions": refused}
        with pytest.raises(CredentialError):
            await rig.functions.sync_unallocated("main")
        assert rig.rows("portfolio_positions")["main|BTC/USDT:USDT|net"].amount == 2


async def test_a_deposit_is_a_result_and_no_difference(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.move(500)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.delta, result.new_unallocated) == (SyncKind.DEPOSIT, D(500), D(1500))
        assert rig.discrepancies == []
        assert (await rig.functions.sync_unallocated("main")).kind is SyncKind.NOOP


async def test_a_deposit_without_a_line_is_inferred_and_said_so_once(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.move(500, told=False)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.delta, result.new_unallocated) == (SyncKind.DEPOSIT, D(500), D(1500))
        (found,) = rig.discrepancies
        assert found.kind is DiscrepancyKind.BALANCE
        assert "inferred" in found.action
        rig.exchange.tell(500)
        assert (await rig.functions.sync_unallocated("main")).new_unallocated == 1500
        assert len(rig.discrepancies) == 1


async def test_a_withdrawal_is_told_once_and_keeps_the_portfolio_until_a_person_accepts(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000), mode="halt") as rig:
        await rig.sync()
        rig.exchange.move(-300)
        for _ in range(3):
            with pytest.raises(PortfolioOutOfSyncError):
                await rig.functions.sync_portfolio("main")
        await trio.sleep(600)
        assert kinds(rig) == [DiscrepancyKind.WITHDRAWAL]
        assert rig.portfolio.halted
        told = [message.notice for message in rig.heard if message.notice.kind == "sync.withdrawal"]
        assert [notice.severity for notice in told] == [Severity.EMERGENCY]
        report = await rig.functions.sync_portfolio("main", accept=True)
        assert report.results[0].new_unallocated == 700
        assert (rig.portfolio.halted, rig.portfolio.unallocated) == (False, D(700))
        assert rig.discrepancies[0].settled_at_ms is not None
        assert (await rig.functions.sync_unallocated("main")).kind is SyncKind.NOOP
        assert kinds(rig) == [DiscrepancyKind.WITHDRAWAL]


async def test_in_mode_warn_the_exchange_is_followed_and_people_are_told(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000), mode="warn") as rig:
        await rig.sync()
        rig.exchange.move(-300)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.delta, result.within_tolerance) == (SyncKind.WITHDRAWAL, D(-300), False)
        assert rig.portfolio.unallocated == 700
        await trio.sleep(300)
        (found,) = rig.discrepancies
        assert (found.kind, found.review, found.settled_at_ms) == (DiscrepancyKind.WITHDRAWAL, True, None)


async def test_an_allowed_withdrawal_is_a_result(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000), allow_withdrawals=True) as rig:
        await rig.sync()
        rig.exchange.move(-300)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, rig.discrepancies) == (SyncKind.WITHDRAWAL, D(700), [])


async def test_money_that_comes_back_puts_it_in_step_again(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.move(-300, told=False)
        await rig.sync()
        rig.exchange.move(300, told=False)
        assert (await rig.functions.sync_unallocated("main")).kind is SyncKind.NOOP
        assert [one.settled_at_ms is None for one in rig.discrepancies] == [False]
        rig.exchange.move(-300, told=False)
        await rig.sync()
        assert len(rig.discrepancies) == 2


async def test_a_difference_that_is_gone_at_a_second_look_never_was_one(tmp_path: Path, autojump_clock: object) -> None:
    """The exchange lists a deposit a moment after it credits it."""
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.move(500, told=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.sync)
            await trio.sleep(0.5)
            rig.exchange.tell(500)
        assert rig.discrepancies == []
        assert rig.portfolio.unallocated == 1500


class _Busy(PlayedExchange):
    """Something is traded between the question for balances and the one for trades, each time another amount."""

    trading = False
    times = 0

    async def get_trades(self, *args: Any) -> Any:
        if self.trading and self.asked[-1] != "trades":
            self.times += 1
            self.trade("buy", 1, 10 * self.times)
        return await super().get_trades(*args)


async def test_money_that_moves_between_two_questions_of_each_look_is_no_difference(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = _Busy(USDT=1000, BTC=5)
    async with portfolio_rig(tmp_path, exchange, mode="halt", sync_every_s=10_000.0) as rig:
        await rig.sync()
        exchange.trading = True
        exchange.trade("buy", 1, 100)
        synced = await rig.sync()
        assert isinstance(synced.error, TransientExchangeError)
        assert (rig.portfolio.unallocated, rig.portfolio.halted, kinds(rig)) == (D(1000), False, [])
        exchange.trading = False
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, kinds(rig)) == (SyncKind.NOOP, exchange.totals["USDT"], [])


async def test_trades_that_cannot_be_read_to_their_end_are_not_reckoned_with(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange, sync_every_s=10_000.0) as rig:
        await rig.sync()
        number = exchange.place(amount=3, price=100)
        await rig.sync()
        exchange.fill(number)
        exchange.failing = dict.fromkeys(("all trades", "trades"), TooManyRows("fake", "more than 100 pages"))
        before = await snapshot(rig)
        with pytest.raises(TooManyRows):
            await rig.functions.sync_unallocated("main")
        assert await snapshot(rig) == before
        exchange.failing = {"all trades": TooManyRows("fake", "more than 100 pages")}
        assert (await rig.functions.sync_unallocated("main")).new_unallocated == 700


@pytest.mark.parametrize("cannot", [set(), {"all trades"}])
async def test_trades_by_hand_are_known_and_counted(tmp_path: Path, autojump_clock: object, cannot: set[str]) -> None:
    exchange = PlayedExchange(USDT=1000)
    exchange.cannot = cannot
    async with portfolio_rig(tmp_path, exchange) as rig:
        await rig.sync()
        await trio.sleep(1)
        rig.exchange.trade("buy", 3, 100)
        await trio.sleep(1)
        rig.exchange.trade("sell", 1, 150)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated) == (SyncKind.NOOP, D(850))
        portfolio = rig.portfolio
        assert (portfolio.realized, portfolio.total_cost, portfolio.total_revenue) == (D(50), D(300), D(150))
        assert (portfolio.total_trade_volume, portfolio.net_size) == (D(450), D(1050))
        held = rig.rows("portfolio_positions")["main|BTC|net"]
        assert (held.amount, held.cost) == (D(2), D(200))
        assert len(rig.rows("portfolio_trades")) == 2


@pytest.mark.parametrize("behind_s", [-30, 30])
async def test_whatever_the_exchanges_clock_says_a_trade_counts_once(
    tmp_path: Path, autojump_clock: object, behind_s: int
) -> None:
    exchange = PlayedExchange(USDT=1000, BTC=5)
    async with portfolio_rig(tmp_path, exchange, sync_every_s=10_000.0) as rig:
        ours = exchange.now_ms
        exchange.now_ms = lambda: ours() - behind_s * 1000
        exchange.trade("buy", 1, 100)
        first = await rig.functions.sync_unallocated("main")
        assert first.new_unallocated == 900
        exchange.trade("buy", 2, 100)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, rig.discrepancies) == (SyncKind.NOOP, D(700), [])
        assert rig.portfolio.total_cost == 200


async def test_in_and_out_again_between_two_looks_is_no_deposit(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000, BTC=5), sync_every_s=10_000.0) as rig:
        await rig.sync()
        rig.exchange.trade("buy", 1, 100)
        rig.exchange.trade("sell", 1, 120)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, rig.discrepancies) == (SyncKind.NOOP, D(1020), [])


@pytest.mark.parametrize("said", [True, False])
async def test_in_and_out_again_of_a_contract_never_held_is_found_by_the_statement(
    tmp_path: Path, autojump_clock: object, said: bool
) -> None:
    contract, exchange = "BTC/USDT:USDT", PlayedExchange(USDT=1000)
    exchange.cannot = {"all trades"} if said else {"all trades", "moving"}
    async with portfolio_rig(tmp_path, exchange, sync_every_s=10_000.0) as rig:
        await rig.sync()
        for price, side in ((100, Side.BUY), (120, Side.SELL)):
            trade = {
                "trade_id": f"t{price}",
                "external_id": f"o{price}",
                "symbol": contract,
                "at_ms": exchange.now_ms(),
            }
            exchange.trades.append(PortfolioTrade(portfolio_id="main", side=side, price=D(price), amount=D(1), **trade))
        exchange.totals["USDT"] += 20
        exchange.moving = {contract}
        await rig.sync()
        found = [trade.trade_id for trade in rig.rows("portfolio_trades").values()]
        assert sorted(found) == (["t100", "t120"] if said else [])


async def test_without_a_trade_history_orders_say_what_was_paid(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000)
    exchange.cannot = {"trades", "all trades", "order trades"}
    async with portfolio_rig(tmp_path, exchange) as rig:
        number = exchange.place(amount=3, price=100)
        await rig.sync()
        exchange.fill(number, 1)
        assert (await rig.functions.sync_unallocated("main")).kind is SyncKind.NOOP
        exchange.fill(number)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated) == (SyncKind.NOOP, D(700))


async def test_with_contracts_the_mark_is_the_result_of_trading(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.contracts["BTC/USDT:USDT"] = D(-2)
        rig.exchange.totals["USDT"] = D(990)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, rig.discrepancies) == (SyncKind.NOOP, D(990), [])
        assert rig.rows("portfolio_positions")["main|BTC/USDT:USDT|net"].amount == -2
        rig.exchange.contracts.clear()
        rig.exchange.totals["USDT"] = D(1010)
        await rig.sync()
        assert rig.rows("portfolio_positions")["main|BTC/USDT:USDT|net"].amount == 0
        assert rig.portfolio.total_net_gain == 10


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_open_orders_found_there_are_followed_to_their_end(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000, BTC=5)
    async with portfolio_rig(tmp_path, exchange) as rig:
        filled, cancelled = exchange.place("buy", 4, 100), exchange.place("sell", 2, 200)
        assert {order.external_id for order in await rig.functions.sync_orders("main")} == {filled, cancelled}
        assert kinds(rig) == []
        exchange.fill(filled, 1)
        await rig.sync()
        assert rig.rows("portfolio_orders")[f"main|{filled}"].filled_amount == 1
        exchange.fill(filled)
        exchange.cancel(cancelled)
        await rig.sync()
        rows = rig.rows("portfolio_orders")
        assert rows[f"main|{filled}"].state is OrderState.FILLED
        assert rows[f"main|{cancelled}"].state is OrderState.CANCELLED
        assert (await rig.view()).open_orders == ()


async def test_an_order_that_appears_later_is_told_once(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.exchange.place()
        for _ in range(3):
            await rig.sync()
        assert kinds(rig) == [DiscrepancyKind.ORDER_EXTERNAL]
        assert rig.notices("sync.") == ["sync.order.external"]


async def test_an_order_the_exchange_does_not_know_is_never_cancelled_by_its_silence(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange) as rig:
        number = exchange.place(amount=4, price=100)
        await rig.sync()
        exchange.hidden.add(number)
        await rig.sync()
        row = rig.rows("portfolio_orders")[f"main|{number}"]
        assert (row.state, row.missing_since_ms is None) == (OrderState.OPEN, False)
        assert "order trades" in exchange.asked
        assert kinds(rig) == []
        await trio.sleep(900)
        assert kinds(rig) == [DiscrepancyKind.ORDER_MISSING]
        exchange.hidden.clear()
        await rig.sync()
        row = rig.rows("portfolio_orders")[f"main|{number}"]
        assert (row.state, row.missing_since_ms) == (OrderState.OPEN, None)
        assert rig.discrepancies[0].settled_at_ms is not None


async def test_an_order_the_exchange_forgot_is_filled_if_its_trades_say_so(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange) as rig:
        number = exchange.place(amount=4, price=100)
        await rig.sync()
        exchange.fill(number)
        exchange.hidden.add(number)
        result = await rig.functions.sync_unallocated("main")
        assert rig.rows("portfolio_orders")[f"main|{number}"].state is OrderState.FILLED
        assert (result.kind, result.new_unallocated) == (SyncKind.NOOP, D(600))


async def test_what_an_order_on_its_way_wants_is_not_available(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange) as rig:
        await rig.sync()
        on_its_way = order_of("1", amount=D(2), price=D(100), state=OrderState.SUBMITTING)
        await rig.functions.follow_order(on_its_way)
        await rig.functions.follow_order(on_its_way)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.broker_available, result.new_unallocated) == (SyncKind.NOOP, D(800), D(800))
        assert exchange.place(amount=2, price=100) == "1"
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.broker_available, result.new_unallocated) == (SyncKind.NOOP, D(1000), D(1000))
        assert kinds(rig) == []


async def test_an_order_that_was_never_placed_is_given_up_by_who_meant_to(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        meant = order_of("mine", amount=D(2), price=D(100), state=OrderState.SUBMITTING)
        await rig.functions.follow_order(meant)
        assert rig.portfolio.unallocated == 800
        await trio.sleep(900)
        assert kinds(rig) == [DiscrepancyKind.ORDER_MISSING]
        await rig.functions.follow_order(msgspec.structs.replace(meant, state=OrderState.REJECTED))
        assert rig.portfolio.unallocated == 1000
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated) == (SyncKind.NOOP, D(1000))
        assert rig.discrepancies[0].settled_at_ms is not None


async def test_an_order_that_cannot_be_is_refused_and_harms_nobody(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        order = rig.exchange.orders[rig.exchange.place()]
        for wrong in ({"amount": D("NaN")}, {"amount": D(-1)}, {"price": D("Infinity")}, {"external_id": ""}):
            meant = msgspec.structs.replace(order, state=OrderState.SUBMITTING, **wrong)
            with pytest.raises(OperationalException, match="cannot be followed"):
                await rig.functions.follow_order(meant)
            with pytest.raises(CallFailed, match=next(iter(wrong))):
                await rig.refs["main"].call(FollowOrder(meant), timeout_s=5.0)
        assert rig.portfolio.unallocated == 1000
        assert [child.restarts for child in rig.system.tree().children] == [0] * 3


# ── passes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_again_changes_nothing_on_disk(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000, BTC=1)
    async with portfolio_rig(tmp_path, exchange, sync_every_s=10_000.0) as rig:
        exchange.place()
        exchange.trade("sell", "0.5", 100)
        await rig.sync()
        before, seq = await snapshot(rig), rig.store.last_seq
        for _ in range(5):
            await rig.sync()
        assert await snapshot(rig) == before
        assert rig.store.last_seq == seq


async def test_a_pass_is_one_commit(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange, sync_every_s=10_000.0) as rig:
        await rig.sync()
        seq = rig.store.last_seq
        exchange.place()
        exchange.trade()
        exchange.move(50)
        await rig.sync()
        assert rig.store.last_seq == seq + 1


async def test_there_is_one_pass_at_a_time_and_all_who_ask_meanwhile_share_the_next(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = PlayedExchange(USDT=1000)
    exchange.slow_s = 1.0
    async with portfolio_rig(tmp_path, exchange, sync_every_s=10_000.0) as rig:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(rig.functions.sync_unallocated, "main")
        assert exchange.most_busy == 1
        assert exchange.asked.count("balances") <= 2


async def test_a_restart_goes_on_from_what_is_on_disk(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000)
    async with portfolio_rig(tmp_path, exchange, initial_balance=D(600)) as rig:
        number = exchange.place(amount=2)
        await rig.sync()
        before = await snapshot(rig)
        rig.system.kill("root/main")
        await trio.sleep(5)
        await rig.sync()
        assert await snapshot(rig) == before
    exchange.fill(number)
    async with portfolio_rig(tmp_path, exchange, initial_balance=D(600)) as rig:
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.new_unallocated, rig.discrepancies) == (SyncKind.NOOP, D(400), [])
        assert rig.rows("portfolio_orders")[f"main|{number}"].state is OrderState.FILLED


async def test_one_portfolios_trouble_is_no_others(tmp_path: Path, autojump_clock: object) -> None:
    good, broken, keyless = PlayedExchange(USDT=5), PlayedExchange(USDT=5), PlayedExchange(USDT=5)
    broken.failing = {"*": TRANSIENT}
    keys = {"keyless": CredentialError("fake", "none")}
    async with portfolio_rig(tmp_path, {"main": good, "broken": broken, "keyless": keyless}, keys=keys) as rig:
        good.move(1)
        await trio.sleep(400)
        assert rig.portfolio.unallocated == 6
        assert [child.restarts for child in rig.system.tree().children] == [0] * 5
        assert [(await rig.view(name)).trouble != "" for name in rig.refs] == [False, True, True]
        broken.failing = {}
        await trio.sleep(800)
        assert rig.rows("portfolios").keys() == {"main", "broken"}


async def test_refused_keys_are_not_tried_until_they_change_where_they_are_kept(
    tmp_path: Path, autojump_clock: object
) -> None:
    exchange = PlayedExchange(USDT=1000)
    exchange.failing = {"*": CredentialError("fake", "unauthorized")}
    async with portfolio_rig(tmp_path, exchange) as rig:
        await trio.sleep(1)
        asked = len(exchange.asked)
        await trio.sleep(3600)
        assert len(exchange.asked) == asked
        assert rig.notices("portfolio.") == ["portfolio.stopped"]
        with pytest.raises(CredentialError):
            await rig.functions.sync_unallocated("main")
        new = MarketCredential("fake", "new key", "new secret")
        rig.keys["main"] = new
        exchange.failing = {}
        await trio.sleep(120)
        assert rig.portfolio.unallocated == 1000
        assert exchange.credentials[-1] == new
        assert exchange.released == [KEYS]


async def test_keys_that_cannot_be_read_for_a_while_leave_those_in_use(tmp_path: Path, autojump_clock: object) -> None:
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1000)) as rig:
        await rig.sync()
        rig.keys["main"] = CredentialError("fake", "the file is gone")
        assert (await rig.functions.sync_unallocated("main")).kind is SyncKind.NOOP


async def test_a_backtest_asks_no_exchange(tmp_path: Path, autojump_clock: object) -> None:
    keys = {"main": CredentialError("fake", "none")}
    async with portfolio_rig(tmp_path, PlayedExchange(USDT=1), keys=keys, backtest=True, initial_balance=D(900)) as rig:
        assert (await rig.functions.sync_unallocated("main")).new_unallocated == 900
        assert await rig.functions.sync_orders("main") == ()
        await trio.sleep(600)
        assert (rig.exchange.asked, rig.portfolio.unallocated) == ([], D(900))


async def test_another_market_under_the_same_name_is_refused(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000, BTC=1)
    async with portfolio_rig(tmp_path, exchange) as rig:
        await rig.sync()
    async with portfolio_rig(tmp_path, exchange, trading_symbol="BTC") as rig:
        with pytest.raises(ImproperlyConfigured, match="stored under this name"):
            await rig.functions.sync_unallocated("main")


async def test_a_key_that_may_not_read_the_statement_is_no_broken_key(tmp_path: Path, autojump_clock: object) -> None:
    exchange = PlayedExchange(USDT=1000)
    exchange.failing = {"flows": CredentialError("fake", "no permission")}
    async with portfolio_rig(tmp_path, exchange) as rig:
        await rig.sync()
        exchange.move(5)
        result = await rig.functions.sync_unallocated("main")
        assert (result.kind, result.delta) == (SyncKind.DEPOSIT, D(5))
        assert "no statement" in rig.discrepancies[0].action


def test_calls_that_fail_in_the_kernel_are_errors_of_ours() -> None:
    assert not issubclass(CallFailed, OperationalException)
