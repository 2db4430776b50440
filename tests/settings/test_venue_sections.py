"""A venue's section is told apart by its kind, and what cannot work is refused before anything starts."""

from pathlib import Path

import msgspec
import pytest

from actors.feed import FeedSettings
from actors.node import BinanceAccountSection, BinanceUsdmSection, DeribitSection, NodeSettings, Unusable, check_usable
from actors.stream import StreamSettings
from engine.model import INTERVAL_MS, DataCells
from engine.settings import Secret, SettingsError, load
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue
from engine.venues.deribit import DeribitSettings, DeribitVenue

INTERVALS = tuple(INTERVAL_MS)

SIMULATED = """
name = "two"
[simulator]
[venues.deribit]
kind = "deribit"
simulated = true
symbols = ["BTC-PERPETUAL"]
[venues.binance]
kind = "binance_usdm"
simulated = true
symbols = ["BTCUSDT"]
"""


def loaded(tmp_path: Path, text: str) -> NodeSettings:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return load(path, NodeSettings, {})


def with_binance(section: BinanceUsdmSection, *, live: bool = False) -> NodeSettings:
    return NodeSettings(venues={"binance": section}, live=live)


def test_sections_are_told_apart_by_their_kind(tmp_path: Path) -> None:
    venues = loaded(tmp_path, SIMULATED).venues
    assert {name: type(section) for name, section in venues.items()} == {
        "deribit": DeribitSection,
        "binance": BinanceUsdmSection,
    }


def test_an_unknown_kind_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"venues\.binance\.kind.*'binance_usdm'.*'binance_usd'"):
        loaded(tmp_path, SIMULATED.replace('"binance_usdm"', '"binance_usd"'))


@pytest.mark.parametrize(
    ("venue", "key", "secret"), [("deribit", "client_id", "client_secret"), ("binance", "api_key", "api_secret")]
)
def test_a_key_pair_has_its_venues_words(tmp_path: Path, venue: str, key: str, secret: str) -> None:
    text = f'{SIMULATED}[venues.{venue}.accounts.main]\n{key} = "env:K"\n{secret} = "env:S"\n'
    path = tmp_path / "node.toml"
    path.write_text(text)
    section = load(path, NodeSettings, {"K": "our key", "S": "our secret"}).venues[venue]
    pair = section.accounts["main"].key_pair
    assert pair is not None
    assert (pair.key, pair.reveal_secret()) == ("our key", "our secret")
    assert "our secret" not in repr(pair)


@pytest.mark.parametrize(("venue", "key"), [("deribit", "api_key"), ("binance", "client_id")])
def test_a_key_pair_in_the_words_of_another_venue_is_an_unknown_key(tmp_path: Path, venue: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"venues\.{venue}\.accounts\.main\.{key}: unknown key"):
        loaded(tmp_path, f'{SIMULATED}[venues.{venue}.accounts.main]\n{key} = "env:HOME"\n')


@pytest.mark.parametrize("half", [{}, {"api_key": Secret("a")}, {"api_secret": Secret("a")}])
def test_an_account_without_a_whole_key_pair_is_unusable(half: dict[str, Secret]) -> None:
    section = BinanceUsdmSection(symbols=("BTCUSDT",), accounts={"main": BinanceAccountSection(**half)})
    with pytest.raises(
        Unusable, match=r"venues\.binance\.accounts\.main: expected api_key and api_secret, got no key pair"
    ):
        check_usable(with_binance(section))


def test_a_share_of_the_orders_too_small_for_a_batch_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"venues\.binance\.connection\.order_share.*0\.02"):
        loaded(tmp_path, f"{SIMULATED}[venues.binance.connection]\norder_share = 0.001\n")


