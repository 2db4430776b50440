"""Methods that administer and operate: strategies, the notifier's test, the store's upkeep."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Method, Nothing, Text, ask
from actors.admin._look import Listing
from actors.notifier import ChannelResult, TestChannels
from engine.kernel import SpecError, StartFailed, TreeNode
from engine.store import StoreError

NOTIFY_TIMEOUT_S = 60.0
UPKEEP_TIMEOUT_S = 3600.0
_SOURCES = Path(__file__).resolve().parents[2]


class OneStrategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Text


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`dest`: an absolute path that does not exist yet."""

    dest: str


class StrategyRow(msgspec.Struct, frozen=True):
    """`state` is `stopped` for one that is not in the tree."""

    name: str
    state: str
    restarts: int
    last_error: str


async def notify_test(desk: Desk, _: Nothing) -> Listing[ChannelResult]:
    results = await ask(desk.parts.notifier, TestChannels(), NOTIFY_TIMEOUT_S)
    return Listing(list(results), more=False)


async def strategy_list(desk: Desk, _: Nothing) -> Listing[StrategyRow]:
    return Listing([_row(desk, name) for name in sorted({*desk.control.strategies, *_running(desk)})], more=False)


def _running(desk: Desk) -> dict[str, TreeNode]:
    try:
        parent = desk.parts.system.tree().find(desk.control.strategies_path)
    except KeyError:
        return {}
    return {child.path.rpartition("/")[2]: child for child in parent.children}


def _row(desk: Desk, name: str) -> StrategyRow:
    node = _running(desk).get(name)
    if node is None:
        return StrategyRow(name, "stopped", 0, "")
    return StrategyRow(name, node.state.value, node.restarts, node.last_error)


async def strategy_stop(desk: Desk, params: OneStrategy) -> StrategyRow:
    if params.name not in _running(desk):
        expected = f"one that runs: {', '.join(_running(desk)) or 'none does'}"
        raise rpc.refused("STRATEGY_UNKNOWN", "name", expected, params.name)
    await desk.parts.system.stop_child(f"{desk.control.strategies_path}/{params.name}")
    return _row(desk, params.name)


async def strategy_start(desk: Desk, params: OneStrategy) -> StrategyRow:
    spec = desk.control.strategies.get(params.name)
    if spec is None:
        expected = f"one that is configured: {', '.join(desk.control.strategies) or 'none is'}"
        raise rpc.refused("STRATEGY_UNKNOWN", "name", expected, params.name)
    if params.name in _running(desk):
        raise rpc.refused("STRATEGY_RUNS", "name", "one that is stopped", params.name)
    try:
        await desk.parts.system.start_child(desk.control.strategies_path, spec)
    except (SpecError, StartFailed) as error:
        raise rpc.refused("STRATEGY_FAILED", "name", "a strategy that starts", str(error)) from error
    return _row(desk, params.name)


async def verify(desk: Desk, _: Nothing) -> Any:
    return await _upkeep(desk, "verify")


async def backup(desk: Desk, params: Backup) -> Any:
    if not Path(params.dest).is_absolute():
        raise rpc.refused("BAD_PATH", "dest", "an absolute path", params.dest)
    return await _upkeep(desk, "backup", params.dest)


async def execution_report(desk: Desk, _: Nothing) -> Any:
    return await _upkeep(desk, "execution", "report")


async def _upkeep(desk: Desk, *arguments: str) -> Any:
    """Run one of our own commands on the store in a process of its own: it reads for minutes, and this one has the store open already."""
    command = [sys.executable, "-m", "actors.cli", "--dir", str(desk.parts.directory.resolve()), "--json", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(_SOURCES), os.environ.get("PYTHONPATH", "")))}
    try:
        with trio.fail_after(UPKEEP_TIMEOUT_S):
            done: subprocess.CompletedProcess[bytes] = await trio.run_process(
                command, env=environment, capture_stdout=True, capture_stderr=True, check=False
            )
    except trio.TooSlowError as error:
        raise rpc.RpcError(rpc.Code.TIMED_OUT, f"{arguments[0]} took too long", rpc.ErrorData("timed_out")) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        number = rpc.Code.STORE if done.returncode == StoreError.exit_code else rpc.Code.REFUSED
        raise rpc.RpcError(number, said, rpc.ErrorData(f"{arguments[0]}_failed", "", "exit 0", str(done.returncode)))
    return msgspec.json.decode(done.stdout)


METHODS = {
    "notify.test": Method(Nothing, notify_test),
    "strategy.list": Method(Nothing, strategy_list),
    "strategy.stop": Method(OneStrategy, strategy_stop),
    "strategy.start": Method(OneStrategy, strategy_start),
    "verify": Method(Nothing, verify),
    "backup": Method(Backup, backup),
    "execution.report": Method(Nothing, execution_report),
}
