"""The console program in processes of its own, and whoever asks it something over its admin socket."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

from actors.client import AdminClient, NotRunning, open_client

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "actors.cli")
START_S = 30.0
END_S = 40.0
ASK_S = 20.0
LOOK_S = 0.1


def environment() -> dict[str, str]:
    """Of a newcomer: no keys, no settings of his own."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("TRADENODE", "DERIBIT"))}
    return {**bare, "PYTHONPATH": str(ROOT)}


def tradenode(directory: Path, *arguments: str, **more_environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*PROGRAM, "--dir", str(directory), *arguments],
        env=environment() | more_environment,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )


def answer(directory: Path, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = tradenode(directory, "--json", *arguments)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout)


@contextmanager
def started(directory: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """`tradenode run` in the background; killed at the end of the block if it still runs.

    What it says goes to files, so that nobody has to read it meanwhile: see `said`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    place = directory.with_name(directory.name + "-said")
    place.mkdir(exist_ok=True)
    with (place / "out").open("wb") as out, (place / "err").open("ab") as err:
        command = [*prefix, *PROGRAM, "--dir", str(directory), "run", *arguments]
        process = subprocess.Popen(command, env=environment(), stdout=out, stderr=err, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(END_S)


def said(directory: Path) -> tuple[str, str]:
    """(stdout of the last `started`, stderr of all) in this directory."""
    place = directory.with_name(directory.name + "-said")
    return (place / "out").read_text(), (place / "err").read_text()


def stopped(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal; the exit code."""
    process.send_signal(number)
    return process.wait(END_S)


@asynccontextmanager
async def client_of(directory: Path) -> AsyncIterator[AdminClient]:
    """A client of the node that runs, or is about to run, in `directory`."""
    async with AsyncExitStack() as stack:
        with trio.fail_after(START_S):
            while True:
                try:
                    client = await stack.enter_async_context(open_client(directory / "admin.sock"))
                    break
                except NotRunning:
                    await trio.sleep(LOOK_S)
        yield client


async def until(look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], *, limit_s: float = START_S) -> Any:
    """The first thing seen that is wanted. Fails with the last one seen."""
    seen = None
    with trio.move_on_after(limit_s):
        while True:
            seen = await look()
            if wanted(seen):
                return seen
            await trio.sleep(LOOK_S)
    raise AssertionError(f"not seen within {limit_s} s; last: {seen}")


def look_at(client: AdminClient, method: str, **params: Any) -> Callable[[], Awaitable[Any]]:
    """One question, to be asked again and again."""

    async def look() -> Any:
        return await client.call(method, params, timeout_s=ASK_S)

    return look


@contextmanager
def simulated_venues(seed: int) -> Iterator[dict[str, Any]]:
    """Where simulated venues in a process of their own can be reached, as that says itself."""
    command = [sys.executable, "-m", "engine.simulator.program", "--seed", str(seed), "--exit-with-parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
    assert process.returncode == 0
