"""What the doctor finds wrong with venues, clocks, keys and locks, and that nothing holds it up."""

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import trio

from actors.cli import _doctor_node, _doctor_venues, main
from actors.cli._credentials import rows as key_rows
from actors.cli._doctor_keys import rows
from actors.cli._doctor_rows import Row
from actors.cli._doctor_venues import Target, of_settings
from actors.credentials import CredentialRow
from actors.node import AccountSection, BinanceAccountSection, BinanceUsdmSection, DeribitSection, NodeSettings
from engine.kernel import Entropy, SystemClock
from engine.net import PoolUse
from engine.settings import Secret
from engine.simulator.wire.keychanges import AnyKeyChange
from engine.store import Store
from engine.store.lock import DirectoryLock
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.deribit import DeribitSettings
from tests.support.binance_node import trading
from tests.support.live_node import section, simulator
from tests.support.stores import MAP_SIZE


def results(found: list[Row]) -> dict[str, str]:
    return {row.check: row.result for row in found}


def texts(found: list[Row]) -> str:
    return " | ".join(f"{row.check}: {row.found}" for row in found)


class Places:
    """Both venues, and a pair at each that somebody made for a node: it may read and trade."""

    def __init__(self, sim: Any) -> None:
        self.sim = sim
        self.deribit = self._made("deribit", sim.deribit)
        self.binance = self._made("binance_usdm", sim.binance)

    def _made(self, venue: str, face: Any) -> dict[str, Any]:
        return dict(face.change_key(_change(venue, do="add", permissions=("read", "trade"))))

    def allow(self, *permissions: str) -> None:
        self.sim.deribit.change_key(
            _change("deribit", do="permissions", key=self.deribit["key"], permissions=permissions)
        )
        change = _change("binance_usdm", do="permissions", key=self.binance["key"], permissions=permissions)
        self.sim.binance.change_key(change)

    def settings(self, **secrets: str) -> NodeSettings:
        deribit = AccountSection(
            client_id=Secret(self.deribit["key"]), client_secret=Secret(secrets.get("deribit", self.deribit["secret"]))
        )
        binance = BinanceAccountSection(
            api_key=Secret(self.binance["key"]), api_secret=Secret(secrets.get("binance", self.binance["secret"]))
        )
        venues = {
            "deribit": section(self.sim, accounts={"main": deribit}),
            "binance": trading(self.sim, accounts={"main": binance}),
        }
        return NodeSettings(default_venue="deribit", venues=venues)


def _change(venue: str, **fields: Any) -> AnyKeyChange:
    change: AnyKeyChange = msgspec.convert({"venue": venue, **fields}, AnyKeyChange)
    return change


@pytest.fixture
async def places():
    async with simulator(binance=("127.0.0.1", 0), binance_symbols=["BTCUSDT"]) as sim:
        yield Places(sim)


async def test_everything_in_order_is_ok_at_both_venues(places):
    found = await of_settings(places.settings(), False)
    assert set(results(found).values()) == {"ok"}, texts(found)
    checks = ("rest", "clock", "budget", "stream")
    assert list(results(found)) == [
        *(f"{check} deribit" for check in checks),
        "credentials deribit:main",
        "permissions deribit:main",
        *(f"{check} binance" for check in checks),
        "credentials binance:main",
        "permissions binance:main",
    ]
    assert not any(pair["secret"] in texts(found) for pair in (places.deribit, places.binance))


@pytest.mark.parametrize(("offset_ms", "result"), [(1_500, "warn"), (20_000, "fail")])
async def test_a_clock_that_is_wrong_by_half_a_second_is_a_warning_and_by_five_a_failure(places, offset_ms, result):
    for face in (places.sim.deribit, places.sim.binance):
        face.set_clock(offset_ms)
    found = results(await of_settings(places.settings(), False))
    assert {found["clock deribit"], found["clock binance"]} == {result}


async def test_a_pair_the_venue_does_not_accept_is_a_failure(places):
    found = results(await of_settings(places.settings(deribit="wrong", binance="wrong"), False))
    assert {found["credentials deribit:main"], found["credentials binance:main"]} == {"fail"}
    assert (found["rest deribit"], found["rest binance"]) == ("ok", "ok")


