"""Methods that bring accounts in step with their venues, and show what was out of it."""

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors._discrepancies import put_of, settled
from actors.account import in_step
from actors.admin._desk import Accounts, Desk, Limit, Method, Text, ask
from actors.admin._look import DEFAULT_LIMIT, Listing, gather, newest
from actors.messages import GetSyncReport, SyncNow
from actors.parts import AccountParts
from actors.recorder import Record
from engine.model import CashFlow, Discrepancy, ExternalOrder, FlowKind, SyncReport, is_account
from engine.store import Commit
from engine.venues.ccxt import PortfolioOutOfSyncError

SYNC_TIMEOUT_S = 60.0


class Flows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first."""

    account: Text = ""
    currency: Text = ""
    kind: FlowKind | None = None
    limit: Limit = DEFAULT_LIMIT


class Discrepancies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Newest first; without `all` only those a person should look at and nobody has closed."""

    account: Text = ""
    all: bool = False
    limit: Limit = DEFAULT_LIMIT


class Close(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`note`: what was found out, kept with it."""

    discrepancy_id: Text
    note: Text


def chosen(desk: Desk, name: str) -> list[AccountParts]:
    """Raises RpcError naming the accounts there are."""
    found = list(desk.parts.accounts(name))
    if not found:
        raise rpc.refusal_of(desk.parts.account_unknown(name))
    return found


async def sync(desk: Desk, params: Accounts) -> Listing[SyncReport]:
    """All at once. What fails for one is in its report and keeps no other from its own."""
    accounts = chosen(desk, params.account)
    reports: dict[str, SyncReport] = {}

    async def one(account: AccountParts) -> None:
        started_at_ms = desk.parts.clock.wall_ms()
        try:
            reports[account.name] = await ask(account.account, SyncNow(), SYNC_TIMEOUT_S)
        except rpc.RpcError as error:
            ended_at_ms = desk.parts.clock.wall_ms()
            reports[account.name] = SyncReport(
                account=account.name, started_at_ms=started_at_ms, ended_at_ms=ended_at_ms, error=error.message
            )

    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(one, account)
    return Listing([_accepted(reports[account.name]) for account in accounts], more=False)


def _accepted(report: SyncReport) -> SyncReport:
    try:
        return in_step(report)
    except PortfolioOutOfSyncError as error:
        raise rpc.refused(
            "OUT_OF_SYNC", error.market, str(error.local_unallocated), str(error.broker_available)
        ) from error


async def report(desk: Desk, params: Accounts) -> Listing[SyncReport]:
    """Of the last pass; an account that has had none is left out."""
    found = [await ask(account.account, GetSyncReport()) for account in chosen(desk, params.account)]
    return Listing([one for one in found if one is not None], more=False)


async def flows(desk: Desk, params: Flows) -> Listing[CashFlow]:
    def keep(flow: CashFlow) -> bool:
        return (
            is_account(params.account, flow.account)
            and params.currency in ("", flow.currency)
            and params.kind in (None, flow.kind)
        )

    return await gather(newest(desk.parts.store, "cash_flows", "cash_flows_by_time"), keep, params.limit)


async def external(desk: Desk, params: Accounts) -> Listing[ExternalOrder]:
    rows = (order for _, order in desk.parts.store.table("external_orders").iterate())
    return await gather(rows, lambda order: is_account(params.account, order.account), 10_000)


async def discrepancies(desk: Desk, params: Discrepancies) -> Listing[Discrepancy]:
    def keep(one: Discrepancy) -> bool:
        return is_account(params.account, one.account) and (params.all or one.open)

    return await gather(newest(desk.parts.store, "discrepancies", "discrepancies_by_time"), keep, params.limit)


async def close(desk: Desk, params: Close) -> Discrepancy:
    """A person has seen to it."""
    if not params.note.strip():
        raise rpc.refused("NOTE_MISSING", "note", "what was found out", "nothing")
    one = desk.parts.store.table("discrepancies").get(params.discrepancy_id)
    if one is None:
        raise rpc.refused("DISCREPANCY_UNKNOWN", "discrepancy_id", "the id of a stored one", params.discrepancy_id)
    if one.settled_at_ms is not None:
        raise rpc.refused("DISCREPANCY_SETTLED", "discrepancy_id", "one that is open", f"settled: {one.note}")
    closed: Discrepancy = settled(one, now_ms=desk.parts.clock.wall_ms(), note=params.note)
    commit = Commit("discrepancy.closed", (put_of(closed),), note=params.note)
    await ask(desk.parts.recorder, Record((commit,)))
    return closed


METHODS = {
    "account.sync": Method(Accounts, sync),
    "account.report": Method(Accounts, report),
    "account.flows": Method(Flows, flows),
    "orders.external": Method(Accounts, external),
    "discrepancies": Method(Discrepancies, discrepancies),
    "discrepancy.close": Method(Close, close),
}
