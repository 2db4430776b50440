"""What a market-data message costs through the actors: socket bytes → stream → mailbox → feed → the state a strategy reads, in µs of CPU.

The bytes are those of the `wire` bench, played by the same child process as fast as they are read; the figure is this
process's own CPU time per message. The peer is what one would write without actors: `websockets.trio` in a loop that
hands every message to the same decoders. The last rows are the same actors at a pace as of a busy day: then each read
brings few messages and waking up is what costs. `scripts/bench feed`; run as a program it is the paced child.
"""

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
import websockets.trio.client
from loguru import logger
from websockets.sync.server import ServerConnection, serve

from actors.feed import FeedSettings, feed_specs
from actors.stream import StreamSettings
from engine.kernel import Actor, ChildSpec, Entropy, SupervisorSpec, System, SystemClock, open_system
from engine.model import DataRow, MarketState, VenueState
from engine.venues.deribit import DeribitSettings, DeribitVenue
from scripts.benches import wire

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
PACED_MESSAGES = 4000
PATIENT_S = 3600.0
PEER = "websockets.trio loop, no actors"
DEADLINE_S = 60.0
PATH = "root/feeds"

Way = Callable[[str, int], Awaitable[float]]


def rows() -> list[dict[str, Any]]:
    """The whole path with its peer, then the path at two paces."""
    ours = _best(_through_actors)
    peer = _best(_through_a_loop)
    return [
        {
            "name": "feed.socket_to_state",
            "value": round(ours, 2),
            "unit": "µs CPU/message",
            "budget": f"<= {wire.BUDGET_US}",
            "ok": ours <= wire.BUDGET_US,
            "peers": {PEER: round(peer, 2)},
            "ratio": round(peer / ours, 2),
        },
        *(_paced(burst) for burst in (1, 10)),
    ]


def _paced(burst: int) -> dict[str, Any]:
    ours, peer = (
        _round(way, PACED_MESSAGES, "scripts.benches.feed", str(burst)) for way in (_through_actors, _through_a_loop)
    )
    return {
        "name": f"feed.{burst}_a_millisecond",
        "value": round(ours, 2),
        "unit": "µs CPU/message",
        "ok": True,
        "peers": {PEER: round(peer, 2)},
        "ratio": round(peer / ours, 2),
        "note": "the same path when each read brings few messages",
    }


def _best(way: Way) -> float:
    """Best of a few rounds: what disturbs a round only ever adds to it."""
    return min(_round(way, wire.MESSAGES, "scripts.benches.wire", "all") for _ in range(ROUNDS))


def _round(way: Way, count: int, *child: str) -> float:
    logger.disable("actors")
    with _player(*child) as url:
        return trio.run(way, url, count) / count * 1e6


@contextmanager
def _player(module: str, *arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None, "opened with a pipe"
        try:
            yield f"ws://127.0.0.1:{int(child.stdout.readline())}/"
        finally:
            child.kill()


# ── ours and the peer: CPU seconds for all messages ────────────────────────────────────────────────────────────────────


class _Mute(Actor):
    """In place of the session: nothing is asked for."""


async def _through_actors(url: str, count: int) -> float:
    clock, entropy, state = SystemClock(), Entropy(1), VenueState("deribit")
    venue = DeribitVenue("deribit", DeribitSettings(ws_url=url), clock=clock, entropy=entropy, credentials={})
    async with open_system(clock, entropy) as system:
        feed, stream = _specs(system, venue, state).children
        parts = SupervisorSpec("feeds", children=(feed,))
        await system.start(SupervisorSpec("root", children=(ChildSpec("session", _Mute), parts)))
        started_s = time.process_time()
        await system.start_child(PATH, stream)
        await _all_applied(state.markets[wire.SYMBOL], count)
        return time.process_time() - started_s


def _specs(system: System, venue: DeribitVenue, state: VenueState) -> SupervisorSpec:
    """Bounds so wide that nothing but the frames costs anything."""
    patient = DataRow(age_s=PATIENT_S, silence_s=PATIENT_S)
    feed = FeedSettings(disconnected_s=PATIENT_S, repair_s=PATIENT_S)
    stream = StreamSettings(silent_after_s=PATIENT_S, acknowledged_within_s=PATIENT_S)
    session = system.address("root/vacant")
    return feed_specs(
        venue, state, [wire.SYMBOL], under="root", address=system.address, session=session,
        rows=dict.fromkeys(venue.policy, patient), feed=feed, stream=stream,
    )  # fmt: skip


async def _all_applied(market: MarketState, count: int) -> None:
    with trio.fail_after(DEADLINE_S):
        while market.updates < count:  # noqa: ASYNC110 - reading the state is what a strategy does
            await trio.sleep(0.01)
    assert market.book.ready, "the mix has no gap"


async def _through_a_loop(url: str, count: int) -> float:
    started_s = time.process_time()
    sink = wire.Sink()
    async with websockets.trio.client.connect(url, compression=None, max_size=2**22) as connection:
        while sink.seen < count:
            sink.take([await connection.recv(decode=False)])
        return time.process_time() - started_s


# ── the paced child ────────────────────────────────────────────────────────────────────────────────────────────────────


def play(burst: int) -> None:
    """Serve whoever comes: `burst` messages every millisecond."""
    frames = wire.canned("all")

    def serve_one(connection: ServerConnection) -> None:
        for first in range(0, len(frames), burst):
            for frame in frames[first : first + burst]:
                connection.send(frame, text=True)
            time.sleep(0.001)

    with serve(serve_one, "127.0.0.1", 0, compression=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    play(int(sys.argv[1]))
