"""A portfolio's section: what it may say, and what is refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from actors.node import NodeSettings, Unusable, check_usable
from actors.portfolios import PortfolioSettings
from engine.settings import SettingsError, load, schema_json, show
from engine.venues.ccxt import CredentialError

TEXT = """
live = true
[portfolios.okx]
market = "okx"
trading_symbol = "USDT"
initial_balance = "1000"
mode = "halt"
api_key = "env:KEY"
secret_key = "env:SECRET"
[portfolios.okx.client]
calls = 30
options = { defaultType = "swap" }
"""


def loaded(tmp_path: Path, text: str, **env: str) -> NodeSettings:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return load(path, NodeSettings, env)


def test_a_section_is_read_with_its_keys_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKX_PASSWORD", "phrase")
    settings = loaded(tmp_path, TEXT, KEY="k-value", SECRET="s-value")
    check_usable(settings)
    section = settings.portfolios["okx"]
    assert (section.mode, section.client.calls, section.client.options) == ("halt", 30, {"defaultType": "swap"})
    credential = section.read_credential()
    assert (credential.api_key, credential.secret_key, credential.password) == ("k-value", "s-value", "phrase")
    assert "-value" not in str(show(settings)) + repr(section) + repr(credential)


def test_a_key_itself_is_refused_in_a_live_file_and_a_missing_one_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="got the secret itself"):
        loaded(tmp_path, TEXT.replace("env:KEY", "abc"), SECRET="s")
    with pytest.raises(CredentialError, match="NOWHERE_API_KEY"):
        PortfolioSettings(market="nowhere", trading_symbol="USDT").read_credential()


def test_the_schema_lists_it() -> None:
    assert "PortfolioSettings" in schema_json(NodeSettings)


def section(**changes: Any) -> PortfolioSettings:
    return PortfolioSettings(**({"market": "deribit", "trading_symbol": "BTC"} | changes))


@pytest.mark.parametrize(
    ("portfolios", "wrong"),
    [
        ({"a": section()}, "expected live = true"),
        ({"a": section(simulated=True)}, "expected a .simulator. section"),
        ({"a": section(simulated=True, market="okx")}, "expected a market of binanceusdm, deribit"),
        ({"a:b": section(backtest=True)}, "expected a name of letters"),
        ({"a|b": section(backtest=True)}, "expected a name of letters"),
    ],
)
def test_what_cannot_work_is_refused(portfolios: dict[str, PortfolioSettings], wrong: str) -> None:
    with pytest.raises(Unusable, match=wrong):
        check_usable(NodeSettings(portfolios=portfolios))


def test_two_portfolios_do_not_count_the_same_money() -> None:
    with pytest.raises(Unusable, match=r"portfolios\.b: expected money that no other portfolio counts.*portfolios\.a"):
        check_usable(NodeSettings(live=True, portfolios={"a": section(), "b": section()}))
    other = section(trading_symbol="ETH")
    check_usable(NodeSettings(live=True, portfolios={"a": section(), "b": other, "c": section(backtest=True)}))


def test_a_portfolio_that_asks_no_production_host_needs_no_live_file() -> None:
    from engine.venues.ccxt import CcxtSettings

    there = section(client=CcxtSettings(urls={"*": "http://127.0.0.1:1"}))
    test = section(client=CcxtSettings(sandbox=True), trading_symbol="ETH")
    check_usable(NodeSettings(portfolios={"a": there, "b": test, "c": section(backtest=True)}))
