"""What is held is what was said last, whoever said it, and who waits for it hears at once whether it is so."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.messages import GetHoldings, Holdings, SyncNow
from engine.model import Balance, CashFlow, FlowKind, Position
from engine.net import Disconnected
from engine.venues.base import Connected, FlowPage
from tests.actors.test_account import account_rig, in_btc, say, watched_rig
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig
from tests.support.private_stream import FOR_EVER

D = Decimal
QUIET: dict[str, Any] = {"sync_every_s": 1e6, "silence_s": 1e6}


def held(amount: int, at_ms: int = EPOCH_MS) -> Position:
    return Position(account=ACCOUNT, instrument="sim:PERP", amount=D(amount), updated_at_ms=at_ms)


async def holdings(rig: Rig) -> Holdings:
    return await rig.system.address("root/account").call(GetHoldings(), timeout_s=5)


def answer_slowly(rig: Rig, positions: tuple[Position, ...], balances: tuple[Balance, ...], wait_s: float) -> None:
    """What was so when the venue was asked is answered much later."""

    async def ask_positions() -> tuple[Position, ...]:
        await trio.sleep(wait_s)
        return positions

    async def ask_balances() -> tuple[Balance, ...]:
        return balances

    rig.venue.positions = ask_positions  # type: ignore[method-assign]
    rig.venue.balances = ask_balances  # type: ignore[method-assign]


async def test_news_heard_while_a_pass_asks_is_not_overwritten_by_its_older_answer(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (Connected(), 20.0, held(70), in_btc("3"), FOR_EVER)
    async with account_rig(tmp_path, monkeypatch, script, **QUIET) as (rig, _):
        await trio.sleep(15)
        answer_slowly(rig, (held(40),), (in_btc("2"),), wait_s=10)
        assert (await rig.system.address("root/account").call(SyncNow(holdings_only=True), timeout_s=60)).whole
        now = await holdings(rig)
        assert [row.amount for row in now.positions] == [70]
        assert [row.balance for row in now.balances] == [3]
        assert (await rig.system.address("root/account").call(SyncNow(), timeout_s=60)).whole
        now = await holdings(rig)
        assert [row.amount for row in now.positions] == [40], "the next pass asked after the news"
        assert [row.balance for row in now.balances] == [2]


async def test_a_position_opened_while_a_pass_asks_is_not_closed_by_its_answer(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, (Connected(), 20.0, held(70), FOR_EVER), **QUIET) as (rig, _):
        await trio.sleep(15)
        answer_slowly(rig, (), (), wait_s=10)
        await rig.system.address("root/account").call(SyncNow(holdings_only=True), timeout_s=60)
        assert [row.amount for row in (await holdings(rig)).positions] == [70]
        await rig.system.address("root/account").call(SyncNow(), timeout_s=60)
        assert [row.amount for row in (await holdings(rig)).positions] == [0]


async def test_a_currency_the_venue_lists_no_more_is_empty(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, (Connected(), FOR_EVER), **QUIET) as (rig, _):
        say(rig, in_btc("1"))
        await rig.system.address("root/account").call(SyncNow(holdings_only=True), timeout_s=60)
        say(rig)
        await rig.system.address("root/account").call(SyncNow(holdings_only=True), timeout_s=60)
        stored = rig.store.table("balances").get(f"{ACCOUNT}|BTC")
        assert stored is not None
        assert (stored.balance, stored.equity) == (0, 0)


async def test_who_waits_for_a_position_hears_at_once_that_it_may_be_another_and_at_once_when_it_is_known_again(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (Connected(), 20.0, Disconnected(1006, "cut"))
    async with watched_rig(tmp_path, monkeypatch, script, "1") as (rig, heard):
        await trio.sleep(10)
        assert heard[-1].in_step
        assert (await holdings(rig)).in_step
        await trio.sleep(10.05)
        assert not (await holdings(rig)).in_step
        before = len(heard)
        with trio.fail_after(3):
            while len(heard) == before or not heard[-1].in_step:
                await trio.sleep(0.01)


async def test_a_withdrawal_the_stream_tells_first_is_no_loss_of_the_day_while_the_statement_is_asked(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (Connected(), 20.0, in_btc("0.4"), FOR_EVER)
    async with watched_rig(tmp_path, monkeypatch, script, "1") as (rig, heard):
        lines: list[CashFlow] = []

        async def cash_flows(since_ms: int, until_ms: int) -> FlowPage:
            await trio.sleep(1)
            return FlowPage(tuple(lines), complete=True)

        rig.venue.cash_flows = cash_flows  # type: ignore[method-assign]
        await trio.sleep(15)
        line = CashFlow(
            account=ACCOUNT,
            flow_id="1",
            kind=FlowKind.WITHDRAWAL,
            currency="BTC",
            amount=D("-0.6"),
            at_ms=EPOCH_MS + 20_000,
        )
        lines.append(line)
        say(rig, in_btc("0.4"))
        seen = len(heard)
        await trio.sleep(20)
        assert {holding.day_pnl["BTC"] for holding in heard[seen:]} == {D(0)}
        assert [row.balance for row in heard[-1].balances] == [D("0.4")]
        assert rig.store.table("cash_flows").count() == 1, "the pass was made for it"


@pytest.mark.parametrize("amount", ["0.6", "0.001"])
async def test_a_deposit_whose_line_is_read_before_its_balance_is_no_loss_of_the_day(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, amount: str
) -> None:
    """It comes between the two questions: for a moment the statement is ahead of what is held."""
    async with watched_rig(tmp_path, monkeypatch, (Connected(), FOR_EVER), "1") as (rig, heard):
        lines: list[CashFlow] = []

        async def cash_flows(since_ms: int, until_ms: int) -> FlowPage:
            if not lines and trio.current_time() > 25:
                line = CashFlow(
                    account=ACCOUNT,
                    flow_id="1",
                    kind=FlowKind.DEPOSIT,
                    currency="BTC",
                    amount=D(amount),
                    at_ms=EPOCH_MS + int(trio.current_time() * 1000),
                )
                lines.append(line)
                say(rig, in_btc(str(1 + D(amount))))
            return FlowPage(tuple(lines), complete=True)

        rig.venue.cash_flows = cash_flows  # type: ignore[method-assign]
        await trio.sleep(20)
        seen = len(heard)
        await trio.sleep(200)
        assert lines != []
        assert {holding.day_pnl["BTC"] for holding in heard[seen:]} == {D(0)}
        assert heard[-1].balances[0].balance == 1 + D(amount)
        say(rig, in_btc("0.9"))
        await trio.sleep(100)
        assert heard[-1].day_pnl == {"BTC": D("-0.1") - D(amount)}
