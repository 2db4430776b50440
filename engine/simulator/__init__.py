"""A simulated exchange: a matching engine with accounts and moving markets, and the venues' faces over it."""

from engine.simulator.exchange import Exchange
from engine.simulator.replay import Recording, ReplayError, load_recording

__all__ = ["Exchange", "Recording", "ReplayError", "load_recording"]
