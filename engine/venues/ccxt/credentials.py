"""Keys of an account at an exchange: typed, from the environment or from the configuration, and never shown."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from engine.venues.ccxt.errors import CredentialError

HIDDEN = "***"
SHORTEST = 4

#: What ccxt calls a part of a credential → what it is called here, and in capitals in the environment.
PARTS: Final[Mapping[str, str]] = {
    "apiKey": "api_key",
    "secret": "secret_key",
    "password": "password",
    "uid": "uid",
    "accountId": "account_id",
    "login": "login",
    "privateKey": "private_key",
    "token": "token",
    "twofa": "twofa",
    "walletAddress": "wallet_address",
}


class MarketCredential:
    """One account's keys. What is not given is looked for in the environment by `initialize`.

    `others` are the parts only few exchanges want (`PARTS`), by our name: `{"private_key": …}`. Two with the same content
    are equal.
    """

    __slots__ = ("__values", "market")

    def __init__(
        self,
        market: str,
        api_key: str | None = None,
        secret_key: str | None = None,
        password: str | None = None,
        uid: str | None = None,
        others: Mapping[str, str] | None = None,
    ) -> None:
        given = {"api_key": api_key, "secret_key": secret_key, "password": password, "uid": uid, **(others or {})}
        unknown = sorted(set(given) - set(PARTS.values()))
        if unknown:
            raise CredentialError(market, f"expected parts of {sorted(PARTS.values())}, got {unknown}")
        self.market = market.lower()
        self.__values = {name: value.strip() for name, value in given.items() if value is not None and value.strip()}

    def initialize(self, environment: Mapping[str, str] | None = None) -> "MarketCredential":
        """With what is missing read from `{MARKET}_API_KEY`, `{MARKET}_SECRET_KEY`, `{MARKET}_PASSWORD`, `{MARKET}_UID` and the like.

        Raises `CredentialError` when there is nothing at all. Which parts an exchange wants it says itself, later.
        """
        env = os.environ if environment is None else environment
        prefix = re.sub(r"[^A-Z0-9]+", "_", self.market.upper())
        found = {name: env.get(f"{prefix}_{name.upper()}", "").strip() for name in PARTS.values()}
        values = {name: value for name, value in found.items() if value} | self.__values
        if not values:
            raise CredentialError(
                self.market,
                f"no market credential: expected {prefix}_API_KEY and {prefix}_SECRET_KEY in the environment,"
                " or keys in the portfolio's section, got neither",
            )
        whole = MarketCredential(self.market)
        whole.__values = values
        return whole

    @property
    def api_key(self) -> str | None:
        return self.__values.get("api_key")

    @property
    def secret_key(self) -> str | None:
        return self.__values.get("secret_key")

    @property
    def password(self) -> str | None:
        return self.__values.get("password")

    @property
    def uid(self) -> str | None:
        return self.__values.get("uid")

    def reveal(self) -> dict[str, str]:
        """By ccxt's names: for the one place that hands them to it."""
        return {theirs: self.__values[ours] for theirs, ours in PARTS.items() if ours in self.__values}

    def missing(self, required: Mapping[str, bool]) -> tuple[str, ...]:
        """Our names of what an exchange's `requiredCredentials` wants and this has not."""
        return tuple(PARTS.get(name, name) for name, wanted in required.items() if wanted and name not in self.reveal())

    def redact(self, text: str) -> str:
        """The text without any part of this credential. What is shorter than a key can be is no key, and may stand for anything."""
        for value in sorted(self.__values.values(), key=len, reverse=True):
            text = text.replace(value, HIDDEN) if len(value) >= SHORTEST else text
        return text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MarketCredential):
            return NotImplemented
        return (self.market, self.__values) == (other.market, other.__values)

    def __hash__(self) -> int:
        return hash((self.market, tuple(sorted(self.__values.items()))))

    def __repr__(self) -> str:
        shown = "".join(f", {name}={HIDDEN}" for name in self.__values)
        return f"MarketCredential(market={self.market!r}{shown})"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a MarketCredential is not pickled: read it again where it is kept")


class MarketCredentialService:
    """The credentials in use, by market; a portfolio with keys of its own has them under its name.

    `replaced` is told of one that another took the place of: whoever works with it lets go of it.
    """

    def __init__(self, replaced: Callable[[MarketCredential], Any] = lambda _: None) -> None:
        self._replaced = replaced
        self._kept: dict[tuple[str, str], MarketCredential] = {}

    def add(self, credential: MarketCredential, portfolio: str = "") -> None:
        """Keep it; of the same content again changes nothing."""
        place = (credential.market, portfolio)
        before = self._kept.get(place)
        self._kept[place] = credential
        if before is not None and before != credential and before not in self._kept.values():
            self._replaced(before)

    def get(self, market: str, portfolio: str = "") -> MarketCredential | None:
        """The portfolio's own, else the market's; None when there is neither."""
        market = market.lower()
        return self._kept.get((market, portfolio)) or self._kept.get((market, ""))

    def get_all(self) -> tuple[MarketCredential, ...]:
        return tuple(self._kept.values())