def test_a_cell_of_the_routing_table_is_said_and_the_others_stay(tmp_path: Path) -> None:
    text = SIMULATED + "[venues.binance.data]\nspot = { poll_s = 30.0 }\n"
    assert loaded(tmp_path, text).venues["binance"].data == {"spot": DataCells(poll_s=30.0)}
    check_usable(loaded(tmp_path, text))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("weather = { poll_s = 30.0 }", r"venues\.binance\.data\.weather: expected one of bars, book"),
        ("spot = { poll_s = 30.0, age_s = 20.0 }", r"venues\.binance\.data\.spot\.poll_s: expected less"),
        ('forced = { via = "poll" }', r"venues\.binance\.data\.forced"),
    ],
)
def test_a_table_that_cannot_work_is_unusable(tmp_path: Path, row: str, problem: str) -> None:
    settings = loaded(tmp_path, f"{SIMULATED}[venues.binance.data]\n{row}\n")
    with pytest.raises(Unusable, match=problem):
        check_usable(settings)


@pytest.mark.parametrize("url", ["http_url", "ws_url"])
def test_a_production_host_is_refused_unless_live(url: str) -> None:
    host = {"http_url": "https://fapi.binance.com", "ws_url": "wss://fstream.binance.com"}[url]
    section = BinanceUsdmSection(symbols=("BTCUSDT",), connection=BinanceUsdmSettings(**{url: host}))
    with pytest.raises(Unusable, match=r"venues\.binance: expected `live = true`"):
        check_usable(with_binance(section))
    check_usable(with_binance(section, live=True))
    check_usable(with_binance(BinanceUsdmSection(symbols=("BTCUSDT",))))


def test_a_symbol_named_twice_is_unusable() -> None:
    with pytest.raises(Unusable, match=r"venues\.binance\.symbols: .* got twice: BTCUSDT"):
        check_usable(with_binance(BinanceUsdmSection(symbols=("BTCUSDT", "ETHUSDT", "BTCUSDT"))))


@pytest.mark.parametrize(
    ("symbols", "a_stream", "intervals", "off", "usable"),
    [
        (114, 114, INTERVALS, (), False),  # six of bars, and trades, marks and liquidations: nine streams a symbol
        (114, 113, INTERVALS, (), True),
        (113, 1000, INTERVALS, (), True),  # never more on one connection than there are
        (1000, 1000, ("1m",), (), False),
        (1000, 1000, (), ("trades", "forced"), True),
        (1000, 1000, ("1m",), ("trades", "forced", "mark"), True),
    ],
)
def test_more_streams_than_a_connection_takes_are_unusable(
    symbols: int, a_stream: int, intervals: tuple[str, ...], off: tuple[str, ...], usable: bool
) -> None:
    section = BinanceUsdmSection(
        symbols=tuple(f"S{n}USDT" for n in range(symbols)),
        stream=StreamSettings(symbols_per_stream=a_stream),
        feed=FeedSettings(intervals=intervals),
        data={name: DataCells(via="off") for name in off},
    )
    if usable:
        check_usable(with_binance(section))
    else:
        with pytest.raises(Unusable, match=r"venues\.binance\.stream\.symbols_per_stream: expected at most \d+"):
            check_usable(with_binance(section))
    check_usable(with_binance(msgspec.structs.replace(section, websocket=False)))


def test_a_simulated_venue_needs_a_simulator() -> None:
    with pytest.raises(Unusable, match="simulator"):
        check_usable(with_binance(BinanceUsdmSection(symbols=("BTCUSDT",), simulated=True)))


@pytest.mark.parametrize("venue", [DeribitVenue, BinanceUsdmVenue])
def test_a_venues_own_table_has_a_row_for_each_class_and_source(venue: type[DeribitVenue | BinanceUsdmVenue]) -> None:
    classes = {str(name) for route in venue.routes.values() for name in route}
    assert venue.policy.keys() == classes | venue.sources.keys()


def test_the_settings_of_connections_have_no_production_host_of_their_own() -> None:
    assert (DeribitSettings().production_url, BinanceUsdmSettings().production_url) == ("", "")
