"""Figures from what happened: pure functions over fills, plans and marks."""

from engine.analytics.evaluation import Arm, Evaluation, Finding, evaluate
from engine.analytics.fill_model import FillModel, Observation, observations
from engine.analytics.pace import Choice, Ground, Rules, choose, expected_cost_bp, grid
from engine.analytics.plan_cost import plan_cost_bp
from engine.analytics.pnl import Pnl, pnl_of, realised, unrealised
from engine.analytics.positions import PositionStatistics

__all__ = [
    "Pnl",
    "PositionStatistics",
    "pnl_of",
    "realised",
    "unrealised",
    "Arm",
    "Choice",
    "Evaluation",
    "FillModel",
    "Finding",
    "Ground",
    "Observation",
    "Rules",
    "choose",
    "evaluate",
    "expected_cost_bp",
    "grid",
    "observations",
    "plan_cost_bp",
]
