"""Every change of a balance is explained by the venue's statement, or people hear of it, once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.account import in_step
from actors.messages import GetHoldings, GetOrdersStatus, GetSyncReport, SyncNow, SyncSoon
from engine.model import (
    Balance,
    CashFlow,
    Discrepancy,
    FlowKind,
    GateState,
    OrderState,
    Severity,
    SyncKind,
    SyncMode,
    SyncReport,
)
from engine.venues.base import FlowPage, OutcomeUnknown, VenueError
from engine.venues.ccxt import PortfolioOutOfSyncError
from tests.actors.test_account import account_rig
from tests.support.adversary import AdversarialVenue
from tests.support.order_asks import place
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig
from tests.support.private_stream import HEALTHY

D = Decimal


class Money:
    """An account's wallet at a venue, and its statement: in the place of the toy venue's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, balance: int = 1000) -> None:
        self.balance = D(balance)
        self.free: Decimal | None = None
        self.lines: list[CashFlow] = []
        self.unlisted: list[CashFlow] = []  # booked, and not in the statement yet
        self.trouble: VenueError | None = None
        self.page = 1000
        self.asked: list[tuple[int, int]] = []
        monkeypatch.setattr(AdversarialVenue, "balances", lambda _venue: self.balances())
        monkeypatch.setattr(AdversarialVenue, "cash_flows", lambda _venue, *between: self.cash_flows(*between))

    def book(self, kind: FlowKind, amount: int | str, *, listed: bool = True) -> None:
        """A change of the balance, with its line."""
        self.balance += D(amount)
        number = len(self.lines) + len(self.unlisted)
        line = CashFlow(
            account=ACCOUNT,
            flow_id=f"L{number}",
            kind=kind,
            currency="USD",
            amount=D(amount),
            at_ms=now_ms(),
        )
        (self.lines if listed else self.unlisted).append(line)

    def list_all(self) -> None:
        self.lines += self.unlisted
        self.unlisted = []

    async def balances(self) -> tuple[Balance, ...]:
        free = self.balance if self.free is None else self.free
        return (
            Balance(
                account=ACCOUNT,
                currency="USD",
                balance=self.balance,
                equity=self.balance,
                available=free,
                updated_at_ms=now_ms(),
            ),
        )

    async def cash_flows(self, since_ms: int, until_ms: int) -> FlowPage:
        self.asked.append((since_ms, until_ms))
        if self.trouble is not None:
            raise self.trouble
        found = [line for line in self.lines if since_ms <= line.at_ms <= until_ms]
        return FlowPage(tuple(found[: self.page]), complete=len(found) <= self.page)