@pytest.mark.parametrize(
    ("permissions", "result"), [(("read",), "fail"), (("read", "trade", "withdraw"), "warn"), (("read", "trade"), "ok")]
)
async def test_what_a_pair_may_do_is_a_row(places, permissions, result):
    places.allow(*permissions)
    found = results(await of_settings(places.settings(), False))
    assert {found["permissions deribit:main"], found["permissions binance:main"]} == {result}


async def test_offline_nobody_is_asked_and_keys_are_still_read(places):
    found = await of_settings(places.settings(), True)
    assert set(results(found)) == {
        "venue deribit",
        "venue binance",
        "credentials deribit:main",
        "credentials binance:main",
    }
    assert set(results(found).values()) == {"ok"} and "--offline" in texts(found)


def unreachable(port: int) -> NodeSettings:
    place = f"127.0.0.1:{port}"
    pair = {"client_id": Secret("id"), "client_secret": Secret("secret")}
    return NodeSettings(
        venues={
            "deribit": section_at_port(place, pair),
            "binance": trading_at_port(place),
        }
    )


def section_at_port(place: str, pair: Mapping[str, Secret]) -> Any:
    connection = DeribitSettings(http_url=f"http://{place}/api/v2", ws_url=f"ws://{place}/ws/api/v2")
    return DeribitSection(symbols=("X",), connection=connection, accounts={"main": AccountSection(**pair)})


def trading_at_port(place: str) -> Any:
    connection = BinanceUsdmSettings(http_url=f"http://{place}", ws_url=f"ws://{place}", spot_url=f"http://{place}")
    account = BinanceAccountSection(api_key=Secret("key"), api_secret=Secret("secret"))
    return BinanceUsdmSection(symbols=("X",), connection=connection, accounts={"main": account})


async def test_a_venue_that_cannot_be_reached_is_a_failure():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = results(await of_settings(unreachable(closed.getsockname()[1]), False))
    for venue in ("deribit", "binance"):
        assert (found[f"rest {venue}"], found[f"stream {venue}"]) == ("fail", "fail")
        assert found[f"credentials {venue}:main"] == "warn"  # nobody said that it is wrong


async def test_a_venue_that_takes_connections_and_says_nothing_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(_doctor_venues, "ASK_S", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent, trio.fail_after(5):
        found = await of_settings(unreachable(silent.getsockname()[1]), False)
    assert {row.result for row in found if row.check.startswith(("rest", "stream"))} == {"fail"}
    assert "ok" not in results(found).values()


async def test_a_simulated_venue_without_its_node_is_said_plainly_and_is_no_failure(places):
    settings = msgspec.structs.replace(
        places.settings(), venues={"deribit": section(places.sim, simulated=True, accounts={})}
    )
    (row,) = await of_settings(settings, False)
    assert (row.check, row.result, "only inside a running node" in row.found) == ("venue deribit", "ok", True)


# ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("left", "shut_s", "result"), [(100.0, 0.0, "ok"), (60.0, 0.0, "ok"), (10.0, 0.0, "warn"), (90.0, 30.0, "warn")]
)
def test_little_left_of_a_request_limit_is_a_warning(left, shut_s, result):
    pools = {"weight": PoolUse(left, 100.0, 0, shut_s), "orders": PoolUse(50.0, 50.0, 0, 0.0)}
    row = _doctor_venues._budget(Target("x", None, knows=pools))  # type: ignore[arg-type]
    assert row.result == result


