"""`tradenode simulate`: the simulated venues served for others, until told to stop.

It prints one JSON line when it is ready and serves until it is told to stop:

    {"deribit": {"ws": …, "http": …, "client_id": …, "client_secret": …},
     "binance_usdm": {"http": …, "ws": …, "spot_http": …, "api_key": …, "api_secret": …}, "control": …}
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import trio

from engine.kernel import Entropy, SystemClock
from engine.simulator.binance_usdm import DEFAULT_SYMBOLS, symbols_of
from engine.simulator.deribit.listings import INDEX_SOURCE
from engine.simulator.replay import Recording, ReplayError, load_recording
from engine.simulator.wire import ANY_PORT, ApiKey, Credentials, Simulator, open_simulator
from engine.simulator.wire.port import HostPort, is_loopback, parse_host_port

__all__ = ["SimulatorOptions", "UsageError", "add_simulator_arguments", "run_simulator", "simulator_options"]

DONE, FAILED = 0, 1
PARENT_CHECK_S = 0.5
ID_VARIABLE = "TRADENODE_SIM_CLIENT_ID"
SECRET_VARIABLE = "TRADENODE_SIM_CLIENT_SECRET"  # noqa: S105 - the name of a variable
BINANCE_KEY_VARIABLE = "TRADENODE_SIM_BINANCE_KEY"
BINANCE_SECRET_VARIABLE = "TRADENODE_SIM_BINANCE_SECRET"  # noqa: S105 - the name of a variable
MAX_SYMBOLS = 1_000


class UsageError(ValueError):
    """An option cannot be used; the text says which and why."""


class SimulatorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`credentials` and `binance_key` None draw new ones. With `replay` recorded bars drive the prices, one every `bar_ms`.

    `binance_symbols` None is the venue's dozen. `parent` is the process whose end is ours too.
    """

    seed: int | None = None
    replay: Path | None = None
    bar_ms: int = 1000
    deribit: HostPort = ANY_PORT
    binance: HostPort = ANY_PORT
    binance_symbols: int | None = None
    control: HostPort = ANY_PORT
    credentials: Credentials | None = None
    binance_key: ApiKey | None = None
    parent: int | None = None


