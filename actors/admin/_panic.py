"""The panic ladder: pause, cancel-all, flatten, stop. Each rung contains the one before; the gate it leaves is stored and outlives a restart.

Every account is tried, whatever happens to the others, and each within its own deadline. A rung that did not reach
every account is an error that says which, after all were tried: a half-stopped node must not look like a stopped one.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Method, Nothing, Text, ask
from actors.admin._look import full_name
from actors.messages import (
    Accepted,
    CancelAll,
    GetHoldings,
    GetOrdersStatus,
    SetGate,
    SubmitOrder,
    SyncNow,
)
from actors.parts import AccountParts
from engine.model import GateState, OrderRequest, OrderType, Position, Side, floor_to, split_instrument

R = TypeVar("R")

SYNC_TIMEOUT_S = 15.0
POLL_S = 0.1
CLOSE_WITHIN_S = (
    600.0  # a venue that is down is closed at when it is back; it clips what is more than the position by then
)
MAX_PIECES = 100  # of one position


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`reducing` lets reduce-only orders pass; otherwise only cancels do."""

    reducing: bool = False
    reason: Text = "paused by hand"


class CancelMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without a filter the gate is closed first, so that nothing takes the place of what is cancelled."""

    instrument: Text = ""
    strategy: Text = ""
    reason: Text = "cancel-all by hand"


class Flatten(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`timeout_s`: how long to wait for the venue to confirm the cancels before positions are closed anyway."""

    timeout_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 20.0


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cancel` cancels resting orders; otherwise they stay."""

    cancel: bool = False


class Gates(msgspec.Struct, frozen=True):
    """The gate of each account after the command."""

    gates: dict[str, GateState]


class Cancelled(msgspec.Struct, frozen=True):
    """How many cancels are on their way, by account."""

    cancelled: dict[str, int]


class Closing(msgspec.Struct, frozen=True):
    """`left` orders were still live when positions were closed; `synced` False: positions are of the last pass before."""

    cancelled: int
    left: int
    synced: bool
    orders: list[str]
    denied: list[str]


class Flattened(msgspec.Struct, frozen=True):
    accounts: dict[str, Closing]


class Stopping(msgspec.Struct, frozen=True):
    stopping: bool


async def everywhere(desk: Desk, act: Callable[[AccountParts], Awaitable[R]]) -> dict[str, R]:
    """Do it for every account at once. Raises RpcError naming those it failed for, after all are done."""
    done: dict[str, R] = {}
    failed: dict[str, rpc.RpcError] = {}

    async def one(account: AccountParts) -> None:
        try:
            done[account.name] = await act(account)
        except rpc.RpcError as error:
            failed[account.name] = error

    async with trio.open_nursery() as nursery:
        for account in desk.parts.accounts():
            nursery.start_soon(one, account)
    if failed:
        numbers = [error.number for error in failed.values()]
        number = (
            rpc.Code.TIMED_OUT if rpc.Code.TIMED_OUT in numbers else numbers[0]
        )  # what may have been done weighs most
        text = "; ".join(f"{name}: {error.message}" for name, error in failed.items())
        data = rpc.ErrorData("incomplete", "account", "every account", f"done for: {', '.join(done) or 'none'}")
        raise rpc.RpcError(number, f"not done for {text}", data)
    return done


async def set_gates(desk: Desk, state: GateState, reason: str) -> dict[str, GateState]:
    return await everywhere(desk, lambda account: ask(account.orders, SetGate(state, reason)))


async def pause(desk: Desk, params: Pause) -> Gates:
    return Gates(await set_gates(desk, GateState.REDUCING if params.reducing else GateState.HALTED, params.reason))


async def resume(desk: Desk, _: Nothing) -> Gates:
    return Gates(await set_gates(desk, GateState.ACTIVE, "resumed by hand"))


async def cancel_all(desk: Desk, params: CancelMany) -> Cancelled:
    request = CancelAll(full_name(desk.parts, params.instrument), params.strategy, params.reason)
    selective = bool(params.instrument or params.strategy)

    async def one(account: AccountParts) -> int:
        if not selective:
            await ask(account.orders, SetGate(GateState.HALTED, params.reason))
        return await ask(account.orders, request)

    return Cancelled(await everywhere(desk, one))


async def flatten(desk: Desk, params: Flatten) -> Flattened:
    return Flattened(await everywhere(desk, lambda account: _flatten(desk, account, params.timeout_s)))


async def _flatten(desk: Desk, account: AccountParts, timeout_s: float) -> Closing:
    """Cancel, wait until nothing is live, look what is held, close it."""
    await ask(account.orders, SetGate(GateState.REDUCING, "flatten"))
    cancelled = await ask(account.orders, CancelAll(reason="flatten"))
    left = await _until_cancelled(account, timeout_s)
    synced = await _synced(account)
    holdings = await ask(account.account, GetHoldings())
    orders: list[str] = []
    denied: list[str] = []
    for position in holdings.positions:
        for request in closing_orders(position, _most_at_market(desk, account, position.instrument)):
            outcome = await ask(account.orders, SubmitOrder(request))
            if isinstance(outcome, Accepted):
                orders.append(outcome.order_id)
            else:
                denied.append(f"{position.instrument}: {outcome.code}: {outcome.message}")
    return Closing(cancelled, left, synced, orders, denied)


def closing_orders(position: Position, most: Decimal | None) -> list[OrderRequest]:
    """Reduce-only market orders for the whole of a position, of at most `most` each."""
    left = abs(position.amount)
    orders: list[OrderRequest] = []
    while left > 0 and len(orders) < MAX_PIECES:
        piece = left if most is None else min(left, most)
        left -= piece
        orders.append(
            OrderRequest(
                instrument=position.instrument,
                side=Side.SELL if position.amount > 0 else Side.BUY,
                amount=piece,
                order_type=OrderType.MARKET,
                reduce_only=True,
                account=position.account,
                good_for_s=CLOSE_WITHIN_S,
            )
        )
    return orders


def _most_at_market(desk: Desk, account: AccountParts, name: str) -> Decimal | None:
    """What the venue takes in one market order, in whole lots; None where it does not say."""
    venue = desk.parts.venues[account.name.partition(":")[0]]
    instrument = venue.state.instruments.get(split_instrument(name, venue.name)[1])
    if instrument is None or instrument.max_market_amount is None:
        return None
    return floor_to(instrument.max_market_amount, instrument.lot_size) or None


async def _until_cancelled(account: AccountParts, timeout_s: float) -> int:
    """How many orders are still live when none is, or when the time is up."""
    deadline_s = trio.current_time() + timeout_s
    while True:
        now = await ask(account.orders, GetOrdersStatus())
        live = now.waiting + now.submitting + now.open + now.unknown
        if live == 0 or trio.current_time() >= deadline_s:
            return live
        await trio.sleep(POLL_S)


async def _synced(account: AccountParts) -> bool:
    """Whether positions could be read again just now. If not, those of the last pass must do: holding still is worse."""
    try:
        return (await ask(account.account, SyncNow(holdings_only=True), SYNC_TIMEOUT_S)).whole
    except rpc.RpcError:
        return False


async def stop(desk: Desk, params: Stop) -> Stopping:
    desk.control.stop(params.cancel)
    return Stopping(stopping=True)


METHODS = {
    "pause": Method(Pause, pause),
    "resume": Method(Nothing, resume),
    "cancel-all": Method(CancelMany, cancel_all),
    "flatten": Method(Flatten, flatten),
    "stop": Method(Stop, stop),
}
