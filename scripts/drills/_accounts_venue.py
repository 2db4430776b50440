"""Whoever is at the controls of the venues of the accounts drill: people, the market, faults."""

from decimal import Decimal
from typing import Any

from scripts.drills._accounts_ground import BINANCE, Contract, Ground, Truth
from scripts.drills._both_venues import BothVenues

__all__ = ["ActRefused", "Venues"]


class ActRefused(Exception):
    """The venue would not do it, in its words; nothing was done."""


class Venues(BothVenues):
    """The running venues. What is done here is done to `ground`'s main account."""

    def __init__(self, seed: int, ground: Ground) -> None:
        super().__init__(seed, [contract.symbol for contract in BINANCE.contracts])
        self._ground = ground
        self._marks: dict[str, Decimal] = {}
        self.look()

    # ── what is so ────────────────────────────────────────────────────────────────────────────────────────────────────

    def truth(self) -> Truth:
        name = self._ground.truth_name
        answer = self.control.get("/truth", params={"venue": name, "account": "main"}).raise_for_status().json()
        return self._ground.read(answer[name]["main"])

    def look(self) -> None:
        """Read the marks, while the venue can be reached."""
        path, name = self._ground.ticker
        for contract in self._ground.contracts:
            url = f"{self._ground.http(self.place)}{path}"
            answer = self.control.get(url, params={name: contract.symbol}).raise_for_status().json()
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
        self.control.delete("/fault").raise_for_status()

    def set_clock(self, offset_ms: int) -> None:
        self._post("/clock", {"offset_ms": offset_ms})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.control.post(path, json=body)
        if answer.is_error:
            raise ActRefused(f"{path} {body}: {answer.text}")
        told: dict[str, Any] = answer.json()
        return told
