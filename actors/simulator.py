"""The simulated venues as a child process of the demo: started before the venues, restarted at the same addresses if it
dies.

The node picks the ports and the credentials beforehand, so that nothing else has to know whether the child was
restarted.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Annotated

import msgspec
import trio

from engine.kernel import Actor, Entropy

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
MAX_READY_BYTES = 65_536


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`seed` makes the markets; `replay` is a file of recorded bars that drives them instead. `binance_symbols` is how many
    symbols Binance lists, 0 for the simulator's own dozen."""

    seed: int | None = None
    replay: str = ""
    binance_symbols: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0


class SimulatorPlace(msgspec.Struct, frozen=True):
    """Where the child will listen and whom it will let in. The Binance URLs are bases, without a route."""

    port: int
    client_id: str
    client_secret: str
    binance_port: int
    binance_key: str
    binance_secret: str

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/api/v2"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"

    @property
    def binance_http_url(self) -> str:
        return f"http://127.0.0.1:{self.binance_port}"

    @property
    def binance_ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.binance_port}"

    @property
    def binance_spot_url(self) -> str:
        """Spot prices come from the same port."""
        return self.binance_http_url


class SimulatorGone(Exception):
    """The child ended, or did not get ready."""


async def choose_place(entropy: Entropy) -> SimulatorPlace:
    """Free loopback ports and credentials nobody knows."""
    deribit, binance = [await trio.open_tcp_listeners(0, host="127.0.0.1") for _ in range(2)]
    place = SimulatorPlace(
        port=_port(deribit),
        client_id=entropy.token(8),
        client_secret=entropy.token(40),
        binance_port=_port(binance),
        binance_key=entropy.token(64),
        binance_secret=entropy.token(64),
    )
    for listener in (*deribit, *binance):
        await listener.aclose()
    return place


def _port(listeners: Sequence[trio.SocketListener]) -> int:
    return int(listeners[0].socket.getsockname()[1])


class Simulator(Actor):
    """One incarnation is one child process."""

    def __init__(self, place: SimulatorPlace, settings: SimulatorSettings, log_file: Path) -> None:
        super().__init__()
        self._place = place
        self._settings = settings
        self._log_file = log_file

    async def on_start(self) -> None:
        ready = trio.Event()
        self.spawn(self._run, ready, name="child")
        with trio.fail_after(READY_TIMEOUT_S):
            await ready.wait()

    async def _run(self, ready: trio.Event) -> None:
        """Hold the child for as long as this incarnation lives; its end is ours."""
        with self._log_file.open("ab") as log:
            process = await trio.lowlevel.open_process(
                self._command(), stdin=DEVNULL, stdout=PIPE, stderr=log, env=self._environment()
            )
        try:
            await self._read_ready_line(process)
            ready.set()
            await process.wait()
            raise SimulatorGone(f"the simulator ended with {process.returncode}; see {self._log_file}")
        finally:
            with trio.CancelScope(shield=True):
                await _end(process)

    async def _read_ready_line(self, process: trio.Process) -> None:
        """The child prints one JSON line once it listens."""
        received = b""
        assert process.stdout is not None, "opened with a pipe"
        while b"\n" not in received:
            chunk = await process.stdout.receive_some(4096)
            received += chunk
            if not chunk or len(received) > MAX_READY_BYTES:
                raise SimulatorGone(
                    f"expected one JSON line from the simulator, got {received[:200]!r}; see {self._log_file}"
                )
        place = self._place
        self.log.info("simulated venues listen on ports {} and {}", place.port, place.binance_port)

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "engine.simulator.program", "--deribit", f"127.0.0.1:{self._place.port}"]
        command += ["--binance", f"127.0.0.1:{self._place.binance_port}"]
        if self._settings.binance_symbols:
            command += ["--binance-symbols", str(self._settings.binance_symbols)]
        if self._settings.seed is not None:
            command += ["--seed", str(self._settings.seed)]
        if self._settings.replay:
            command += ["--replay", self._settings.replay]
        return [*command, "--exit-with-parent", "--credentials-env"]

    def _environment(self) -> dict[str, str]:
        """Credentials travel in the environment: a command line is visible to every user of the machine."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "TRADENODE_SIM_CLIENT_ID": self._place.client_id,
            "TRADENODE_SIM_CLIENT_SECRET": self._place.client_secret,
            "TRADENODE_SIM_BINANCE_KEY": self._place.binance_key,
            "TRADENODE_SIM_BINANCE_SECRET": self._place.binance_secret,
        }


async def _end(process: trio.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    with trio.move_on_after(STOP_TIMEOUT_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        with trio.move_on_after(STOP_TIMEOUT_S):
            await process.wait()
