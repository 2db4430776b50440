"""What no single field of a portfolio's section can tell."""

import re
from collections.abc import Mapping

from actors.portfolios.settings import PortfolioSettings

SIMULATED = ("binanceusdm", "deribit")  # what ccxt calls the venues there is a simulator of
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_portfolios(sections: Mapping[str, PortfolioSettings], *, live: bool, simulator: bool) -> str:
    """What is wrong with them, or nothing. Two that count the same money of the same account are."""
    counted: dict[tuple[object, ...], str] = {}
    for name, section in sections.items():
        path = f"portfolios.{name}"
        wrong = _wrong(name, section, live=live, simulator=simulator)
        if wrong:
            return f"{path}{wrong}"
        if section.backtest:
            continue
        place = (
            section.market,
            section.trading_symbol,
            section.simulated,
            section.account,
            *section.client.urls.items(),
        )
        other = counted.setdefault(place, name)
        if other != name:
            return f"{path}: expected money that no other portfolio counts, got the account of portfolios.{other}"
    return ""


def _wrong(name: str, section: PortfolioSettings, *, live: bool, simulator: bool) -> str:
    if not _NAME.fullmatch(name):
        return f": expected a name of letters, digits, _ and -, got {name!r}"
    if section.simulated and section.market not in SIMULATED:
        return f".simulated: expected a market of {', '.join(SIMULATED)}, got {section.market!r}"
    if section.simulated and not simulator:
        return ".simulated: expected a [simulator] section, got none"
    elsewhere = section.simulated or section.backtest or section.client.sandbox or "*" in section.client.urls
    if not live and not elsewhere:
        return f": expected live = true for an account at {section.market} itself, got live = false"
    return ""
