"""Portfolios: accounts at any exchange, read through ccxt and kept in step. One actor each; nothing here trades."""

from actors.portfolios.actor import PortfolioKeeper
from actors.portfolios.checks import check_portfolios
from actors.portfolios.desk import PortfolioDesk
from actors.portfolios.functions import Portfolios
from actors.portfolios.messages import FollowOrder, GetPortfolio, PortfolioSynced, PortfolioView, SyncPortfolio
from actors.portfolios.settings import PortfolioSettings
from actors.portfolios.tree import PORTFOLIOS, portfolios_spec

__all__ = [
    "PORTFOLIOS",
    "FollowOrder",
    "GetPortfolio",
    "PortfolioDesk",
    "PortfolioKeeper",
    "PortfolioSettings",
    "PortfolioSynced",
    "PortfolioView",
    "Portfolios",
    "SyncPortfolio",
    "check_portfolios",
    "portfolios_spec",
]