@asynccontextmanager
async def banked(path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[tuple[Rig, Money]]:
    """An account in step, with 1000 USD."""
    quiet = {"sync_every_s": 1e6, "silence_s": 1e6} | settings
    money = Money(monkeypatch)
    async with account_rig(path, monkeypatch, HEALTHY, **quiet) as (rig, _):
        await trio.sleep(3)
        report = await sync(rig)
        assert report.whole
        await trio.sleep(5)
        yield rig, money


def now_ms() -> int:
    return EPOCH_MS + int(trio.current_time() * 1000)


async def sync(rig: Rig) -> SyncReport:
    return await rig.system.address("root/account").call(SyncNow(), timeout_s=60)


def found(rig: Rig) -> list[Discrepancy]:
    return [one for _, one in rig.store.table("discrepancies").iterate()]


def told(rig: Rig, kind: str) -> list[Severity]:
    return [notice.severity for notice in rig.notices() if notice.kind == kind]


async def gate(rig: Rig) -> GateState:
    return (await rig.orders.call(GetOrdersStatus(), timeout_s=5)).gate


async def day_pnl(rig: Rig) -> Decimal:
    held = await rig.system.address("root/account").call(GetHoldings(), timeout_s=5)
    return held.day_pnl["USD"]


# ── what is explained ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_trading_did_to_a_balance_is_no_news(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        for kind, amount in ((FlowKind.FEE, "-0.5"), (FlowKind.TRADE, 12), (FlowKind.FUNDING, -3)):
            money.book(kind, amount)
            await trio.sleep(10)
            (result,) = (await sync(rig)).results
            assert (result.kind, result.delta, result.within_tolerance) == (SyncKind.NOOP, 0, True)
        assert [flow.amount for _, flow in rig.store.table("cash_flows").iterate()] == [D("-0.5"), 12, -3]
        assert found(rig) == []


async def test_own_resting_orders_are_no_loss(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L7: an order for 10 at 30 keeps 300 of 1000, so 700 are free, and 1000 is what there is."""
    async with banked(tmp_path, monkeypatch) as (rig, money):
        order_id = await place(rig, amount=D(10), price=D(30))
        await trio.sleep(1)
        assert rig.order(order_id).state is OrderState.OPEN
        money.free = D(700)
        (result,) = (await sync(rig)).results
        assert (result.broker_available, result.reserved_for_pending_orders) == (1000, 300)
        assert (result.delta, result.within_tolerance, result.difference) == (0, True, 0)
        assert await day_pnl(rig) == 0
        assert found(rig) == []


async def test_a_balance_and_a_statement_of_two_moments_are_no_difference(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trade between the two questions is in the second answer alone."""
    async with banked(tmp_path, monkeypatch) as (rig, money):
        asked = money.cash_flows

        async def meanwhile(since_ms: int, until_ms: int) -> FlowPage:
            money.book(FlowKind.TRADE, 7)
            return await asked(since_ms, until_ms)

        money.cash_flows = meanwhile  # type: ignore[method-assign]
        for _ in range(4):
            report = await sync(rig)
            assert report.results[0].within_tolerance
            assert report.unchecked == ""
        assert found(rig) == []


async def test_a_line_that_is_listed_late_is_waited_for_before_anybody_hears(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        money.book(FlowKind.FUNDING, -40, listed=False)

        async def listed_soon() -> None:
            await trio.sleep(0.5)
            money.list_all()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listed_soon)
            report = await sync(rig)
        assert (report.unchecked, report.discrepancies) == ("", ())
        assert report.results[0].within_tolerance


async def test_a_line_counts_once_however_often_it_is_read(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        money.book(FlowKind.DEPOSIT, 500)
        for _ in range(5):
            await sync(rig)
            rig.system.kill("root/account")
            await trio.sleep(3)
        assert told(rig, "account.deposit") == [Severity.INFO]
        assert rig.store.table("cash_flows").count() == 1
        assert found(rig) == []


async def test_a_statement_of_many_pages_is_read_to_its_end(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        money.page = 7
        for _ in range(100):
            money.book(FlowKind.FEE, "-0.01")
            await trio.sleep(0.1)
        (result,) = (await sync(rig)).results
        assert result.within_tolerance
        assert rig.store.table("cash_flows").count() == 100


async def test_passes_that_follow_each_other_soon_read_the_statement_once_unless_somebody_asks(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        await trio.sleep(20)
        asked = len(money.asked)
        for _ in range(8):
            rig.system.address("root/account").tell(SyncSoon("a test"))
            await trio.sleep(1)
        assert len(money.asked) == asked + 1
        for _ in range(3):
            await sync(rig)
        assert len(money.asked) == asked + 4


async def test_a_statement_that_cannot_be_read_holds_up_no_order_and_is_said(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        money.trouble = OutcomeUnknown("503")
        money.book(FlowKind.WITHDRAWAL, -100)
        report = await sync(rig)
        assert report.whole
        assert "503" in report.unchecked
        assert found(rig) == []
        assert (await rig.orders.call(GetOrdersStatus(), timeout_s=5)).synced
        money.trouble = None
        assert [one.kind for one in (await sync(rig)).discrepancies] == ["withdrawal"]


# ── money from outside ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_deposit_is_a_result_a_notice_and_no_profit(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, money):
        money.book(FlowKind.DEPOSIT, 500)
        money.book(FlowKind.TRADE, -20)
        (result,) = (await sync(rig)).results
        assert (result.kind, result.delta, result.within_tolerance) == (SyncKind.DEPOSIT, 500, True)
        assert (result.previous_unallocated, result.new_unallocated) == (1000, 1480)
        assert await day_pnl(rig) == -20
        (again,) = (await sync(rig)).results
        assert (again.kind, again.delta, again.previous_unallocated) == (SyncKind.NOOP, 0, 1480)
        assert told(rig, "account.deposit") == [Severity.INFO]
        assert found(rig) == []


async def test_a_withdrawal_that_is_allowed_is_a_notice_and_no_loss(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch, allow_withdrawals=True, mode=SyncMode.HALT) as (rig, money):
        money.book(FlowKind.WITHDRAWAL, -300)
        report = await sync(rig)
        assert (report.results[0].kind, report.results[0].delta) == (SyncKind.WITHDRAWAL, -300)
        assert report.within_tolerance
        assert await day_pnl(rig) == 0
        assert told(rig, "account.withdrawal") == [Severity.INFO]
        assert found(rig) == []
        assert await gate(rig) is GateState.ACTIVE


@pytest.mark.parametrize("mode", list(SyncMode))
async def test_a_withdrawal_that_is_not_allowed_is_told_once_and_has_the_consequence_of_the_mode(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, mode: SyncMode
) -> None:
    async with banked(tmp_path, monkeypatch, mode=mode) as (rig, money):
        money.book(FlowKind.WITHDRAWAL, -300)
        report = await sync(rig)
        (one,) = report.discrepancies
        assert (one.kind, one.subject, one.review) == ("withdrawal", "USD", True)
        assert (report.results[0].within_tolerance, report.results[0].difference) == (False, -300)
        assert await gate(rig) is (GateState.HALTED if mode is SyncMode.HALT else GateState.ACTIVE)
        if mode is SyncMode.RAISE:
            with pytest.raises(PortfolioOutOfSyncError) as raised:
                in_step(report)
            assert (raised.value.local_unallocated, raised.value.broker_available, raised.value.delta) == (
                1000,
                700,
                -300,
            )
        else:
            assert in_step(report) is report
        rig.system.kill("root/account")
        await trio.sleep(5)
        assert in_step(await sync(rig)).discrepancies == ()
        assert told(rig, "sync.withdrawal") == [Severity.EMERGENCY]


async def test_what_moved_before_the_account_was_first_looked_at_is_history(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    money = Money(monkeypatch)
    line = CashFlow(
        account=ACCOUNT, flow_id="0", kind=FlowKind.WITHDRAWAL, currency="USD", amount=D(-300), at_ms=EPOCH_MS - 60_000
    )
    money.lines.append(line)
    async with account_rig(tmp_path, monkeypatch, HEALTHY, silence_s=1e6) as (rig, _):
        report = await sync(rig)
        assert (report.results[0].kind, found(rig)) == (SyncKind.NOOP, [])
        assert rig.store.table("cash_flows").count() == 1


# ── what nothing explains ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", list(SyncMode))
async def test_a_balance_nothing_explains_is_told_once_and_is_the_beginning_of_what_comes(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, mode: SyncMode
) -> None:
    async with banked(tmp_path, monkeypatch, mode=mode) as (rig, money):
        money.balance -= 7
        money.book(FlowKind.FEE, -1)
        report = await sync(rig)
        (one,) = report.discrepancies
        assert (one.kind, one.subject, one.expected, one.got) == ("balance", "USD", "999", "992")
        assert report.results[0].difference == -7
        assert await gate(rig) is (GateState.HALTED if mode is SyncMode.HALT else GateState.ACTIVE)
        if mode is SyncMode.RAISE:
            with pytest.raises(PortfolioOutOfSyncError):
                in_step(report)
        await trio.sleep(10)
        money.book(FlowKind.FEE, -1)
        for _ in range(2):
            later = await sync(rig)
            assert (later.within_tolerance, later.discrepancies) == (True, ())
            rig.system.kill("root/account")
            await trio.sleep(5)
        assert told(rig, "sync.balance") == [Severity.ERROR]


async def test_within_its_tolerance_a_balance_may_differ(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch, tolerance={"USD": D(5)}) as (rig, money):
        money.balance -= 5
        assert (await sync(rig)).discrepancies == ()
        money.balance -= 6
        assert len((await sync(rig)).discrepancies) == 1


async def test_what_the_last_pass_found_can_be_read(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with banked(tmp_path, monkeypatch) as (rig, _):
        report = await sync(rig)
        assert await rig.system.address("root/account").call(GetSyncReport(), timeout_s=5) == report
