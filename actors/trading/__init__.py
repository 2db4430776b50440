"""Orders by one interface: in a node, in a strategy, over the admin socket and from the command line."""

from actors.trading.errors import (
    AdvancedOrderError,
    ConditionEvaluationError,
    NotificationError,
    OrderQueueError,
    PositionRecordingError,
    as_answer,
)
from actors.trading.forms import Figure, OrderForm, OrderOptions
from actors.trading.history import Filters
from actors.trading.interface import Trading
from actors.trading.metrics import OrderMetrics, metrics_of
from actors.trading.records import STATUS, fill_record, order_record, status_of
from actors.trading.when import condition_text, conditions_of

__all__ = [
    "STATUS",
    "AdvancedOrderError",
    "ConditionEvaluationError",
    "Figure",
    "Filters",
    "NotificationError",
    "OrderForm",
    "OrderMetrics",
    "OrderOptions",
    "OrderQueueError",
    "PositionRecordingError",
    "Trading",
    "as_answer",
    "condition_text",
    "conditions_of",
    "fill_record",
    "metrics_of",
    "order_record",
    "status_of",
]
