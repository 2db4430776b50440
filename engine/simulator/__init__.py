"""A simulated exchange: a matching engine with accounts and moving markets, the venues' faces over it, and their wire."""

from engine.simulator.exchange import Exchange
from engine.simulator.replay import Recording, ReplayError, load_recording
from engine.simulator.serving import (
    SimulatorOptions,
    UsageError,
    add_simulator_arguments,
    run_simulator,
    simulator_options,
)
from engine.simulator.wire import (
    ApiKey,
    BinanceEndpoint,
    BinanceSettings,
    Credentials,
    DeribitSettings,
    FaultBoard,
    FaultPlan,
    Simulator,
    faults,
    open_simulator,
)

__all__ = [
    "ApiKey",
    "BinanceEndpoint",
    "BinanceSettings",
    "Credentials",
    "DeribitSettings",
    "Exchange",
    "FaultBoard",
    "FaultPlan",
    "Recording",
    "ReplayError",
    "Simulator",
    "SimulatorOptions",
    "UsageError",
    "add_simulator_arguments",
    "faults",
    "load_recording",
    "open_simulator",
    "run_simulator",
    "simulator_options",
]
