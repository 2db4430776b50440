"""The admin actor: the node's command core on a unix socket.

The socket is in the node's directory, mode 0600, and the kernel says who is on the other side: only the node's own user
and root are served. One line is one JSON-RPC message (`actors._jsonrpc`); the table of methods is the whole interface,
and the command line and the gateway are its clients.

A bug in one method must not close the connections of all clients, nor park the one face through which a person can stop
the trading. So what a method raises by mistake is logged with its traceback and answered as an internal error, and the
actor goes on.
"""

import os
from collections.abc import Callable
from typing import Annotated

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors import _unix
from actors.admin import (
    _act,
    _credentials,
    _data,
    _health,
    _look,
    _operate,
    _orders,
    _panic,
    _portfolios,
    _positions,
    _sync,
)
from actors.admin._connection import Connection
from actors.admin._desk import Desk, Method, NodeControl, answer_for
from actors.admin._hub import Hub, Subscribe, Unsubscribe
from actors.messages import MarketChanged, Notify, notice_by
from actors.parts import NodeParts
from actors.recorder import Committed, Observe, StoreUsage
from actors.trading import AdvancedOrderError, as_answer
from engine.kernel import Actor, ChildSpec, KernelError, Message, OnExhausted, Overflow, on
from engine.model import Severity
from engine.store import StoreError

METHODS: dict[str, Method] = {
    **_look.METHODS,
    **_data.METHODS,
    **_act.METHODS,
    **_orders.METHODS,
    **_panic.METHODS,
    **_portfolios.METHODS,
    **_positions.METHODS,
    **_operate.METHODS,
    **_sync.METHODS,
    **_credentials.METHODS,
    **_health.METHODS,
}
NAMES = (*METHODS, "subscribe", "unsubscribe")

SOCKET = "admin.sock"
LOOK_S = 1.0
WATCH_AGAIN_S = 5.0
ROOT_UID = 0


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the admin socket. A client that had caught up is let go `max_lag` journal entries behind."""

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 64
    write_deadline_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 10.0
    max_lag: Annotated[int, msgspec.Meta(ge=1)] = 10_000


class LookAtFeeds(Message, frozen=True):
    """Time to see which feeds changed."""

    overflow = Overflow.CONFLATE


class WatchAgain(Message, frozen=True):
    """Time to repeat to the feeds what is wanted of them."""

    overflow = Overflow.CONFLATE


class Admin(Actor):
    """See the module's page."""

    mailbox_capacity = 10_000

    def __init__(self, parts: NodeParts, control: NodeControl, settings: AdminSettings) -> None:
        super().__init__()
        self._desk = Desk(parts, control)
        self._settings = settings
        self._path = parts.directory / SOCKET
        self._hub = Hub(parts, self.ctx.self_ref, settings.max_lag)
        self._connections = 0
        self._listener: trio.SocketListener | None = None

    async def on_start(self) -> None:
        """Listen. Raises SocketInUse if another process does."""
        listener = self._listener = await _unix.listen(self._path)
        self._desk.parts.recorder.tell(Observe(self.ctx.self_ref))
        self.every(LOOK_S, LookAtFeeds())
        self.every(WATCH_AGAIN_S, WatchAgain())
        self.spawn(trio.serve_listeners, self._connected, [listener], name="socket")

    async def on_stop(self) -> None:
        """Take the socket file away: who comes next finds no node instead of a dead one."""
        if self._listener is not None:
            self._path.unlink(missing_ok=True)

    # ── news ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Committed)
    def committed(self, message: Committed) -> None:
        self._hub.committed()

    @on(StoreUsage)
    def store_usage(self, message: StoreUsage) -> None:
        """How full the store is concerns people before it concerns orders."""
        severity = Severity.WARNING if message.alarm else Severity.INFO
        if message.gate_closed:
            severity = Severity.EMERGENCY
        text = f"the store is {message.usage.fraction:.0%} full; make room or move it to a larger disk"
        self._desk.parts.notifier.tell(Notify(notice_by(self.ctx, severity, "store.usage", text)))

    @on(MarketChanged)
    def market_changed(self, message: MarketChanged) -> None:
        self._hub.market_changed(message.instrument, message.applied)

    @on(LookAtFeeds)
    def look_at_feeds(self, message: LookAtFeeds) -> None:
        self._hub.look_at_feeds()

    @on(WatchAgain)
    def watch_again(self, message: WatchAgain) -> None:
        self._hub.watch_feeds(again=True)

    # ── connections ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _connected(self, stream: trio.SocketStream) -> None:
        async with stream:
            refusal = self._refusal(_unix.peer(stream).uid)
            if refusal is not None:
                await _say(stream, refusal)
                return
            self._connections += 1
            try:
                await Connection(stream, self._serve, self._settings.write_deadline_s).run()
            finally:
                self._connections -= 1

    def _refusal(self, uid: int) -> rpc.RpcError | None:
        if uid not in (os.geteuid(), ROOT_UID):
            self.log.warning("admin: refused user {}", uid)
            return rpc.refused("NOT_ALLOWED", "uid", f"the node's own user {os.geteuid()}", str(uid))
        if self._connections >= self._settings.max_connections:
            limit = self._settings.max_connections
            return rpc.refused("TOO_MANY", "connections", f"at most {limit}", "one more")
        return None

    async def _serve(self, connection: Connection, call: rpc.Call) -> bytes:
        try:
            result = await self._run(connection, call)
            return rpc.encode_result(call.id, result)
        except rpc.RpcError as error:
            return rpc.encode_error(call.id, error)
        except AdvancedOrderError as error:
            return rpc.encode_error(call.id, as_answer(error))
        except KernelError as error:
            return rpc.encode_error(call.id, answer_for(error))
        except StoreError as error:
            data = rpc.ErrorData("store", "", error.expected, error.found)
            return rpc.encode_error(call.id, rpc.RpcError(rpc.Code.STORE, str(error), data))
        except Exception as error:  # noqa: BLE001 - see the module's page
            self.log.opt(exception=error).error("admin: {} failed", call.method)
            data = rpc.ErrorData("internal", "", "", type(error).__name__)
            return rpc.encode_error(call.id, rpc.RpcError(rpc.Code.INTERNAL, f"internal error: {error}", data))

    async def _run(self, connection: Connection, call: rpc.Call) -> object:
        if call.method == "subscribe":
            return self._hub.subscribe(connection, rpc.parse_params(call.params, Subscribe))
        if call.method == "unsubscribe":
            return self._hub.unsubscribe(connection, rpc.parse_params(call.params, Unsubscribe))
        method = METHODS.get(call.method)
        if method is None:
            raise rpc.unknown_method(call.method, NAMES)
        return await method.run(self._desk, rpc.parse_params(call.params, method.params))


async def _say(stream: trio.SocketStream, error: rpc.RpcError) -> None:
    """One error, then the end. A client that does not take it at once goes without."""
    with trio.move_on_after(1.0):
        try:
            await stream.send_all(rpc.encode_error(None, error))
        except trio.BrokenResourceError:
            return


def admin_spec(parts: Callable[[], NodeParts], control: NodeControl, settings: AdminSettings) -> ChildSpec:
    """The admin actor's place in the tree, under `root/services`. `parts` is asked at each start."""
    return ChildSpec("admin", lambda: Admin(parts(), control, settings), on_exhausted=OnExhausted.PARK, park_s=5.0)
