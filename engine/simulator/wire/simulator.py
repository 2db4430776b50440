"""One simulator: its venues, the faults they share, and the control endpoint."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from engine.kernel import Clock, Entropy
from engine.simulator.replay import Recording
from engine.simulator.wire.control import Control, Venue
from engine.simulator.wire.deribit import Credentials, DeribitEndpoint, DeribitSettings, open_deribit
from engine.simulator.wire.deribit.endpoint import MAIN_ACCOUNT
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.port import LOOPBACK, HostPort, bound

__all__ = ["ANY_PORT", "Simulator", "open_simulator"]

ANY_PORT: HostPort = (LOOPBACK, 0)


class Simulator:
    """`deribit` is the venue as a client sees it, `faults` what goes wrong, `truth` what is really so."""

    def __init__(self, deribit: DeribitEndpoint, faults: FaultBoard) -> None:
        self.deribit = deribit
        self.faults = faults
        self.control_url = ""

    @property
    def venues(self) -> Mapping[str, Venue]:
        """The venues that live, by name."""
        return {"deribit": self.deribit}

    def truth(self, account: str = MAIN_ACCOUNT) -> dict[str, Any]:
        """Orders, fills, positions and balances of one Deribit account, whatever the wire says of them."""
        return self.deribit.venue.truth(account)

    def stats(self) -> dict[str, Any]:
        return {"deribit": self.deribit.stats(), "faults": dict(self.faults.struck)}


@asynccontextmanager
async def open_simulator(
    clock: Clock,
    entropy: Entropy,
    *,
    deribit: HostPort | None = ANY_PORT,
    control: HostPort | None = ANY_PORT,
    credentials: Credentials | None = None,
    settings: DeribitSettings | None = None,
    recording: Recording | None = None,
    bar_ms: int = 1000,
) -> AsyncIterator[Simulator]:
    """A simulator that lives as long as the block.

    An address of None means no listener: `sim.deribit.connect()` gives streams in memory then. Port 0 takes a free one.
    Raises OSError if an address is taken.
    """
    faults = FaultBoard(clock, entropy.fork("faults"))
    async with bound(deribit) as deribit_port, bound(control) as control_port, trio.open_nursery() as nursery:
        nursery.start_soon(faults.run)
        async with open_deribit(
            clock,
            entropy.fork("deribit"),
            board=faults,
            settings=settings or DeribitSettings(),
            port=deribit_port,
            credentials=credentials,
            recording=recording,
            bar_ms=bar_ms,
        ) as endpoint:
            simulator = Simulator(endpoint, faults)
            if control_port is not None:
                nursery.start_soon(control_port.serve, Control(faults, simulator).serve_stream)
                simulator.control_url = f"http://{control_port.netloc}"
            yield simulator
        nursery.cancel_scope.cancel()
