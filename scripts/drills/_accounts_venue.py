"""The venues of the accounts drill in a process of their own, and whoever is at their controls: people, the market, faults."""

import multiprocessing
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import Any

import httpx
import trio
from loguru import logger

from engine.kernel import Entropy, SystemClock
from engine.simulator import ApiKey, BinanceSettings, Credentials, DeribitSettings, open_simulator
from engine.simulator.binance_usdm.listing_queries import RATE_LIMITS
from engine.simulator.wire.binance_usdm import rest
from scripts.drills._accounts_ground import BINANCE, KEY, SECRET, Contract, Ground, Place, Truth

__all__ = ["ActRefused", "Venues"]

FORK = multiprocessing.get_context("fork")
READY_S = 30.0
TIMEOUT_S = 10.0


def _serve(seed: int, place: Connection) -> None:
    logger.remove()
    # Its clients hear of no limit and of nothing used: two of them ask for more in a minute than one address may.
    rest.WEIGHT_HEADER = "X-NOT-COUNTED"
    for limit in RATE_LIMITS:
        limit["limit"] = 1_000_000
    trio.run(_serve_for_ever, seed, place)


async def _serve_for_ever(seed: int, place: Connection) -> None:
    async with open_simulator(
        SystemClock(),
        Entropy(seed),
        binance=("127.0.0.1", 0),
        settings=DeribitSettings.plain(),
        credentials=Credentials(KEY, SECRET),
        binance_key=ApiKey(KEY, SECRET),
        binance_settings=BinanceSettings.plain(),
        binance_symbols=[contract.symbol for contract in BINANCE.contracts],
    ) as venues:
        place.send(
            Place(
                deribit_ws=venues.deribit.ws_url,
                deribit_http=venues.deribit.http_url,
                binance_http=venues.binance.http_url,
                binance_ws=venues.binance.ws_url,
                binance_spot=venues.binance.spot_http_url,
                control=venues.control_url,
            )
        )
        await trio.sleep_forever()


class ActRefused(Exception):
    """The venue would not do it, in its words; nothing was done."""


class Venues:
    """The running process. What is done here is done to `ground`'s main account."""

    def __init__(self, seed: int, ground: Ground) -> None:
        ours, theirs = FORK.Pipe()
        self._process = FORK.Process(target=_serve, args=(seed, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not ours.poll(READY_S):
            raise TimeoutError(f"the simulated venues did not get ready within {READY_S} s")
        self.place: Place = ours.recv()
        self._ground = ground
        self._control = httpx.Client(base_url=self.place.control, timeout=TIMEOUT_S, trust_env=False)
        self._marks: dict[str, Decimal] = {}
        self.look()

    # ── what is so ────────────────────────────────────────────────────────────────────────────────────────────────────

    def truth(self) -> Truth:
        name = self._ground.truth_name
        answer = self._control.get("/truth", params={"venue": name, "account": "main"}).raise_for_status().json()
        return self._ground.read(answer[name]["main"])

    def look(self) -> None:
        """Read the marks, while the venue can be reached."""
        path, name = self._ground.ticker
        for contract in self._ground.contracts:
            url = f"{self._ground.http(self.place)}{path}"
            answer = self._control.get(url, params={name: contract.symbol}).raise_for_status().json()
            self._marks[contract.symbol] = Decimal(str(self._ground.mark_of(answer)))

    def price(self, contract: Contract, factor: str) -> Decimal:
        """So many times the mark as last read, on the grid."""
        return round(self._marks[contract.symbol] * Decimal(factor), contract.digits)

    # ── what is done ──────────────────────────────────────────────────────────────────────────────────────────────────

    def act(self, do: str, **what: Any) -> dict[str, Any]:
        """Something happens at the venue by another hand than the node's. Raises `ActRefused`."""
        body = {"venue": self._ground.truth_name, "account": "main", "do": do, **what}
        return self._post("/act", {name: str(v) if isinstance(v, Decimal) else v for name, v in body.items()})

    def add_key(self) -> tuple[str, str]:
        """One more key pair of the account."""
        made = self._post("/keys", {"venue": self._ground.truth_name, "do": "add"})
        return made["key"], made["secret"]

    def revoke_key(self, key: str) -> None:
        self._post("/keys", {"venue": self._ground.truth_name, "do": "revoke", "key": key})

    def strike(self, kind: str, **what: Any) -> int:
        """Put a fault in force at this venue; its id."""
        fault: int = self._post("/fault", {"kind": kind, "venue": self._ground.truth_name, **what})["id"]
        return fault

    def lift(self) -> None:
        self._control.delete("/fault").raise_for_status()

    def set_clock(self, offset_ms: int) -> None:
        self._post("/clock", {"offset_ms": offset_ms})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._control.post(path, json=body)
        if answer.is_error:
            raise ActRefused(f"{path} {body}: {answer.text}")
        told: dict[str, Any] = answer.json()
        return told

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.join(TIMEOUT_S)
