"""What a key may do, and the spot host's answer to its owner who asks for that."""

from collections.abc import Collection
from typing import Any

from engine.simulator.binance_usdm import ApiError
from engine.simulator.wire.keychanges import Permission

__all__ = ["RESTRICTIONS", "check_permission", "restrictions_of"]

RESTRICTIONS = "/sapi/v1/account/apiRestrictions"
_CREATED_MS = 1_623_840_271_000
_LISTEN_KEYS = "/fapi/v1/listenKey"


def check_permission(permissions: Collection[Permission], method: str, path: str) -> None:
    """Complain of a key that may not do this. Raises ApiError."""
    needed: Permission = "read" if method == "GET" or path == _LISTEN_KEYS else "trade"
    if needed not in permissions:
        raise ApiError(401, -2015, "Invalid API-key, IP, or permissions for action.")


def restrictions_of(permissions: Collection[Permission]) -> dict[str, Any]:
    trades = "trade" in permissions
    return {
        "ipRestrict": "withdraw" in permissions,  # which the venue insists on
        "createTime": _CREATED_MS,
        "enableReading": "read" in permissions,
        "enableWithdrawals": "withdraw" in permissions,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": trades,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enableSpotAndMarginTrading": trades,
        "enablePortfolioMarginTrading": False,
    }
