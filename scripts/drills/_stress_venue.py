"""The venue of the stress drill: the simulator in a process of its own, its faults and its truth."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from engine.model import Columns
from engine.simulator.wire.faults import AnyFault
from scripts.drills._stress_plan import VENUE
from scripts.drills._stress_truth import Truth, bar_columns, decoded

__all__ = ["Place", "VenueControl", "WeightMeter", "open_control", "simulated_venue"]

ROOT = Path(__file__).resolve().parents[2]
CONTROL_TIMEOUT_S = 30.0
PUBLIC_WITHIN_S = 150.0
HISTORY_BARS = 499  # one more weighs more than twice as much


class Place(msgspec.Struct, frozen=True):
    """Where the venue is reached, and whoever commands it."""

    http: str
    ws: str
    spot_http: str
    control: str


@contextmanager
def simulated_venue(seed: int, symbols: int) -> Iterator[Place]:
    """A venue of `symbols` markets with the limits of the real one, for as long as the block runs."""
    command = [sys.executable, "-m", "engine.simulator.program", "--seed", str(seed), "--exit-with-parent"]
    command += ["--binance", "127.0.0.1:0", "--binance-symbols", str(symbols)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None, "opened with a pipe"
        try:
            ready = child.stdout.readline()
            if not ready:
                raise RuntimeError(f"the simulator ended before it was ready, with exit code {child.wait()}")
            told = json.loads(ready)
            place = told[VENUE]
            yield Place(place["http"], place["ws"], place["spot_http"], told["control"])
        finally:
            child.terminate()


class VenueControl:
    """The control endpoint: faults, truths, and what the venue has counted."""

    def __init__(self, client: httpx.AsyncClient, place: Place) -> None:
        self._client = client
        self._place = place

    async def strike(self, faults: Sequence[AnyFault]) -> list[int]:
        """Put `faults` in force, in this order; their ids."""
        return [(await self._post("/fault", msgspec.to_builtins(fault)))["id"] for fault in faults]

    async def lift_all(self) -> None:
        (await self._client.delete("/fault")).raise_for_status()

    async def truth(self, symbol: str, intervals: Sequence[str]) -> Truth:
        """What is so of one market now."""
        answer = await self._client.get("/truth", params={"venue": VENUE, "symbol": symbol})
        return decoded(answer.raise_for_status().content, symbol, intervals)

    async def symbols(self, count: int) -> tuple[str, ...]:
        """The venue's first `count` symbols, by its public interface."""
        listed = (await self._public("/fapi/v1/exchangeInfo", {}))["symbols"]
        return tuple(each["symbol"] for each in listed[:count])

    async def history(self, symbol: str, interval: str) -> Columns:
        """The venue's newest bars by its public interface, the last one open: as many as weigh least."""
        params = {"symbol": symbol, "interval": interval, "limit": HISTORY_BARS}
        return bar_columns(await self._public("/fapi/v1/klines", params))

    async def _public(self, path: str, params: dict[str, Any]) -> Any:
        """Within the venue's real limits, which the node has its share of: refused, it waits."""
        with trio.fail_after(PUBLIC_WITHIN_S):
            while True:
                answer = await self._client.get(f"{self._place.http}{path}", params=params)
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    return answer.raise_for_status().json()
                await trio.sleep(float(answer.headers["Retry-After"]))

    async def stats(self) -> dict[str, Any]:
        answer = await self._client.get("/stats")
        stats: dict[str, Any] = answer.raise_for_status().json()[VENUE]
        return stats

    async def struck(self) -> dict[str, int]:
        """How often each kind of fault did strike."""
        answer = await self._client.get("/stats")
        struck: dict[str, int] = answer.raise_for_status().json()["faults"]
        return struck

    async def _post(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self._client.post(path, json=body)
        if answer.is_error:
            raise RuntimeError(f"{path} {body}: {answer.text}")
        told: dict[str, Any] = answer.json()
        return told


class WeightMeter:
    """How much weight was used in all, from readings of what is used in the present minute."""

    def __init__(self) -> None:
        self._before = 0
        self._now = 0

    @property
    def total(self) -> int:
        return self._before + self._now

    def read(self, stats: Mapping[str, Any]) -> None:
        used = stats["used"]["weight"]
        if used < self._now:  # a new minute
            self._before += self._now
        self._now = used

    async def watch(self, control: VenueControl, every_s: float = 0.5) -> None:
        """For ever."""
        while True:
            self.read(await control.stats())
            await trio.sleep(every_s)


@asynccontextmanager
async def open_control(place: Place) -> AsyncIterator[VenueControl]:
    async with httpx.AsyncClient(base_url=place.control, trust_env=False, timeout=CONTROL_TIMEOUT_S) as client:
        yield VenueControl(client, place)