def add_simulator_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the program."""
    parser.add_argument("--seed", type=int, metavar="N", help="make the same markets again; random without")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="recorded bars that drive the prices")
    parser.add_argument(
        "--bar-ms", type=int, default=1000, metavar="MS", help="how long a recorded bar takes (default 1000)"
    )
    parser.add_argument("--deribit", metavar="HOST:PORT", help="where Deribit listens; a free port without")
    parser.add_argument("--binance", metavar="HOST:PORT", help="where Binance USD-M listens; a free port without")
    parser.add_argument(
        "--binance-symbols", type=int, metavar="N", help="how many symbols Binance lists; a dozen without"
    )
    parser.add_argument(
        "--control", metavar="HOST:PORT", help="where the control endpoint listens; a free port without"
    )
    parser.add_argument(
        "--credentials-env",
        action="store_true",
        help=f"take the keys from {ID_VARIABLE} and {SECRET_VARIABLE}, "
        f"{BINANCE_KEY_VARIABLE} and {BINANCE_SECRET_VARIABLE}",
    )
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop when the process that started this one is gone"
    )


def simulator_options(arguments: argparse.Namespace, environment: Mapping[str, str]) -> SimulatorOptions:
    """The options of parsed arguments. Raises UsageError."""
    if not 1 <= arguments.bar_ms <= 3_600_000:
        raise UsageError(f"--bar-ms: expected 1 to 3600000, got {arguments.bar_ms}")
    if arguments.binance_symbols is not None and not 1 <= arguments.binance_symbols <= MAX_SYMBOLS:
        raise UsageError(f"--binance-symbols: expected 1 to {MAX_SYMBOLS}, got {arguments.binance_symbols}")
    return SimulatorOptions(
        seed=arguments.seed,
        replay=arguments.replay,
        bar_ms=arguments.bar_ms,
        deribit=_address("--deribit", arguments.deribit),
        binance=_address("--binance", arguments.binance),
        binance_symbols=arguments.binance_symbols,
        control=_loopback("--control", _address("--control", arguments.control)),
        credentials=_credentials(environment) if arguments.credentials_env else None,
        binance_key=_binance_key(environment) if arguments.credentials_env else None,
        parent=os.getppid() if arguments.exit_with_parent else None,
    )


def run_simulator(options: SimulatorOptions) -> int:
    """Serve until SIGTERM, SIGINT or the end of the parent; the exit code. What went wrong is told on stderr."""
    try:
        trio.run(_serve, options, _recording(options))
    except (ReplayError, OSError) as error:
        sys.stderr.write(f"simulate: {error}\n")
        return FAILED
    return DONE


def _recording(options: SimulatorOptions) -> Recording | None:
    """The bars that both venues need, and those of all other symbols Binance lists. Raises ReplayError, OSError."""
    if options.replay is None:
        return None
    listed = DEFAULT_SYMBOLS if options.binance_symbols is None else symbols_of(options.binance_symbols)
    return load_recording(options.replay, sorted(INDEX_SOURCE.values()), also=listed)


async def _serve(options: SimulatorOptions, recording: Recording | None) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_simulator(
            SystemClock(),
            Entropy(options.seed),
            deribit=options.deribit,
            binance=options.binance,
            control=options.control,
            credentials=options.credentials or Credentials.drawn(Entropy()),  # a seed makes markets, not secrets
            binance_key=options.binance_key or ApiKey.drawn(Entropy()),
            binance_symbols=options.binance_symbols,
            recording=recording,
            bar_ms=options.bar_ms,
        ) as simulator:
            _announce(simulator)
            async with trio.open_nursery() as nursery:
                if options.parent is not None:
                    nursery.start_soon(_watch_parent, options.parent, nursery.cancel_scope)
                await anext(aiter(signals))
                nursery.cancel_scope.cancel()


def _announce(simulator: Simulator) -> None:
    deribit, binance = simulator.deribit, simulator.binance
    place = {
        "deribit": {
            "ws": deribit.ws_url,
            "http": deribit.http_url,
            "client_id": deribit.client_id,
            "client_secret": deribit.client_secret,
        },
        "binance_usdm": {
            "http": binance.http_url,
            "ws": binance.ws_url,
            "spot_http": binance.spot_http_url,
            "api_key": binance.api_key,
            "api_secret": binance.api_secret,
        },
        "control": simulator.control_url,
    }
    sys.stdout.write(msgspec.json.encode(place).decode() + "\n")
    sys.stdout.flush()


async def _watch_parent(parent: int, scope: trio.CancelScope) -> None:
    """A child of a dead process gets a new parent.

    The kernel's own parent-death signal will not do: it is bound to the *thread* that started us, and trio starts
    processes from worker threads that end when they have been idle for a while.
    """
    while True:
        await trio.sleep(PARENT_CHECK_S)
        if os.getppid() != parent:
            scope.cancel()


def _address(option: str, text: str | None) -> HostPort:
    if text is None:
        return ANY_PORT
    try:
        return parse_host_port(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _loopback(option: str, address: HostPort) -> HostPort:
    """Whoever reaches the control endpoint may do everything, so only this machine may."""
    if not is_loopback(address[0]):
        raise UsageError(f"{option}: expected a loopback address, got {address[0]!r}")
    return address


def _credentials(environment: Mapping[str, str]) -> Credentials:
    return Credentials(*_from_environment(environment, ID_VARIABLE, SECRET_VARIABLE))


def _binance_key(environment: Mapping[str, str]) -> ApiKey | None:
    """None where neither variable is set: then only Deribit's key was given."""
    names = BINANCE_KEY_VARIABLE, BINANCE_SECRET_VARIABLE
    return ApiKey(*_from_environment(environment, *names)) if any(environment.get(name) for name in names) else None


def _from_environment(environment: Mapping[str, str], *names: str) -> list[str]:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise UsageError(f"--credentials-env: expected {' and '.join(missing)} in the environment, got nothing")
    return [environment[name] for name in names]
