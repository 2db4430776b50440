"""One simulator: its venues, the faults they share, and the control endpoint."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from engine.kernel import Clock, Entropy
from engine.simulator.replay import Recording
from engine.simulator.wire.binance_usdm import ApiKey, BinanceEndpoint, BinanceSettings, Symbols, open_binance
from engine.simulator.wire.binance_usdm.routes import NAME as BINANCE
from engine.simulator.wire.control import Control, Venue
from engine.simulator.wire.deribit import Credentials, DeribitEndpoint, DeribitSettings, open_deribit
from engine.simulator.wire.deribit.desk import NAME as DERIBIT
from engine.simulator.wire.deribit.endpoint import MAIN_ACCOUNT
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.port import LOOPBACK, HostPort, bound

__all__ = ["ANY_PORT", "Simulator", "open_simulator"]

ANY_PORT: HostPort = (LOOPBACK, 0)
_SEEDS = 2**63


class Simulator:
    """`deribit` and `binance` are the venues as a client sees them, `faults` what goes wrong, `truth` what is really so."""

    def __init__(
        self, deribit: DeribitEndpoint, faults: FaultBoard, open_binance: Callable[[], BinanceEndpoint]
    ) -> None:
        self.deribit = deribit
        self.faults = faults
        self.control_url = ""
        self._binance: BinanceEndpoint | None = None
        self._open_binance = open_binance

    @property
    def binance(self) -> BinanceEndpoint:
        """Binance USD-M. Without a listener of its own it begins to live when it is first asked for: most who want one
        venue in memory need not pay for two."""
        if self._binance is None:
            self._binance = self._open_binance()
        return self._binance

    @property
    def venues(self) -> Mapping[str, Venue]:
        """The venues that live, by name."""
        return {DERIBIT: self.deribit} if self._binance is None else {DERIBIT: self.deribit, BINANCE: self._binance}

    def truth(self, account: str = MAIN_ACCOUNT) -> dict[str, Any]:
        """Orders, fills, positions and balances of one Deribit account, whatever the wire says of them."""
        return self.deribit.venue.truth(account)

    def stats(self) -> dict[str, Any]:
        return {**{name: venue.stats() for name, venue in self.venues.items()}, "faults": dict(self.faults.struck)}


@asynccontextmanager
async def open_simulator(
    clock: Clock,
    entropy: Entropy,
    *,
    deribit: HostPort | None = ANY_PORT,
    binance: HostPort | None = None,
    control: HostPort | None = ANY_PORT,
    credentials: Credentials | None = None,
    settings: DeribitSettings | None = None,
    binance_key: ApiKey | None = None,
    binance_settings: BinanceSettings | None = None,
    binance_symbols: Symbols = None,
    recording: Recording | None = None,
    bar_ms: int = 1000,
) -> AsyncIterator[Simulator]:
    """A simulator that lives as long as the block.

    An address of None means no listener: `sim.deribit.connect()` and `sim.binance.connect()` give streams in memory then.
    Port 0 takes a free one. `binance_symbols` are how many, or which; the venue's dozen without. Raises OSError if an
    address is taken.
    """
    if entropy.seed is None:  # the past is made up at each request for it, and must come out the same each time
        entropy = Entropy(entropy.randrange(_SEEDS))
    faults = FaultBoard(clock, entropy.fork("faults"))
    async with (
        bound(deribit) as deribit_port,
        bound(binance) as binance_port,
        bound(control) as control_port,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(faults.run)
        make_binance = partial(
            open_binance,
            clock,
            entropy.fork(BINANCE),
            nursery=nursery,
            board=faults,
            settings=binance_settings or BinanceSettings(),
            port=binance_port,
            key=binance_key,
            symbols=binance_symbols,
            recording=recording,
            bar_ms=bar_ms,
        )
        async with open_deribit(
            clock,
            entropy.fork(DERIBIT),
            board=faults,
            settings=settings or DeribitSettings(),
            port=deribit_port,
            credentials=credentials,
            recording=recording,
            bar_ms=bar_ms,
        ) as endpoint:
            simulator = Simulator(endpoint, faults, make_binance)
            if binance_port is not None:
                assert simulator.binance.http_url, "it listens"
            if control_port is not None:
                nursery.start_soon(control_port.serve, Control(faults, simulator).serve_stream)
                simulator.control_url = f"http://{control_port.netloc}"
            yield simulator
        nursery.cancel_scope.cancel()
