"""Deribit's face of the simulated exchange: its methods, channels and errors, without any wire."""

from engine.simulator.deribit.rpc import Caller, Held, RpcError
from engine.simulator.deribit.venue import DeribitVenue, Publish

__all__ = ["Caller", "DeribitVenue", "Held", "Publish", "RpcError"]
