"""The simulator's wire: HTTP and WebSocket servers for the simulated venues, and faults on command."""

from engine.simulator.wire import faults
from engine.simulator.wire.binance_usdm import ApiKey, BinanceEndpoint, BinanceSettings
from engine.simulator.wire.deribit import Credentials, CreditLimits, DeribitEndpoint, DeribitSettings, Pool
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.faultplan import FAULT_KINDS, FaultPlan, PlannedFault
from engine.simulator.wire.quirks import QuirkSettings
from engine.simulator.wire.simulator import ANY_PORT, Simulator, open_simulator

__all__ = [
    "ANY_PORT",
    "FAULT_KINDS",
    "ApiKey",
    "BinanceEndpoint",
    "BinanceSettings",
    "CreditLimits",
    "Credentials",
    "DeribitEndpoint",
    "DeribitSettings",
    "FaultBoard",
    "FaultPlan",
    "PlannedFault",
    "Pool",
    "QuirkSettings",
    "Simulator",
    "faults",
    "open_simulator",
]
