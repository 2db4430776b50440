"""The simulated venue as a child process of the demo: started before the venues, restarted at the same address if it
dies.

The node picks the port and the credentials beforehand, so that nothing else has to know whether the child was
restarted.
"""

import os
import signal
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE

import msgspec
import trio

from engine.kernel import Actor, Entropy

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
MAX_READY_BYTES = 65_536


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`seed` makes the markets; `replay` is a file of recorded bars that drives them instead."""

    seed: int | None = None
    replay: str = ""


class SimulatorPlace(msgspec.Struct, frozen=True):
    """Where the child will listen and whom it will let in."""

    port: int
    client_id: str
    client_secret: str

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/api/v2"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"


class SimulatorGone(Exception):
    """The child ended, or did not get ready."""


async def choose_place(entropy: Entropy) -> SimulatorPlace:
    """A free loopback port and credentials nobody knows."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    for listener in listeners:
        await listener.aclose()
    return SimulatorPlace(port, entropy.token(8), entropy.token(40))


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
        self.log.info("simulated venue listens on port {}", self._place.port)

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "engine.simulator.program", "--deribit", f"127.0.0.1:{self._place.port}"]
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
