"""Keys of a node that trades at a simulated venue are replaced, revoked and narrowed, and no order is lost or placed twice."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.credentials import KeysSettings, row_of
from actors.messages import Accepted, CheckKeys, ReloadKeys, SubmitOrder
from actors.node import AccountSection, BinanceAccountSection, NodeSettings
from actors.parts import AccountParts, VenueParts
from engine.model import Denial, OrderRequest, OrderState, Side, order_id_of
from engine.settings import load
from engine.simulator import Simulator
from engine.simulator.wire.keychanges import AnyKeyChange
from tests.support.binance_node import ORDERS as BINANCE_ORDERS
from tests.support.binance_node import SYNC as BINANCE_SYNC
from tests.support.binance_node import trading
from tests.support.live_node import ORDERS, SYNC, LiveNode, live_node, section, simulator
from tests.support.programs import answer, client_of, started, stopped, tradenode, until

D = Decimal
KEYS = KeysSettings(retry_min_s=0.2, retry_max_s=1.0, reread_min_s=0.2, reread_max_s=1.0, timeout_s=8.0)
PLACES = {"deribit": ("deribit", "BTC-PERPETUAL", D(20)), "binance": ("binance_usdm", "BTCUSDT", D("0.010"))}


class _Pair(msgspec.Struct):
    """A configuration in small, so that the secrets are read as any configuration reads them."""

    account: dict[str, AccountSection] = {}
    other: dict[str, BinanceAccountSection] = {}


class Rotating:
    """A node at one venue whose pair lies in two files, and the venue's page where keys are made and revoked."""

    def __init__(self, live: LiveNode, sim: Simulator, name: str, directory: Path) -> None:
        self.live = live
        self.sim = sim
        self.name = name
        self.directory = directory
        self.words: list[str] = []  # every secret there ever was
        self.made: list[str] = []  # every key made at the venue

    @property
    def venue(self) -> VenueParts:
        return self.live.node.parts.venues[self.name]

    @property
    def account(self) -> AccountParts:
        return self.venue.accounts[f"{self.name}:main"]

    @property
    def row(self) -> dict[str, Any]:
        assert self.account.keys is not None
        return dict(msgspec.to_builtins(row_of(self.account.keys)))

    def change(self, do: str, **fields: Any) -> dict[str, Any]:
        """On the venue's own page."""
        change = msgspec.convert({"do": do, "venue": PLACES[self.name][0], **fields}, AnyKeyChange)
        face = self.sim.deribit if self.name == "deribit" else self.sim.binance
        return face.change_key(change)

    def keep(self, key: str, secret: str) -> None:
        """Put a pair where the node reads it."""
        self.words.append(secret)
        for name, text in (("id", key), ("secret", secret)):
            path = self.directory / name
            path.unlink(missing_ok=True)
            path.touch(0o600)
            path.write_text(f"{text}\n")

    def make(self, *permissions: str) -> dict[str, Any]:
        """A new pair at the venue, kept in the files."""
        made = self.change("add", permissions=permissions or ("read", "trade"))
        self.keep(made["key"], made["secret"])
        self.made.append(made["key"])
        return made

    async def reload(self, **fields: Any) -> Any:
        assert self.venue.keeper is not None
        (done,) = await self.venue.keeper.call(ReloadKeys((self.account.name,), **fields), timeout_s=20)
        return done

    async def check(self) -> Any:
        assert self.venue.keeper is not None
        (done,) = await self.venue.keeper.call(CheckKeys((self.account.name,)), timeout_s=20)
        return done

    def bid(self) -> float:
        market = self.live.node.parts.market(f"{self.name}:{PLACES[self.name][1]}")
        best = market.book.best_bid() if market else None
        return best[0] if best else 0.0

    async def ask(self) -> Accepted | Denial:
        """For an order that rests far from the market."""
        symbol, amount = PLACES[self.name][1:]
        request = OrderRequest(
            instrument=f"{self.name}:{symbol}",
            side=Side.BUY,
            amount=amount,
            price=D(int(self.bid() * 0.95)),
            good_for_s=60.0,
        )
        return await self.account.orders.call(SubmitOrder(request), timeout_s=5)

    async def place(self) -> str:
        answer = await self.ask()
        assert isinstance(answer, Accepted), answer
        return answer.order_id

    async def resting(self, order_id: str) -> None:
        await self.live.until_state(order_id, OrderState.OPEN)

    def placed(self) -> list[str]:
        """Our orders at the venue, by our id, as often as they are there."""
        if self.name == "deribit":
            labels = [row["label"] for row in self.sim.truth()["orders"].values()]
        else:
            labels = [row["client_id"] for row in self.sim.binance.truth("main")["orders"].values()]
        return sorted(order_id for label in labels if (order_id := order_id_of(label)))

    def kinds(self) -> list[str]:
        """What the journal says of keys."""
        return [entry.kind for entry in self.live.node.parts.store.journal() if entry.kind.startswith("keys.")]

    def leaks(self) -> list[str]:
        """Where in what was written any of the secrets stands."""
        files = [path for path in self.directory.rglob("*") if path.is_file() and path.name not in ("id", "secret")]
        written = {str(path): path.read_bytes() for path in files} | {"log": "".join(self.live.log).encode()}
        return [place for place, text in written.items() for word in self.words if word.encode() in text]


