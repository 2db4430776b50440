"""The node of the accounts drill: a forked process that lives until it is killed or told to stop, asked over its admin socket.

Everything is real: the node, its store, sockets to the venues, SIGKILL. Only its wall clock runs ahead of the machine's by as
much as the venue's does, so that ten minutes can pass for both at once.
"""

import ctypes
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import trio
from loguru import logger

from actors._jsonrpc import RpcError
from actors.account import AccountSettings
from actors.client import NodeGone, NotRunning, open_client
from actors.node import NodeSettings, open_node
from actors.orders import OrdersSettings
from engine.kernel import Entropy, SystemClock
from engine.model import NonImmediateOrders, OrderLimits, ProofRules, SelfTrade
from engine.settings.secret import resolve
from scripts.drills._accounts_ground import GROUNDS, Ground
from scripts.drills._accounts_portfolio import NAME, adapt_ccxt, settings_of
from scripts.drills._both_venues import KEY, SECRET, Keys, Place

__all__ = ["DEAF_AFTER_S", "Life", "NodeProcess", "Sabotage"]

FORK = multiprocessing.get_context("fork")
ASK_S = 20.0
START_S = 30.0
END_S = 30.0
LOOK_S = 0.05
DEAF_AFTER_S = 1.0
NS_PER_MS = 1_000_000
LOG_FORMAT = "{time:HH:mm:ss.SSS} {level} {extra} {message} {exception}"

Sabotage = Callable[[], None]


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is told. `outside`: it has a portfolio, too. `sabotage` makes a design of it that must fail."""

    directory: Path
    ground: int
    place: Place
    seed: int
    outside: bool
    sabotage: Sabotage | None = None

    @property
    def venue(self) -> Ground:
        return GROUNDS[self.ground]


class KeyFiles:
    """Where the node's key pair is kept, so that it can be replaced while the node runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, key: str, secret: str) -> None:
        for name, text in (("key", key), ("secret", secret)):
            path = self._directory / name
            path.touch(mode=0o600)
            path.write_text(text)

    def read(self) -> Keys:
        key, secret = (resolve(f"file:{name}", {}, self._directory) for name in ("key", "secret"))
        return key, secret


class ShiftedClock(SystemClock):
    """Ahead of the machine by what another process says."""

    def __init__(self, ahead_ms: Any) -> None:
        super().__init__()
        self._ahead_ms = ahead_ms

    def _true_wall_ns(self) -> int:
        ahead_ms: int = self._ahead_ms.value
        return super()._true_wall_ns() + ahead_ms * NS_PER_MS


class NodeProcess:
    """One store and the processes that live on it, one after another."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._ahead_ms: Any = FORK.Value(ctypes.c_longlong, 0, lock=False)
        self._process: Any = None
        self._keys = KeyFiles(life.directory)
        self._keys.write(KEY, SECRET)

    @property
    def store(self) -> Path:
        return self._life.directory / "store"

    def start(self) -> None:
        """Returns when it answers at its socket."""
        self._process = FORK.Process(target=_live, args=(self._life, self._ahead_ms), daemon=True)
        self._process.start()
        trio.run(self._until_it_answers)

    def set_clock(self, ahead_ms: int) -> None:
        self._ahead_ms.value = ahead_ms

    def replace_keys(self, key: str, secret: str) -> None:
        """As people do: put the new pair where the old one was, and say so. A pair that shows holdings nobody here knows of is not
        trusted, so that a pass goes before. Raises RuntimeError if the pair is not used then.
        """
        self._keys.write(key, secret)
        self.ask("account.sync")
        (done,) = self.ask("credentials.reload")["items"]
        if done["outcome"] != "replaced":
            raise RuntimeError(f"the keys were not replaced: {done}")

    def kill(self) -> None:
        self._process.kill()
        self._process.join(END_S)

    def stop(self) -> bool:
        """Ask it to end; whether it did, and in order."""
        self.ask("stop")
        self._process.join(END_S)
        return bool(self._process.exitcode == 0)

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def ask(self, method: str, **params: Any) -> Any:
        """The admin socket's answer. Raises RpcError, and NodeGone or NotRunning when nobody answers."""
        return trio.run(self._ask, method, params)

    async def _ask(self, method: str, params: dict[str, Any]) -> Any:
        async with open_client(self._life.directory / "admin.sock") as client:
            return await client.call(method, params, timeout_s=ASK_S)

    async def _until_it_answers(self) -> None:
        with trio.fail_after(START_S):
            while True:
                try:
                    await self._ask("status", {})
                except (NotRunning, NodeGone, RpcError):
                    if not self._process.is_alive():
                        raise NodeGone(f"it ended with exit code {self._process.exitcode}") from None
                    await trio.sleep(LOOK_S)
                else:
                    return


def _live(life: Life, ahead_ms: Any) -> None:
    """The body of the forked process."""
    logger.remove()
    logger.add(life.directory / "node.log", level="INFO", format=LOG_FORMAT)
    if life.sabotage is not None:
        life.sabotage()
    clock = ShiftedClock(ahead_ms)
    adapt_ccxt(clock.wall_ms)
    sys.exit(trio.run(_live_on, life, clock))


async def _live_on(life: Life, clock: ShiftedClock) -> int:
    async with open_node(_settings(life), life.directory, clock=clock, entropy=Entropy(life.seed)) as node:
        return await node.wait()


def _settings(life: Life) -> NodeSettings:
    orders = OrdersSettings(
        limits=OrderLimits(max_price_deviation=None, self_trade=SelfTrade.ALLOW),
        non_immediate_orders=NonImmediateOrders(retry_delay_s=0.1),
        ttl_s=1.0,
        request_timeout_s=2.0,
        tick_s=0.05,
        retry_s=0.1,
        retry_max_s=0.5,
        ask_s=0.1,
        proof=ProofRules(margin_s=0.6, repeat_s=0.3),
    )
    sync = AccountSettings(
        sync_every_s=3600.0,  # a pass happens when there is a reason for one, or when it is asked for
        sync_retry_s=0.1,
        query_timeout_s=3.0,
        ping_every_s=0.3,
        pong_timeout_s=1.0,
        deaf_after_s=DEAF_AFTER_S,
        backoff_min_s=0.05,
        backoff_max_s=0.3,
    )
    keys = KeyFiles(life.directory).read()
    section = life.venue.section(life.place, orders, sync, keys, ())
    return NodeSettings(
        name="accounts",
        seed=life.seed,
        default_venue=life.venue.name,
        venues={life.venue.name: section},
        portfolios={NAME: settings_of(life.venue, life.place, keys)} if life.outside else {},
    )
