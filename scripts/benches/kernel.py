"""What a message costs between actors: told, and called and answered, beside stock pykka threads and a trio memory channel.

Every figure is the best of three rounds and includes the handling: a counter is incremented per message. Ours is told
in bursts that fit its bounded mailbox. `kernel.call` finds the callee idle with a plain handler, the common case, and
runs it on the caller's turn; `kernel.call_async` is a callee whose handler is a coroutine, so that two reschedules of
trio are in it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import trio
from loguru import logger

from engine.kernel import Actor, ChildSpec, Entropy, Message, Ref, Request, SupervisorSpec, SystemClock, on, open_system

ROUNDS = 3
BURST = 500
TELLS, THREAD_TELLS, CHANNEL_TELLS = 1_000_000, 100_000, 100_000
CALLS, SLOW_CALLS = 100_000, 10_000
TELL_BUDGET_PER_S, CALL_BUDGET_US = 1_000_000, 10
THREADS, CHANNEL = "pykka.ThreadingActor", "trio memory channel"


class Count(Message):
    pass


class Total(Request[int]):
    pass


class TotalAsync(Request[int]):
    pass


class Counter(Actor):
    mailbox_capacity = 20 * BURST

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @on(Count)
    def count(self, message: Count) -> None:
        self.total += 1

    @on(Total)
    def get(self, message: Total) -> int:
        return self.total

    @on(TotalAsync)
    async def get_async(self, message: TotalAsync) -> int:
        return self.total


class ThreadCounter(pykka.ThreadingActor):
    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_receive(self, message: Any) -> int:
        self.total += 1
        return self.total


def rows() -> list[dict[str, Any]]:
    """tell/s and call µs, each with its peers."""
    logger.disable("engine")
    try:
        ours = trio.run(_ours)
    finally:
        logger.enable("engine")
    thread_tells, thread_ask_us = _threads()
    channel_tells, channel_call_us = trio.run(_channel)
    return [
        _row("kernel.tell", ours["tell"], "1/s", {THREADS: thread_tells, CHANNEL: channel_tells}),
        _row("kernel.call", ours["call"], "µs", {THREADS: thread_ask_us, CHANNEL: channel_call_us}),
        _row("kernel.call_async", ours["call_async"], "µs", {THREADS: thread_ask_us, CHANNEL: channel_call_us}, False),
    ]


def _row(name: str, value: float, unit: str, peers: dict[str, float], is_budgeted: bool = True) -> dict[str, Any]:
    """`ratio` is how many times better than the best peer."""
    is_rate = unit == "1/s"
    ratio = value / max(peers.values()) if is_rate else min(peers.values()) / value
    held = value >= TELL_BUDGET_PER_S if is_rate else value <= CALL_BUDGET_US
    budget = f">= {TELL_BUDGET_PER_S:,}" if is_rate else f"<= {CALL_BUDGET_US}"
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "budget": budget if is_budgeted else None,
        "ok": held if is_budgeted else True,
        "peers": {peer: round(figure, 2) for peer, figure in peers.items()},
        "ratio": round(ratio, 2),
    }


async def _seconds(work: Callable[..., Awaitable[None]], *args: Any) -> float:
    """The best of the rounds."""
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        await work(*args)
        best_s = min(best_s, time.perf_counter() - start_s)
    return best_s


async def _ours() -> dict[str, float]:
    async with open_system(SystemClock(), Entropy(1)) as system:
        await system.start(SupervisorSpec("root", children=(ChildSpec("counter", Counter),)))
        ref = system.address("root/counter")
        return {
            "tell": TELLS / await _seconds(_tell, ref),
            "call": await _seconds(_call, ref, Total(), CALLS) / CALLS * 1e6,
            "call_async": await _seconds(_call, ref, TotalAsync(), SLOW_CALLS) / SLOW_CALLS * 1e6,
        }


async def _tell(ref: Ref) -> None:
    message, before = Count(), await ref.call(Total(), timeout_s=1)
    for _ in range(TELLS // BURST):
        for _ in range(BURST):
            ref.tell(message)
        await trio.lowlevel.checkpoint()
    assert await ref.call(Total(), timeout_s=1) == before + TELLS


async def _call(ref: Ref, request: Request[int], times: int) -> None:
    for _ in range(times):
        await ref.call(request, timeout_s=1)


def _threads() -> tuple[float, float]:
    async def tell() -> None:
        for _ in range(THREAD_TELLS):
            ref.tell("count")
        ref.ask("count", timeout=30)

    async def ask() -> None:
        for _ in range(SLOW_CALLS):
            ref.ask("count", timeout=30)

    ref = ThreadCounter.start()
    try:
        tells_s, asks_s = trio.run(_seconds, tell), trio.run(_seconds, ask)
    finally:
        ref.stop()
    return THREAD_TELLS / tells_s, asks_s / SLOW_CALLS * 1e6


async def _channel() -> tuple[float, float]:
    tells_s, calls_s = await _seconds(_channel_tells), await _seconds(_channel_calls)
    return CHANNEL_TELLS / tells_s, calls_s / SLOW_CALLS * 1e6


async def _channel_tells() -> None:
    send, receive = trio.open_memory_channel[int](BURST)
    total = 0
    async with trio.open_nursery() as nursery:

        async def count() -> None:
            nonlocal total
            async for _ in receive:
                total += 1

        nursery.start_soon(count)
        async with send:
            for _ in range(CHANNEL_TELLS):
                await send.send(1)
    assert total == CHANNEL_TELLS


async def _channel_calls() -> None:
    ask, asked = trio.open_memory_channel[int](0)
    answer, answered = trio.open_memory_channel[int](0)
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            async for question in asked:
                await answer.send(question)

        nursery.start_soon(serve)
        async with ask:
            for _ in range(SLOW_CALLS):
                await ask.send(1)
                await answered.receive()