@asynccontextmanager
async def rotating(name: str, directory: Path, *permissions: str) -> AsyncIterator[Rotating]:
    """With a pair that may read and trade, unless something else is said."""
    options = {"binance": ("127.0.0.1", 0), "binance_symbols": ["BTCUSDT"]} if name == "binance" else {}
    async with simulator(**options) as sim:
        keeper = Rotating(None, sim, name, directory)  # type: ignore[arg-type]
        keeper.make(*permissions)
        fields = ("client_id", "client_secret") if name == "deribit" else ("api_key", "api_secret")
        table = "account" if name == "deribit" else "other"
        file = directory / "pair.toml"
        file.write_text(f'[{table}.main]\n{fields[0]} = "file:id"\n{fields[1]} = "file:secret"\n')
        loaded = getattr(load(file, _Pair, {}), table)["main"]
        orders, sync = (ORDERS, SYNC) if name == "deribit" else (BINANCE_ORDERS, BINANCE_SYNC)
        account = msgspec.structs.replace(loaded, orders=orders, sync=sync)
        make = section if name == "deribit" else trading
        venue = msgspec.structs.replace(make(sim, accounts={"main": account}), keys=KEYS)
        async with live_node(directory / "var", NodeSettings(default_venue=name, venues={name: venue})) as live:
            keeper.live = live
            await live.until(lambda: live.running() and keeper.bid() and keeper.row["read"] is not None)
            yield keeper


BOTH = pytest.mark.parametrize("name", ["deribit", "binance"])


@BOTH
async def test_orders_go_on_before_while_and_after_a_pair_is_replaced(name, tmp_path):
    async with rotating(name, tmp_path) as node:
        old, told = node.row["key"], [await node.place()]
        await node.resting(told[0])
        node.make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_place_many, node, told, 20)
            done = await node.reload()
        assert (done.outcome, node.row["key"] == old) == ("replaced", False), done
        node.change("revoke", key=node.made[0])
        told.append(await node.place())
        for order_id in told:
            await node.resting(order_id)
        assert (node.placed(), len(told)) == (sorted(told), 22)
        assert node.kinds() == ["keys.replaced"]
        assert node.leaks() == []


