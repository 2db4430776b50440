"""The node: its settings, and the life of the process around its tree.

Three ways in. `run_node` is the resident process. `open_node` is a node inside a trio program (tests, drills).
`BackgroundNode` (`actors.embedding`) is a node in a thread of its own, for a program that is not trio's.

The tree, as `tradenode tree` shows it::

    root ─┬─ recorder                                     its end ends the process
          ├─ services ── notifier, simulator, admin
          ├─ venues ── <venue> ─┬─ session
          │                     └─ parts ─┬─ trading:<account> ── account, orders, triggers, execution
          │                               ├─ feeds ── stream:<n>, feed:<symbol>, source:<name>
          │                               ├─ keys
          │                               └─ audit
          ├─ portfolios ── <name>                             where accounts at other exchanges are configured
          └─ strategies ── <name>

Stopping is the reverse of starting, and before any of it the order queues are asked to become quiet: nothing new is
taken, what is being sent comes to an answer or is left `unknown` on disk, resting orders stay (or are cancelled, when
asked).
"""

import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio
from loguru import logger

from actors._sections import (
    AccountSection,
    BinanceAccountSection,
    BinanceUsdmSection,
    DeribitSection,
    NodeSettings,
    Unusable,
    VenueSection,
    check_usable,
)
from actors._tree import LOG, Assembly, NodeSeams
from actors.logs import open_logs
from actors.messages import Notify, QuiesceOrders, ReadKeysAgain
from actors.parts import NodeParts
from actors.progress import follow_history
from actors.recorder import Enter, ThreadHost
from actors.simulator import SimulatorSettings, choose_place
from actors.status import status
from actors.strategies import StrategyUnknown
from engine.kernel import (
    ActorDown,
    CallFailed,
    CallTimeout,
    Clock,
    Entropy,
    EventKind,
    KernelEvent,
    MailboxFull,
    StartFailed,
    System,
    SystemClock,
    open_system,
)
from engine.model import Notice, Severity
from engine.store import Commit, Store, StoreError, translated

STORE = "store"
QUIESCE_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 20.0
MAX_START_S = 60.0

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_TIMED_OUT = 4

JOURNALLED = {
    EventKind.CRASHED: Severity.WARNING,
    EventKind.START_FAILED: Severity.WARNING,
    EventKind.STEPPED_DOWN: Severity.WARNING,
    EventKind.STEPPED_UP: Severity.INFO,
    EventKind.EXHAUSTED: Severity.ERROR,
    EventKind.PARKED: Severity.ERROR,
    EventKind.ESCALATED: Severity.ERROR,
}

__all__ = [
    "AccountSection",
    "BinanceAccountSection",
    "BinanceUsdmSection",
    "DeribitSection",
    "Node",
    "NodeSeams",
    "NodeSettings",
    "Unusable",
    "VenueSection",
    "open_node",
    "run_node",
    "spare_the_living",
]


class Node:
    """A running node. Loop thread only."""

    def __init__(self, parts: NodeParts) -> None:
        self.parts = parts
        self._stop_wanted = trio.Event()
        self._cancel = False
        self._quiet = False

    @property
    def system(self) -> System:
        return self.parts.system

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop_wanted.is_set()

    def ask_to_stop(self, cancel: bool = False) -> None:
        """Begin an orderly stop; whoever runs the node carries it out. `cancel` also cancels resting orders."""
        self._cancel = self._cancel or cancel
        self._stop_wanted.set()

    def read_keys_again(self) -> None:
        """Have every key pair read again from where it is kept; what is new and good is used, and people are told."""
        for venue in self.parts.venues.values():
            if venue.keeper is not None:
                venue.keeper.tell(ReadKeysAgain())

    async def wait(self) -> int:
        """Until somebody asks to stop (0) or the tree cannot go on (its exit code)."""
        code = EXIT_DONE

        async def failed() -> None:
            nonlocal code
            code = await self.system.wait_exit()
            self._quiet = True  # there is nobody left to ask: the next start settles what was in flight
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(failed)
            await self._stop_wanted.wait()
            nursery.cancel_scope.cancel()
        return code

    async def quiesce(self) -> int:
        """Let what is in flight finish, once; how many orders may still be live at the venues."""
        live = 0
        if self._quiet:
            return live
        self._quiet = True
        for account in self.parts.accounts():
            try:
                live += await account.orders.call(QuiesceOrders(self._cancel), timeout_s=QUIESCE_TIMEOUT_S)
            except (ActorDown, CallTimeout, CallFailed, MailboxFull) as error:
                logger.warning(
                    "{}: did not become quiet, its orders are settled at the next start: {}", account.name, error
                )
        return live

    def abandon(self) -> None:
        """For drills: end as a killed process does. Nobody is asked to become quiet and nothing is stopped in order."""
        self._quiet = True
        self.system.abandon()

    def note(self, event: KernelEvent) -> None:
        """Supervision's doings go to the journal, and to people when something is down."""
        severity = JOURNALLED.get(event.kind)
        if severity is None:
            return
        text = f"{event.path}: {event.kind.value} {event.mode}: {event.reason}"
        commit = Commit(f"actor.{event.kind.value}", (), note=text[:1000], actor=event.path)
        notice = Notice(
            notice_id=self.parts.entropy.token(12),
            at_ms=event.at_ms,
            severity=severity,
            kind=f"actor.{event.kind.value}",
            text=text,
            actor=event.path,
        )
        for ref, message in ((self.parts.recorder, Enter((commit,))), (self.parts.notifier, Notify(notice))):
            try:
                ref.tell(message)
            except (ActorDown, MailboxFull) as error:
                logger.warning("not noted, {}: {}", error, text)


