"""The command line: what it prints, and the exit code of every kind of end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import trio

from actors import _unix
from actors.cli import main
from actors.cli._output import cell, table
from actors.messages import SubmitOrder
from engine.model import OrderState
from engine.store import Commit, Put
from tests.support.faces import faces, position
from tests.support.stores import notice, open_store, order, put

ROOT = Path(__file__).resolve().parents[2]


async def tradenode(rig, *arguments):
    """Run a command beside the loop the node runs on."""
    return await trio.to_thread.run_sync(main, ["--dir", str(rig.parts.directory), *arguments])


@pytest.fixture
def said(capsys):
    """What was printed since the last look: (stdout, stderr)."""
    return lambda: tuple(capsys.readouterr())


def process(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "actors.cli", *arguments], env=environment, **options)


# ── asking a node ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_status_as_json_is_one_line_with_the_documented_keys(tmp_path, said):
    async with faces(tmp_path) as rig:
        assert await tradenode(rig, "status", "--json") == 0
        out, err = said()
        assert (out.count("\n"), err) == (1, "")
        assert list(json.loads(out)) == [
            "node",
            "profile",
            "mode",
            "gate",
            "uptime_s",
            "actors",
            "restarts",
            "feeds",
            "history",
            "orders",
            "fills",
            "positions",
            "dead_letters",
            "discrepancies",
            "metrics",
        ]


LOOKS = (
    "status",
    "tree",
    "feeds",
    "positions",
    "balances",
    "fills",
    "orders",
    "notices",
    "strategy list",
    "config show",
)


async def test_every_look_works_as_text_and_as_json_on_an_empty_and_on_a_full_node(tmp_path, said):
    async with faces(tmp_path) as rig:
        for full in (False, True):
            for command in LOOKS:
                assert (command, await tradenode(rig, *command.split())) == (command, 0)
                text, err = said()
                assert (command, bool(text.strip()), err) == (command, True, "")
                assert (command, await tradenode(rig, "--json", *command.split())) == (command, 0)
                json.loads(said()[0])
            if not full:
                await rig.store_orders(1, state=OrderState.OPEN)
                held = position("-0.0000005")
                told = notice(1)
                changes = (Put("positions", held.key, held), Put("notices", told.notice_id, told))
                await rig.record(Commit("test", changes))


async def test_listings_are_lists_in_json_and_columns_in_text(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.store_orders(1, 2, 3, state=OrderState.OPEN)
        held = position("-0.0000005")
        await rig.record(Commit("test", (Put("positions", held.key, held),)))
        assert await tradenode(rig, "orders", "--limit", "2", "--json") == 0
        out, err = said()
        assert [row["order_id"] for row in json.loads(out)] == ["testnode-3", "testnode-2"]
        assert "there are more" in err
        assert await tradenode(rig, "orders") == 0
        head, *rows = said()[0].splitlines()
        assert head.split()[:3] == ["order", "instrument", "side"]
        assert [row.split()[0] for row in rows] == ["testnode-3", "testnode-2", "testnode-1"]
        assert await tradenode(rig, "positions") == 0
        assert "-0.0000005" in said()[0]


async def test_an_order_is_submitted_exactly_as_it_was_typed(tmp_path, said):
    async with faces(tmp_path) as rig:
        typed = (
            "order submit X-PERPETUAL sell 0.1 --price 50000.50 --post-only --tif gtc --key k1 --good-for 2.5 --json"
        )
        assert await tradenode(rig, *typed.split()) == 0
        assert json.loads(said()[0])["order_id"] == "testnode-1"
        [asked] = rig.asked
        assert isinstance(asked, SubmitOrder)
        request = asked.request
        assert (str(request.amount), str(request.price), request.post_only) == ("0.1", "50000.50", True)
        assert (request.request_key, request.good_for_s) == ("k1", 2.5)


async def test_the_panic_ladder_and_orders_by_id_work(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.store_orders(7, state=OrderState.OPEN)
        for command in (
            "order show testnode-7",
            "order cancel testnode-7",
            "order amend testnode-7 --price 5",
            "pause",
            "pause --reducing",
            "resume",
            "cancel-all",
            "cancel-all --instrument X-PERPETUAL",
            "flatten --timeout 1",
            "strategy stop napper",
            "strategy start napper",
            "notify test",
        ):
            assert (command, await tradenode(rig, *command.split())) == (command, 0)
            assert said()[0].strip()


async def test_a_refusal_is_one_and_says_its_code(tmp_path, said):
    async with faces(tmp_path) as rig:
        assert await tradenode(rig, *["order", "submit", "X-PERPETUAL", "buy", "101", "--price", "5"]) == 1
        assert said() == ("", "tradenode: AMOUNT_LIMIT: amount: expected at most 100, got 101\n")
        assert await tradenode(rig, *["--json", "order", "submit", "X-PERPETUAL", "buy", "101", "--price", "5"]) == 1
        error = json.loads(said()[1])["error"]
        assert (error["code"], error["field"], error["got"]) == ("AMOUNT_LIMIT", "amount", "101")
        assert await tradenode(rig, "order", "show", "testnode-9") == 1


async def test_wrong_values_are_two_whoever_finds_them(tmp_path, said):
    async with faces(tmp_path) as rig:
        assert (
            await tradenode(rig, *["order", "submit", "X-PERPETUAL", "buy", "1"]) == 2
        )  # a limit order without a price
        assert "price" in said()[1]
        for wrong in (
            "order submit X sideways 1",
            "order submit X buy NaN",
            "order submit X buy 1 --good-for -1",
            "orders --limit 0",
            "orders --limit 1001",
            "orders --state lost",
            "nonsense",
            "order",
            "run --profile demo --config x.toml",
            "run --for 0",
            "orders --al",
        ):
            with pytest.raises(SystemExit) as caught:
                await tradenode(rig, *wrong.split())
            assert (wrong, caught.value.code) == (wrong, 2)


def test_no_node_is_three(tmp_path, said):
    assert main(["--dir", str(tmp_path), "status"]) == 3
    assert "no node runs" in said()[1]
    assert main(["--dir", str(tmp_path), "--json", "config", "show"]) == 3
    assert "--profile" in json.loads(said()[1])["error"]["message"]


async def test_the_socket_of_a_dead_node_is_three(tmp_path):
    await (await _unix.listen(tmp_path / "admin.sock")).aclose()
    assert await trio.to_thread.run_sync(main, ["--dir", str(tmp_path), "status"]) == 3


def test_a_node_that_does_not_answer_is_four(tmp_path, said, monkeypatch):
    monkeypatch.setattr("actors.cli._remote.TIMEOUT_S", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "admin.sock"))
        silent.listen()
        assert main(["--dir", str(tmp_path), "status"]) == 4
        assert "in time" in said()[1]


def test_a_node_that_answers_nonsense_is_one_and_no_traceback(tmp_path, said):
    with socket.socket(socket.AF_UNIX) as strange:
        strange.bind(str(tmp_path / "admin.sock"))
        strange.listen()

        def serve():
            connection, _ = strange.accept()
            connection.recv(1000)
            connection.sendall(b"<html>\n")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        assert main(["--dir", str(tmp_path), "status"]) == 1
        thread.join()
        assert "Traceback" not in said()[1]


def test_a_bug_is_seventy_with_its_traceback(tmp_path, said, monkeypatch):
    monkeypatch.setattr("actors.cli._upkeep.stores.verify", lambda _: 1 / 0)
    assert main(["--dir", str(tmp_path), "verify"]) == 70
    assert "ZeroDivisionError" in said()[1]


async def test_stop_waits_until_the_node_is_gone(tmp_path, said):
    async with trio.open_nursery() as nursery, faces(tmp_path) as rig:
        code = []

        async def stop():
            code.append(await tradenode(rig, "stop", "--cancel", "--timeout", "30"))

        nursery.start_soon(stop)
        with trio.fail_after(30):
            while not rig.stops:
                await trio.sleep(0.01)
        await trio.sleep(0.2)
        assert code == []
    assert (rig.stops, code) == ([True], [0])


async def test_a_node_that_does_not_stop_in_time_is_four(tmp_path):
    async with faces(tmp_path) as rig:
        assert await tradenode(rig, "stop", "--timeout", "0.3") == 4


# ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def filled(directory, count=3):
    with open_store(directory / "store") as store:
        store.commit([put(order(number)) for number in range(1, count + 1)])
        return store.node_part


def test_verify_backup_and_restore_lead_back_to_the_same_orders(tmp_path, said):
    node_part = filled(tmp_path / "a")
    assert main(["--dir", str(tmp_path / "a"), "verify"]) == 0
    assert main(["--dir", str(tmp_path / "a"), "backup", str(tmp_path / "copy")]) == 0
    assert main(["--dir", str(tmp_path / "b"), "restore", str(tmp_path / "copy")]) == 0
    said()
    assert main(["--dir", str(tmp_path / "b"), "verify", "--json"]) == 0
    report = json.loads(said()[0])
    assert (report["ok"], report["rows"]["orders"]) == (True, 3)
    with open_store(tmp_path / "b" / "store") as store:
        assert store.node_part != node_part


def test_restore_never_writes_over_a_store(tmp_path, said):
    filled(tmp_path / "a")
    assert main(["--dir", str(tmp_path / "a"), "backup", str(tmp_path / "copy")]) == 0
    assert main(["--dir", str(tmp_path / "a"), "restore", str(tmp_path / "copy")]) == 1
    assert "missing or empty" in said()[1]


def test_trouble_with_a_store_is_seventy_four(tmp_path, said):
    assert main(["--dir", str(tmp_path), "verify"]) == 74
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(b"not a store" * 1000)
    assert main(["--dir", str(tmp_path), "verify"]) == 74
    assert main(["--dir", str(tmp_path), "backup", str(tmp_path / "copy")]) == 74
    assert "Traceback" not in said()[1]


def test_config_is_checked_shown_described_and_started_from_a_profile(tmp_path, said):
    own = tmp_path / "my.toml"
    assert main(["config", "init", str(own)]) == 0
    assert main(["config", "init", str(own)]) == 1
    assert main(["config", "check", "--config", str(own)]) == 0
    said()
    assert main(["config", "show", "--config", str(own), "--json"]) == 0
    assert json.loads(said()[0])["name"] == "demo"
    assert main(["config", "schema"]) == 0
    assert "$defs" in json.loads(said()[0])


def test_a_broken_config_is_two_with_every_mistake_and_its_line(tmp_path, said):
    broken = tmp_path / "broken.toml"
    broken.write_text('nam = "x"\n[log]\nfiles = "many"\n')
    for command in ("config check", "run", "config show"):
        assert main(["--dir", str(tmp_path), *command.split(), "--config", str(broken)]) == 2
        err = said()[1]
        assert "broken.toml:1" in err
        assert "broken.toml:3" in err
        assert "did you mean" in err
    assert main(["config", "check", "--profile", "no-such"]) == 2
    assert main(["run", "--config", str(tmp_path / "none.toml")]) == 2
    assert main(["--dir", str(tmp_path), "run", "--replay", str(tmp_path / "none.gz")]) == 2


def rows(said):
    return {row["check"]: row["result"] for row in json.loads(said()[0])}


def test_doctor_finds_a_fresh_directory_healthy(tmp_path, said):
    assert main(["--dir", str(tmp_path / "new" / "var"), "doctor", "--json"]) == 0
    assert set(rows(said).values()) <= {"ok", "warn"}


async def test_doctor_sees_a_running_node_and_what_a_dead_one_left(tmp_path, said):
    async with faces(tmp_path):
        command = [sys.executable, "-m", "actors.cli", "--dir", str(tmp_path), "doctor", "--json"]
        done = await trio.run_process(command, capture_stdout=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
        found = {row["check"]: row for row in json.loads(done.stdout)}
        assert (found["node"]["result"], found["node"]["found"]) == ("ok", f"running, process {os.getpid()}")
        assert found["store"]["result"] == "ok"
    await (await _unix.listen(tmp_path / "admin.sock")).aclose()
    assert await trio.to_thread.run_sync(main, ["--dir", str(tmp_path), "doctor", "--json"]) == 0
    assert rows(said)["node"] == "warn"


def test_doctor_finds_what_keeps_a_node_from_running(tmp_path, said):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(b"not a store" * 1000)
    (tmp_path / "admin.sock").write_text("no socket")
    (tmp_path / "bad.toml").write_text("name = 1\n")
    assert main(["--dir", str(tmp_path), "doctor", "--json", "--config", str(tmp_path / "bad.toml")]) == 1
    found = rows(said)
    assert (found["store"], found["node"], found["config"]) == ("fail", "fail", "fail")
    assert main(["--dir", str(tmp_path / "bad.toml"), "doctor", "--json"]) == 1
    assert rows(said)["directory"] == "fail"


# ── the process ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    started = process("config", "schema", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    started.stdout.close()
    _, err = started.communicate(timeout=20)
    assert (started.returncode, err) == (0, b"")


def test_ctrl_c_while_waiting_is_a_word_and_no_traceback(tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "admin.sock"))
        silent.listen()
        silent.settimeout(20)
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may ignore it
        started = process("--dir", str(tmp_path), "status", stderr=subprocess.PIPE, preexec_fn=heard)
        connection, _ = silent.accept()
        connection.settimeout(20)
        assert connection.recv(100)
        started.send_signal(2)
        _, err = started.communicate(timeout=20)
        connection.close()
    assert (started.returncode, err) == (130, b"interrupted\n")


def test_help_names_every_command_and_the_exit_codes(said):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = said()[0]
    for command in ("run", "simulate", "status", "order", "flatten", "stop", "doctor", "restore"):
        assert f"    {command}" in out
    assert "3 no node running" in " ".join(out.split())


def test_what_others_said_cannot_command_the_terminal():
    assert cell("a\x1b[31mred\nline\r\0") == "a [31mred line  "


def test_numbers_are_set_flush_right_and_text_flush_left():
    columns = [("name", lambda row: row["n"]), ("size", lambda row: row["s"])]
    assert table([{"n": "a", "s": "10"}, {"n": "long", "s": "-1.5"}], columns) == "name  size\na       10\nlong  -1.5"
    assert table([], columns) == "(none)"