@BOTH
async def test_a_revoked_pair_is_replaced_by_itself_and_what_waited_goes_on(name, tmp_path):
    async with rotating(name, tmp_path) as node:
        before = await node.place()
        await node.resting(before)
        node.change("revoke", key=node.made[0])
        meanwhile = await node.place()  # taken, and kept until somebody lets us in again
        await node.live.until(lambda: "keys.refused" in node.kinds())
        await node.live.until_state(meanwhile, OrderState.WAITING)  # whoever was refused first
        assert node.row["problem"]
        node.make()
        await node.resting(meanwhile)
        after = await node.place()
        await node.resting(after)
        assert node.placed() == sorted([before, meanwhile, after])
        assert set(node.kinds()) == {"keys.refused", "keys.replaced"}
        assert (node.row["problem"], node.leaks()) == ("", [])


@BOTH
async def test_a_pair_of_another_account_and_one_that_is_refused_leave_the_one_in_use(name, tmp_path):
    async with rotating(name, tmp_path) as node:
        first = await node.place()
        await node.resting(first)
        node.keep("somebody", "not a key of this venue")
        assert (await node.reload()).outcome == "refused"
        face = node.sim.deribit if name == "deribit" else node.sim.binance
        face.add_account("neighbour", {"BTC": D(7)} if name == "deribit" else {"USDT": D(7_000)})
        stranger = node.change("add", account="neighbour", permissions=("read", "trade"))
        node.keep(stranger["key"], stranger["secret"])
        done = await node.reload()
        assert (done.outcome, "live orders" in done.text) == ("unfit", True), done
        await node.resting(await node.place())
        assert node.leaks() == []


@BOTH
async def test_a_pair_that_may_not_trade_has_its_orders_refused_by_name_until_it_may(name, tmp_path):
    async with rotating(name, tmp_path, "read") as node:
        await node.live.until(lambda: node.row["trade"] is False)
        answer = await node.ask()
        assert isinstance(answer, Denial) and answer.code == "KEY_CANNOT_TRADE"
        node.change("permissions", key=node.made[0], permissions=("read", "trade", "withdraw"))
        await node.check()
        assert (node.row["trade"], node.row["withdraw"]) == (True, True)
        await node.resting(await node.place())
        await node.live.until(lambda: set(node.kinds()) >= {"keys.no_trade", "keys.withdraw"})


async def _place_many(node: Rotating, told: list[str], count: int) -> None:
    for _ in range(count):
        answer = await node.ask()
        if isinstance(answer, Accepted):
            told.append(answer.order_id)
        await trio.sleep(0.05)


# ── the program ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_running_program_reads_its_keys_again_by_signal_and_by_command(tmp_path):
    """Of the demo, whose keys the simulator handed out: nothing to replace, and the program says so and goes on."""
    directory = tmp_path / "var"
    with started(directory, "--profile", "demo") as process:
        rows = trio.run(_demo_rows, directory)
        assert [row["account"] for row in rows] == ["deribit:main", "binance:main"]
        assert not any(row["problem"] for row in rows)
        process.send_signal(signal.SIGHUP)
        done = tradenode(directory, "--json", "credentials", "reload")
        assert (done.returncode, [row["outcome"] for row in json.loads(done.stdout)]) == (1, ["fixed", "fixed"])
        assert [row["account"] for row in answer(directory, "credentials", "check", "main")] == [
            "deribit:main",
            "binance:main",
        ]
        assert tradenode(directory, "credentials", "check", "nobody").returncode == 1
        found = {row["check"]: row for row in answer(directory, "doctor")}
        assert {row["result"] for row in found.values()} <= {"ok", "warn"}, found
        for venue in ("deribit", "binance"):
            assert {f"{check} {venue}" for check in ("rest", "stream", "clock", "budget")} <= set(found)
            assert found[f"credentials {venue}:main"]["result"] == "ok"
        assert process.poll() is None
        assert stopped(process) == 0


async def _demo_rows(directory: Path) -> Any:
    async with client_of(directory) as client:

        async def look() -> Any:
            return (await client.call("credentials.list", timeout_s=10))["items"]

        return await until(look, lambda rows: len(rows) == 2 and all(row["trade"] for row in rows))