def _no_point(_label: str) -> None:
    """Nobody drills here."""


@asynccontextmanager
async def open_node(
    settings: NodeSettings,
    directory: Path,
    *,
    profile: str = "",
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    seams: NodeSeams | None = None,
) -> AsyncIterator[Node]:
    """A started node for the duration of the block; leaving it quiesces and stops.

    Raises `StoreError`, `Unusable`, `StartFailed`.
    """
    check_usable(settings)
    clock = clock or SystemClock()
    entropy = entropy or Entropy(settings.seed)
    seams = seams or NodeSeams(recorder_host=ThreadHost, point=_no_point)
    _make_room(directory)
    with Store.open(directory / STORE, clock=clock, entropy=seams.identity, on_point=seams.point) as store:
        async with open_system(clock, entropy, settings.name) as system:
            node = Node(_parts(settings, directory, profile, clock, entropy, system, store))
            place = await choose_place(Entropy(None)) if settings.simulator is not None else None
            assembly = Assembly(settings, node.parts, place, seams)
            system.on_event(node.note)
            with trio.fail_after(MAX_START_S):
                await system.start(assembly.root(node.ask_to_stop))
            try:
                yield node
            finally:
                with trio.CancelScope(shield=True):
                    await node.quiesce()
                    await system.stop(STOP_TIMEOUT_S)


def _make_room(directory: Path) -> None:
    """Raises the `StoreError` the store itself would."""
    with translated(directory):
        (directory / LOG).mkdir(parents=True, exist_ok=True)


def _parts(
    settings: NodeSettings,
    directory: Path,
    profile: str,
    clock: Clock,
    entropy: Entropy,
    system: System,
    store: Store,
) -> NodeParts:
    return NodeParts(
        name=settings.name,
        profile=profile,
        live=settings.live,
        directory=directory,
        clock=clock,
        entropy=entropy,
        system=system,
        store=store,
        recorder=system.address("root/recorder"),
        notifier=system.address("root/services/notifier"),
        started_s=clock.monotonic_s(),
        default_venue=settings.default_venue or next(iter(settings.venues), ""),
        routes=settings.routes,
    )


# ── the resident process ──────────────────────────────────────────────────────────────────────────────────────────────


def run_node(
    settings: NodeSettings,
    *,
    directory: Path,
    profile: str = "",
    for_s: float | None = None,
    seed: int | None = None,
    replay: str | None = None,
    as_json: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Run a node in the foreground until it is asked to stop, for `for_s` seconds at the most; the exit code.

    `seed` and `replay` go to the simulated venue. With `as_json` the last line said is the final status.
    """
    settings = _with_simulation(settings, seed, replay)
    with open_logs(settings.log, directory / LOG, "node") as terminal:
        pin = terminal.pin if os.isatty(2) else None
        try:
            return trio.run(_main, settings, directory, profile, for_s, as_json, say, pin)
        except StoreError as error:
            logger.critical("{}", error)
            return error.exit_code
        except (Unusable, StrategyUnknown) as error:
            logger.critical("{}", error)
            return EXIT_USAGE
        except StartFailed as error:
            logger.critical("{}", error)
            return EXIT_REFUSED
        except trio.TooSlowError:
            logger.critical("the node did not start within {} s", MAX_START_S)
            return EXIT_TIMED_OUT


def _with_simulation(settings: NodeSettings, seed: int | None, replay: str | None) -> NodeSettings:
    if seed is None and replay is None:
        return settings
    simulator = settings.simulator or SimulatorSettings()
    simulator = msgspec.structs.replace(
        simulator,
        seed=simulator.seed if seed is None else seed,
        replay=simulator.replay if replay is None else str(Path(replay).absolute()),
    )
    return msgspec.structs.replace(settings, seed=settings.seed if seed is None else seed, simulator=simulator)


async def _main(
    settings: NodeSettings,
    directory: Path,
    profile: str,
    for_s: float | None,
    as_json: bool,
    say: Callable[[str], None],
    pin: Callable[[str], None] | None,
) -> int:
    async with open_node(settings, directory, profile=profile) as node, trio.open_nursery() as nursery:
        nursery.start_soon(_obey_signals, node)
        nursery.start_soon(follow_history, node.parts, pin)
        if for_s is not None:
            nursery.start_soon(_stop_after, node, for_s)
        spare_the_living()
        logger.info("{} runs in {}", settings.name, directory)
        code = await node.wait()
        live = await node.quiesce()
        logger.info("stopping with exit {}; {} orders may be live at the venues", code, live)
        if as_json and code == EXIT_DONE:
            say(msgspec.json.encode(status(node.parts)).decode())
        nursery.cancel_scope.cancel()
    return code


def spare_the_living() -> None:
    """Keep the garbage collector from walking what lives as long as the process: the tree, the instruments, the modules.

    What it has to find are the cycles that ended incarnations leave, megabytes each: it must not come too rarely for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 5)


async def _stop_after(node: Node, for_s: float) -> None:
    await node.parts.clock.sleep(for_s)
    node.ask_to_stop()


async def _obey_signals(node: Node) -> None:
    """The first signal stops in order, the second at once. SIGHUP reads the keys again, as services do; of a node that was started
    at a terminal it says that the terminal is gone, and stops it."""
    at_terminal = os.isatty(0)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            if number == signal.SIGHUP and not at_terminal:
                logger.info("signal SIGHUP: reading the keys again")
                node.read_keys_again()
                continue
            if node.stopping:
                node.system.die(EXIT_REFUSED, f"second signal {number}")
            logger.info("signal {}: stopping; once more stops at once", signal.Signals(number).name)
            node.ask_to_stop()
