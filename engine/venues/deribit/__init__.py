"""Deribit: REST and streams of the v2 JSON-RPC interface."""

from engine.venues.decoding import WireError
from engine.venues.deribit.settings import DeribitSettings
from engine.venues.deribit.venue import DeribitVenue

__all__ = ["DeribitSettings", "DeribitVenue", "WireError"]
