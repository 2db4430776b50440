"""Deribit: REST and streams of the v2 JSON-RPC interface."""

from engine.venues.deribit.settings import DeribitSettings
from engine.venues.deribit.venue import DeribitVenue
from engine.venues.deribit.wire import WireError

__all__ = ["DeribitSettings", "DeribitVenue", "WireError"]
