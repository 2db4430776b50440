"""The control endpoint and the program: faults from outside, and a simulator that starts, serves and stops as a process."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, run

import httpx
import msgspec
import pytest
import trio

from engine.kernel import Entropy, SystemClock
from engine.simulator import DeribitSettings, faults, open_simulator
from engine.simulator.program import main
from tests.support.sim_client import sim_client

PROGRAM = [sys.executable, "-W", "error", "-m", "engine.simulator.program"]
DEADLINE_S = 30


@asynccontextmanager
async def controlled(**options):
    async with (
        open_simulator(SystemClock(), Entropy(1), settings=DeribitSettings.plain(), **options) as sim,
        httpx.AsyncClient(base_url=sim.control_url) as http,
    ):
        yield sim, http


async def test_a_fault_is_put_in_force_listed_and_lifted():
    async with controlled() as (sim, http):
        fault = {"kind": "lose_reply", "method": "private/buy", "count": 2}
        assert (await http.post("/fault", json=fault)).json() == {"id": 1}
        [listed] = (await http.get("/fault")).json()
        assert (listed["id"], listed["left"], listed["struck"]) == (1, 2, 0)
        assert fault.items() <= listed["fault"].items()
        assert (await http.delete("/fault/1")).json() == {"lifted": 1}
        assert (await http.delete("/fault/1")).status_code == 404
        await http.post("/fault", json={"kind": "stall"})
        assert (await http.delete("/fault")).json() == {"lifted": 1}
        assert sim.faults.active() == []


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "dorp"}, "dorp"),
        ({"kind": "drop", "rest": True}, "rest"),
        ({"kind": "delay"}, "delay_s"),
        ({"kind": "delay", "delay_s": "long"}, "delay_s"),
        ({"kind": "stall", "probability": 2}, "probability"),
        ({"kind": "stall", "count": 0}, "count"),
        ({"kind": "garbage_frame", "variant": "odd"}, "variant"),
        ({"kind": "stall", "venue": "kraken"}, "venue"),
        ([], "object"),
    ],
)
async def test_a_fault_nobody_knows_is_refused_by_name(fault, named):
    async with controlled() as (sim, http):
        reply = await http.post("/fault", json=fault)
        assert reply.status_code == 400
        assert named in reply.json()["error"]
        assert sim.faults.active() == []


async def test_the_truth_about_a_symbol_is_that_of_binance():
    async with controlled(binance=("127.0.0.1", 0), binance_symbols=["BTCUSDT"]) as (sim, http):
        truth = (await http.get("/truth?symbol=BTCUSDT&venue=binance_usdm")).json()
        assert list(truth) == ["binance_usdm"]
        assert truth["binance_usdm"]["BTCUSDT"]["symbol"] == "BTCUSDT"
        both = (await http.get("/truth")).json()
        assert (list(both["deribit"]), list(both["binance_usdm"])) == (["main"], ["main"])
        assert (await http.get("/truth?symbol=NOPE")).status_code == 404
        assert (await http.get("/truth?venue=kraken")).status_code == 404
        stats = (await http.get("/stats")).json()
        assert (stats["binance_usdm"]["messages"], stats["deribit"]["sockets"]) == (0, 0)
        reply = (await http.post("/fault", json={"kind": "day_cut", "venue": "binance_usdm"})).json()
        assert (reply, sim.faults.active()) == ({"id": 1}, [])


async def test_the_truth_and_the_figures_can_be_asked_for():
    async with controlled() as (sim, http), sim_client(sim.deribit) as client:
        await client.login(sim.deribit)
        await client.request("private/buy", instrument_name="BTC-PERPETUAL", amount=10, price=82500, label="x")
        truth = (await http.get("/truth")).json()["deribit"]["main"]
        assert [order["label"] for order in truth["orders"].values()] == ["x"]
        assert (await http.get("/truth?account=main")).json()["deribit"]["main"] == truth
        assert (await http.get("/truth?account=nobody")).status_code == 404
        stats = (await http.get("/stats")).json()
        assert (stats["deribit"]["sockets"], stats["faults"]) == (1, {})


async def test_the_clock_can_be_set():
    async with controlled() as (sim, http):
        before = sim.deribit.now_ms()
        reply = (await http.post("/clock", json={"offset_ms": 60_000})).json()
        assert reply["now_ms"] >= before + 60_000
        assert (await http.post("/clock", json={"offset": 1})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("PUT", "/fault", 404), ("POST", "/fault", 400)]
)
async def test_other_requests_are_told_the_routes(method, path, status):
    async with controlled() as (_, http):
        reply = await http.request(method, path)
        assert (reply.status_code, "error" in reply.json()) == (status, True)


async def test_the_board_has_a_limit():
    async with controlled() as (sim, http):
        for _ in range(1000):
            sim.faults.add(faults.Silence(channel="none"))
        assert (await http.post("/fault", json={"kind": "stall"})).status_code == 409


# -- the program


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[Popen[bytes], dict]]:
    with Popen([*PROGRAM, *arguments], stdout=PIPE, stdin=DEVNULL, env=os.environ | environment) as process:
        try:
            assert process.stdout is not None
            yield process, msgspec.json.decode(process.stdout.readline())
        finally:
            process.kill()


def call(place, method):
    key = (place["deribit"]["client_id"], place["deribit"]["client_secret"])
    return httpx.get(f"{place['deribit']['http']}/{method}", auth=key, timeout=DEADLINE_S)


def test_the_program_says_where_it_is_serves_and_stops_when_told():
    with started("--seed", "3") as (process, place):
        assert set(place) == {"deribit", "binance_usdm", "control"}
        assert set(place["deribit"]) == {"ws", "http", "client_id", "client_secret"}
        binance = place["binance_usdm"]
        assert set(binance) == {"http", "ws", "spot_http", "api_key", "api_secret"}
        assert httpx.get(binance["http"] + "/fapi/v1/ping").json() == {}
        assert httpx.get(binance["spot_http"] + "/api/v3/ticker/price?symbol=BTCUSDT").json()["symbol"] == "BTCUSDT"
        assert (len(binance["api_key"]), len(binance["api_secret"])) == (64, 64)
        assert call(place, "private/get_open_orders").json()["result"] == []
        assert httpx.get(place["control"] + "/stats").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_given_credentials_and_addresses_are_used():
    keys = {
        "TRADENODE_SIM_CLIENT_ID": "me",
        "TRADENODE_SIM_CLIENT_SECRET": "secret",
        "TRADENODE_SIM_BINANCE_KEY": "mine",
        "TRADENODE_SIM_BINANCE_SECRET": "hidden",
    }
    with started("--credentials-env", **keys) as (_, place):
        assert (place["deribit"]["client_id"], place["deribit"]["client_secret"]) == ("me", "secret")
        assert (place["binance_usdm"]["api_key"], place["binance_usdm"]["api_secret"]) == ("mine", "hidden")
        for option, venue in (("--deribit", "deribit"), ("--binance", "binance_usdm")):
            taken = [*PROGRAM, option, place[venue]["http"].split("/")[2]]
            refused = run(taken, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            assert (refused.returncode, "in use" in refused.stderr) == (1, True)


def test_half_a_key_is_refused(capsys, monkeypatch):
    for name in ("TRADENODE_SIM_CLIENT_ID", "TRADENODE_SIM_CLIENT_SECRET", "TRADENODE_SIM_BINANCE_KEY"):
        monkeypatch.setenv(name, "x")
    assert main(["--credentials-env"]) == 2
    assert "TRADENODE_SIM_BINANCE_SECRET" in capsys.readouterr().err


def test_as_many_symbols_are_listed_as_were_asked_for():
    with started("--binance-symbols", "40") as (_, place):
        listed = httpx.get(place["binance_usdm"]["http"] + "/fapi/v1/exchangeInfo").json()["symbols"]
        assert len({row["symbol"] for row in listed}) == 40


def test_a_seed_makes_markets_not_secrets():
    with started("--seed", "3") as (_, one), started("--seed", "3") as (_, two):
        assert one["deribit"]["client_secret"] != two["deribit"]["client_secret"]


def test_it_ends_with_the_process_that_started_it():
    command = " ".join([*PROGRAM, "--exit-with-parent"])
    parent = Popen(["/bin/sh", "-c", f"{command} & echo $!; sleep 60"], stdout=PIPE, stdin=DEVNULL)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.stdout.readline()
        parent.kill()
    trio.run(gone, child)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    with trio.fail_after(DEADLINE_S):
        while is_running(pid):
            await trio.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--deribit", "nowhere"], 2, "--deribit: expected HOST:PORT"),
        (["--control", "localhost:99999"], 2, "--control: expected HOST:PORT"),
        (["--control", "0.0.0.0:0"], 2, "--control: expected a loopback address"),
        (["--bar-ms", "0"], 2, "--bar-ms: expected"),
        (["--credentials-env"], 2, "TRADENODE_SIM_CLIENT_ID"),
        (["--binance", "nowhere"], 2, "--binance: expected HOST:PORT"),
        (["--binance-symbols", "0"], 2, "--binance-symbols: expected 1"),
        (["--kraken", "x:1"], 2, "unrecognized arguments"),
        (["--replay", "/nonexistent"], 1, "/nonexistent"),
        (["--replay", __file__], 1, "line 1"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(arguments, code, said, capsys, monkeypatch):
    monkeypatch.delenv("TRADENODE_SIM_CLIENT_ID", raising=False)
    try:
        ended = main(arguments)
    except SystemExit as stopped:  # argparse's way
        ended = stopped.code
    printed = capsys.readouterr()
    assert ended == code
    assert said in printed.err
    assert printed.out == ""
