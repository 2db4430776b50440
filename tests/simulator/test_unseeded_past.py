"""Without a seed markets are new at each start, and yet have one past."""

from engine.kernel import Entropy, SystemClock
from engine.simulator import open_simulator


async def test_the_past_is_the_same_whenever_it_is_asked_for_and_another_at_the_next_start() -> None:
    pasts = []
    for _ in range(2):
        async with open_simulator(SystemClock(), Entropy(None), deribit=None, control=None) as sim:
            first, second = (sim.binance.truth("BTCUSDT")["bars"]["1h"]["closed"] for _ in range(2))
            assert first == second
            pasts.append(first)
    assert pasts[0] != pasts[1]
