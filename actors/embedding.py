"""A node inside a program that is not trio's: a background thread runs it, refs reach it.

    with BackgroundNode(settings, directory) as node:
        orders = node.parts.account_for("deribit:BTC-PERPETUAL").orders
        answer = orders.ask(SubmitOrder(request), timeout=10)

Refs are pykka's: `tell` and `ask(…, timeout=…)` work from any thread, so a plain `pykka.ThreadingActor` can drive
the node. What the node says to such an actor (updates of its orders) arrives in its `on_receive`, on its own thread.
Market state is for the loop's thread; ask the node for copies.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import trio

from actors.node import NodeSettings, open_node
from actors.parts import NodeParts

R = TypeVar("R")
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 90.0


class NodeGone(Exception):
    """The node in the background did not start, or has ended; the cause says why."""


class BackgroundNode:
    """Start and stop a node in a thread of its own. One object is one node's life; not to be used from within trio."""

    def __init__(self, settings: NodeSettings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._ready = threading.Event()
        self._stop: Callable[[], None] | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._failure: BaseException | None = None
        self._parts: NodeParts | None = None
        self._thread = threading.Thread(target=self._run, name="tradenode", daemon=True)
        self.exit_code: int | None = None

    def start(self) -> Self:
        """Returns when the whole tree is ready. Raises `NodeGone`."""
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S) or self._parts is None:
            raise NodeGone(f"the node in {self._directory} did not start") from self._failure
        return self

    @property
    def parts(self) -> NodeParts:
        """Who is where. Raises `NodeGone` before `start`."""
        if self._parts is None:
            raise NodeGone("the node is not running") from self._failure
        return self._parts

    def run_on_loop(self, read: Callable[[], R]) -> R:
        """`read()` on the node's thread, between two messages: how another thread reads market state safely."""
        if self._token is None or not self._thread.is_alive():
            raise NodeGone("the node is not running") from self._failure
        try:
            return trio.from_thread.run_sync(read, trio_token=self._token)
        except trio.RunFinishedError as error:
            raise NodeGone("the node has ended") from error

    def stop(self) -> int:
        """Stop in order; the exit code. Raises `NodeGone` if it does not end in time or failed."""
        if self._stop is not None and self._token is not None and self._thread.is_alive():
            with suppress(trio.RunFinishedError):  # it ends by itself just now
                self._token.run_sync_soon(self._stop)
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive() or self.exit_code is None:
            raise NodeGone(f"the node in {self._directory} did not end in order") from self._failure
        return self.exit_code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001 - kept for the caller's thread, which raises it as the cause
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        async with open_node(self._settings, self._directory) as node:
            self._token = trio.lowlevel.current_trio_token()
            self._stop = node.ask_to_stop
            self._parts = node.parts
            self._ready.set()
            code = await node.wait()
        self.exit_code = code
