"""Both simulated venues in a process of their own, which does not die with the node but with whoever began it, and how a node
reaches them.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import httpx
import msgspec
import trio
from loguru import logger

from actors.account import AccountSettings
from actors.node import AccountSection, BinanceAccountSection, BinanceUsdmSection, DeribitSection, VenueSection
from actors.orders import OrdersSettings
from actors.session import SessionSettings
from engine.kernel import Entropy, SystemClock
from engine.model import OrderState
from engine.settings import Secret
from engine.simulator import ApiKey, BinanceSettings, Credentials, open_simulator
from engine.simulator import DeribitSettings as SimulatedDeribit
from engine.simulator.binance_usdm.listing_queries import RATE_LIMITS
from engine.simulator.wire.binance_usdm import rest
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.deribit import DeribitSettings

__all__ = [
    "BINANCE_STATES",
    "DERIBIT_STATES",
    "KEY",
    "KEYS",
    "SECRET",
    "BothVenues",
    "Keys",
    "Place",
    "Section",
    "binance_section",
    "deribit_section",
]

FORK = multiprocessing.get_context("fork")
READY_S = 30.0
ASK_S = 10.0
END_S = 10.0
LOOK_S = 0.5
SESSION = SessionSettings(retry_min_s=0.05, retry_max_s=0.3)

KEY, SECRET = "drill", "a-key-that-opens-only-a-simulated-account"
Keys = tuple[Secret, Secret]  # what the pair is called, and what opens it
KEYS: Keys = (Secret(KEY), Secret(SECRET))

#: What each venue calls the states of orders it has taken.
DERIBIT_STATES = {
    "open": OrderState.OPEN,
    "untriggered": OrderState.OPEN,
    "filled": OrderState.FILLED,
    "cancelled": OrderState.CANCELLED,
}
BINANCE_STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.OPEN,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the simulated venues are."""

    deribit_ws: str
    deribit_http: str
    binance_http: str
    binance_ws: str
    binance_spot: str
    control: str


#: Makes a venue's part of a node's settings; the symbols are those it watches.
Section = Callable[[Place, OrdersSettings, AccountSettings, Keys, tuple[str, ...]], VenueSection]


class BothVenues:
    """The running process of both venues and its control endpoint; `binance_symbols` are all that is traded at Binance."""

    def __init__(self, seed: int, binance_symbols: Sequence[str]) -> None:
        ours, theirs = FORK.Pipe()
        self._process = FORK.Process(target=_serve, args=(seed, binance_symbols, theirs, os.getpid()), daemon=True)
        self._process.start()
        theirs.close()
        if not ours.poll(READY_S):
            self._end()
            raise TimeoutError(f"the simulated venues did not get ready within {READY_S} s")
        self.place: Place = ours.recv()
        self.control = httpx.Client(base_url=self.place.control, timeout=ASK_S, trust_env=False)

    def close(self) -> None:
        self.control.close()
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.join(END_S)


def _serve(seed: int, binance_symbols: Sequence[str], place: Connection, parent: int) -> None:
    logger.remove()
    # Its clients hear of no limit and of nothing used: they ask for more in a minute than one address may.
    rest.WEIGHT_HEADER = "X-NOT-COUNTED"
    for limit in RATE_LIMITS:
        limit["limit"] = 1_000_000
    trio.run(_serve_until_alone, seed, binance_symbols, place, parent)


async def _serve_until_alone(seed: int, binance_symbols: Sequence[str], place: Connection, parent: int) -> None:
    """Until the process `parent` is gone. It may be killed and end nobody; and the end of a pipe would not tell, for whatever it
    forked later has the pipe too.
    """
    async with open_simulator(
        SystemClock(),
        Entropy(seed),
        binance=("127.0.0.1", 0),
        settings=SimulatedDeribit.plain(),
        credentials=Credentials(KEY, SECRET),
        binance_key=ApiKey(KEY, SECRET),
        binance_settings=BinanceSettings.plain(),
        binance_symbols=binance_symbols,
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
        while os.getppid() == parent:  # noqa: ASYNC110 (nothing here hears of it)
            await trio.sleep(LOOK_S)


# ── how a node reaches them ───────────────────────────────────────────────────────────────────────────────────────────


def deribit_section(
    place: Place, orders: OrdersSettings, sync: AccountSettings, keys: Keys, symbols: tuple[str, ...]
) -> VenueSection:
    connection = DeribitSettings(
        ws_url=place.deribit_ws,
        http_url=place.deribit_http,
        orders_per_s=1000.0,
        orders_burst=1000.0,
        statements_per_s=10.0,
        statements_burst=80.0,
    )
    account = AccountSection(client_id=keys[0], client_secret=keys[1], orders=orders, sync=sync)
    return DeribitSection(symbols=symbols, connection=connection, session=SESSION, accounts={"main": account})


def binance_section(
    place: Place, orders: OrdersSettings, sync: AccountSettings, keys: Keys, symbols: tuple[str, ...]
) -> VenueSection:
    connection = BinanceUsdmSettings(
        http_url=place.binance_http, ws_url=place.binance_ws, spot_url=place.binance_spot, order_share=1.0
    )
    account = BinanceAccountSection(api_key=keys[0], api_secret=keys[1], orders=orders, sync=sync)
    return BinanceUsdmSection(symbols=symbols, connection=connection, session=SESSION, accounts={"main": account})