def credential(**changes: Any) -> CredentialRow:
    fields: dict[str, Any] = {"account": "x:main", "key": "ab…", "kept": ("file:a",), "replaceable": True}
    fields |= {"read": True, "trade": True, "withdraw": False, "said": "", "checked_at_ms": 1, "used_at_ms": 1}
    return CredentialRow(
        **fields | {"refused_at_ms": None, "replaced_at_ms": None, "refused": False, "problem": ""} | changes
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["ok", "ok"]),
        ({"trade": False}, ["ok", "fail"]),
        ({"read": False}, ["ok", "fail"]),
        ({"withdraw": True}, ["ok", "warn"]),
        ({"withdraw": True, "kept": ("the simulated venue",)}, ["ok", "ok"]),
        ({"trade": None}, ["ok", "warn"]),
        ({"read": None}, ["warn"]),
        ({"read": None, "refused": True, "problem": "not accepted"}, ["fail"]),
        ({"refused": True, "problem": "not accepted any more"}, ["fail"]),
        ({"read": None, "refused_at_ms": 1}, ["warn"]),
    ],
)
def test_what_a_running_node_knows_of_a_pair_becomes_rows(changes, expected):
    assert [row.result for row in rows(credential(**changes))] == expected


# ── this machine ───────────────────────────────────────────────────────────────────────────────────────────────────────


def doctor(capsys: Any, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = main([*arguments, "doctor", "--json"])
    return code, {row["check"]: row for row in json.loads(capsys.readouterr().out)}


def test_secrets_that_cannot_be_read_are_rows_of_their_accounts(tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text(
        'extends = "deribit-test"\n[venues.deribit.accounts.main]\nclient_id = "file:missing"\nclient_secret = "env:NOT_SET_ANYWHERE"\n'
    )
    code = main(["--dir", str(tmp_path / "var"), "doctor", "--json", "--offline", "--config", str(config)])
    found = [row for row in json.loads(capsys.readouterr().out) if row["check"] == "credentials deribit:main"]
    assert (code, [row["result"] for row in found]) == (1, ["fail", "fail"])
    assert "client_id" in found[0]["found"] and "NOT_SET_ANYWHERE" in found[1]["found"]


def test_keys_of_portfolios_are_read_and_nobody_is_asked(tmp_path, capsys, monkeypatch):
    for name in ("KRAKEN_API_KEY", "KRAKEN_SECRET_KEY"):
        monkeypatch.setenv(name, "do-not-show")
    config = tmp_path / "my.toml"
    portfolio = 'market = "{}"\ntrading_symbol = "EUR"\n'
    config.write_text(
        f"live = true\n[portfolios.there]\n{portfolio.format('kraken')}[portfolios.not_there]\n{portfolio.format('bitstamp')}"
    )
    code = main(["--dir", str(tmp_path / "var"), "doctor", "--json", "--offline", "--config", str(config)])
    out = capsys.readouterr().out
    found = {row["check"]: row["result"] for row in json.loads(out)}
    assert (code, found["credentials portfolio there"], found["credentials portfolio not_there"]) == (1, "ok", "fail")
    assert "do-not-show" not in out


def test_a_lock_says_who_has_the_store(tmp_path, capsys):
    var = tmp_path / "var"
    var.mkdir()
    assert doctor(capsys, "--dir", str(var))[1]["lock"]["result"] == "ok"
    Store.open(var / "store", clock=SystemClock(), entropy=Entropy(1), map_size=MAP_SIZE).close()
    _, found = doctor(capsys, "--dir", str(var))
    assert (found["lock"]["result"], "free" in found["lock"]["found"]) == ("ok", True)
    lock = DirectoryLock(var / "store" / "writer.lock")
    try:
        code, found = doctor(capsys, "--dir", str(var))
        assert (code, found["lock"]["result"]) == (0, "warn")
        assert f"process {os.getpid()}" in found["lock"]["found"]
    finally:
        lock.release()


def test_a_node_that_does_not_answer_is_a_failure_and_holds_nobody_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_doctor_node, "ANSWER_S", 0.3)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "admin.sock"))
        silent.listen()
        code, found = doctor(capsys, "--dir", str(tmp_path))
    assert (code, found["answer"]["result"]) == (1, "fail")


# ── how keys look ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_keys_say_what_is_not_known_and_who_has_to_act():
    shown = key_rows(
        [
            msgspec.to_builtins(credential()),
            msgspec.to_builtins(credential(account="x:other", trade=False, withdraw=None, problem="may not trade")),
        ]
    )
    assert "read, trade, no withdraw" in shown
    assert "read, no trade, withdraw?" in shown and "may not trade" in shown
