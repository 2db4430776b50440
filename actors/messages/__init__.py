"""What the actors say to each other.

Calls go down the layers (strategy → orders → session → recorder), events go up. Commands are refused at the door when
there is no room or nobody home. Fills and order updates are never dropped: a full mailbox there is a loud failure.
Everything about markets may be conflated: the newest state is in `MarketState`, the message only says that it moved.
"""

from actors.messages.account import (
    GetHoldings,
    HearFills,
    Holdings,
    HoldingsChanged,
    Reconcile,
    SyncNow,
    SyncSoon,
    Unsynced,
    VenueWord,
)
from actors.messages.market import MarketChanged, WatchMarket
from actors.messages.notices import Notify
from actors.messages.orders import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelAll,
    CancelOrder,
    FillUpdate,
    GetOrder,
    GetOrdersStatus,
    OrdersStatus,
    OrderUpdate,
    QuiesceOrders,
    ResolveOrder,
    SetGate,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Verdict,
)
from actors.messages.plans import (
    CancelPlan,
    CancelPlans,
    Execute,
    GetOrderByKey,
    GetPlan,
    GetPlans,
    Planned,
    PlanStatus,
    PlanUpdate,
)
from actors.messages.triggers import Arm, ConditionsMet, Disarm, PublishFigure, TrailMoved
from actors.messages.venue import Answered, VenueCall, VenueReachable, ask_market, ask_venue

__all__ = [
    "CancelPlan",
    "CancelPlans",
    "Execute",
    "GetOrderByKey",
    "GetPlan",
    "GetPlans",
    "PlanStatus",
    "PlanUpdate",
    "Planned",
    "Accepted",
    "AcceptedLinked",
    "AmendOrder",
    "Answered",
    "Arm",
    "CancelAll",
    "CancelOrder",
    "ConditionsMet",
    "Disarm",
    "FillUpdate",
    "GetHoldings",
    "GetOrder",
    "GetOrdersStatus",
    "HearFills",
    "Holdings",
    "HoldingsChanged",
    "MarketChanged",
    "Notify",
    "OrderUpdate",
    "OrdersStatus",
    "PublishFigure",
    "QuiesceOrders",
    "Reconcile",
    "ResolveOrder",
    "SetGate",
    "SubmitBatch",
    "SubmitLinked",
    "SubmitOrder",
    "SyncNow",
    "SyncSoon",
    "TrailMoved",
    "Unsynced",
    "VenueCall",
    "VenueReachable",
    "VenueWord",
    "Verdict",
    "WatchMarket",
    "ask_market",
    "ask_venue",
]
