"""Commands that ask a running node over its admin socket."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.cli import _views
from actors.cli._exits import CommandFailed, Exit, failed_call
from actors.cli._output import complain, say, say_json
from actors.client import AdminClient, NodeGone, NotRunning, open_client

SOCKET = "admin.sock"
TIMEOUT_S = 30.0
NOTIFY_TIMEOUT_S = 70.0

Options = argparse.Namespace


class Remote(msgspec.Struct, frozen=True):
    """One command: the method, its parameters from the options, and how the answer looks."""

    method: str
    view: Callable[[Any], str]
    params: Callable[[Options], dict[str, Any]] = lambda _: {}

    def __call__(self, options: Options) -> int:
        answer = ask(
            options, lambda client: client.call(self.method, self.params(options), timeout_s=patience(options))
        )
        show(options, answer, self.view)
        return Exit.DONE


def ask(options: Options, talk: Callable[[AdminClient], Any]) -> Any:
    """What `talk` returns of the node in the directory. Raises CommandFailed."""

    async def main() -> Any:
        async with open_client(Path(options.dir) / SOCKET) as client:
            return await talk(client)

    try:
        return trio.run(main)
    except NotRunning as error:
        raise CommandFailed(Exit.NO_NODE, str(error)) from error
    except NodeGone as error:
        raise CommandFailed(Exit.REFUSED, str(error)) from error
    except trio.TooSlowError as error:
        raise CommandFailed(Exit.TIMED_OUT, "the node did not answer in time") from error
    except rpc.RpcError as error:
        raise failed_call(error) from error


def patience(options: Options) -> float:
    """How long to wait for an answer: what the command waits for by itself, and some."""
    return TIMEOUT_S + float(getattr(options, "timeout", 0.0))


def show(options: Options, answer: Any, view: Callable[[Any], str]) -> None:
    """Print an answer. Of a listing the items, with a word about those that were cut."""
    if isinstance(answer, dict) and answer.keys() == {"items", "more"}:
        if answer["more"]:
            complain("there are more; see --limit")
        answer = answer["items"]
    if options.json:
        say_json(answer)
    else:
        say(view(answer))


def given(options: Options, *names: str) -> dict[str, Any]:
    """Those of the options that were given."""
    return {name: value for name in names if (value := getattr(options, name)) not in (None, False, "")}


def stop(options: Options) -> int:
    """Begin an orderly stop and wait until the process is gone."""
    ask(options, lambda client: _stop(client, options.cancel, options.timeout))
    if options.json:
        say_json({"stopped": True})
    else:
        say("stopped")
    return Exit.DONE


async def _stop(client: AdminClient, cancel: bool, timeout_s: float) -> None:
    pid = client.peer_pid()
    with trio.fail_after(timeout_s):
        await client.call("stop", {"cancel": cancel}, timeout_s=timeout_s)
        await client.wait_closed(timeout_s=timeout_s)
        await _until_gone(pid)


async def _until_gone(pid: int) -> None:
    """Wait for the end of a process that is not our child; one we cannot see, or are ourselves, is not waited for."""
    if pid in (0, os.getpid()):
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(process)
    finally:
        os.close(process)


def notify_test(options: Options) -> int:
    """Send a test message through every channel; one that does not take it is a failure."""
    answer = ask(options, lambda client: client.call("notify.test", timeout_s=NOTIFY_TIMEOUT_S))
    show(options, answer, _views.channels)
    return Exit.DONE if all(row["ok"] for row in answer["items"]) else Exit.REFUSED


LOOKS = {
    "status": Remote("status", _views.status),
    "tree": Remote("tree", _views.tree),
    "feeds": Remote("feeds", _views.feeds),
    "positions": Remote("positions", _views.positions, lambda o: given(o, "all", "account")),
    "balances": Remote("balances", _views.balances, lambda o: given(o, "all", "account")),
    "fills": Remote("fills", _views.fills, lambda o: given(o, "limit", "instrument", "account", "order_id")),
    "orders": Remote(
        "orders", _views.orders, lambda o: given(o, "all", "limit", "instrument", "account", "strategy", "state")
    ),
    "notices": Remote("notices", _views.notices, lambda o: given(o, "limit", "severity")),
}
PANIC = {
    "pause": Remote("pause", _views.gates, lambda o: given(o, "reducing", "reason")),
    "resume": Remote("resume", _views.gates),
    "cancel-all": Remote("cancel-all", _views.cancelled, lambda o: given(o, "instrument", "strategy", "reason")),
    "flatten": Remote("flatten", _views.flattened, lambda o: {"timeout_s": o.timeout}),
}
STRATEGY = {
    "list": Remote("strategy.list", _views.strategies),
    "stop": Remote("strategy.stop", _views.strategies, lambda o: {"name": o.name}),
    "start": Remote("strategy.start", _views.strategies, lambda o: {"name": o.name}),
}
