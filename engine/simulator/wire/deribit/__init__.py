"""Deribit's wire: JSON-RPC 2.0 over WebSocket and HTTP on one port, with logins, heartbeats, rate limits and subscriptions."""

from engine.simulator.wire.deribit.credits import CreditLimits, Pool
from engine.simulator.wire.deribit.endpoint import Credentials, DeribitEndpoint, open_deribit
from engine.simulator.wire.deribit.server import DeribitServer
from engine.simulator.wire.deribit.settings import DeribitSettings

__all__ = [
    "CreditLimits",
    "Credentials",
    "DeribitEndpoint",
    "DeribitServer",
    "DeribitSettings",
    "Pool",
    "open_deribit",
]
