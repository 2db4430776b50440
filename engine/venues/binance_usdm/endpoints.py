"""The signed endpoints: where, what a request costs, and whether it acts."""

import msgspec

from engine.net import Priority


class Call(msgspec.Struct, frozen=True):
    """`weight` is of the address; `orders` is how much it counts as for the account, in ten seconds and in a minute. `signed`
    False: the key alone will do."""

    method: str
    path: str
    weight: float
    priority: Priority = Priority.QUERY
    orders: tuple[int, int] = (0, 0)
    acts: bool = False
    signed: bool = True

    @property
    def what(self) -> str:
        return f"{self.method} {self.path}"


_ORDER = "/fapi/v1/order"
_ALGO = "/fapi/v1/algoOrder"
_KEY = "/fapi/v1/listenKey"

PLACE = Call("POST", _ORDER, 0, Priority.ORDER, orders=(1, 1), acts=True)
AMEND = Call("PUT", _ORDER, 0, Priority.ORDER, orders=(1, 1), acts=True)
CANCEL = Call("DELETE", _ORDER, 1, Priority.CANCEL, acts=True)
PLACE_ALGO = Call("POST", _ALGO, 0, Priority.ORDER, orders=(1, 1), acts=True)
CANCEL_ALGO = Call("DELETE", _ALGO, 1, Priority.CANCEL, acts=True)
PLACE_BATCH = Call("POST", "/fapi/v1/batchOrders", 5, Priority.ORDER, orders=(5, 1), acts=True)
CANCEL_BATCH = Call("DELETE", "/fapi/v1/batchOrders", 1, Priority.CANCEL, acts=True)
CANCEL_ALL = Call("DELETE", "/fapi/v1/allOpenOrders", 1, Priority.CANCEL, acts=True)
CANCEL_ALL_ALGOS = Call("DELETE", "/fapi/v1/algoOpenOrders", 1, Priority.CANCEL, acts=True)
COUNT_DOWN = Call("POST", "/fapi/v1/countdownCancelAll", 10, Priority.CANCEL, acts=True)

GET_ORDER = Call("GET", _ORDER, 1)
OPEN_ORDERS_OF = Call("GET", "/fapi/v1/openOrders", 1)
OPEN_ORDERS = Call("GET", "/fapi/v1/openOrders", 40)
ALL_ORDERS = Call("GET", "/fapi/v1/allOrders", 5)
GET_ALGO = Call("GET", _ALGO, 1)
OPEN_ALGOS_OF = Call("GET", "/fapi/v1/openAlgoOrders", 1)
OPEN_ALGOS = Call("GET", "/fapi/v1/openAlgoOrders", 40)
ALL_ALGOS = Call("GET", "/fapi/v1/allAlgoOrders", 5)

TRADES = Call("GET", "/fapi/v1/userTrades", 5)
INCOME = Call("GET", "/fapi/v1/income", 30)
ACCOUNT_CONFIG = Call("GET", "/fapi/v1/accountConfig", 5)
RESTRICTIONS = Call("GET", "/sapi/v1/account/apiRestrictions", 1)  # at the spot host
POSITIONS = Call("GET", "/fapi/v3/positionRisk", 5)
ACCOUNT = Call("GET", "/fapi/v3/account", 5)

OPEN_KEY = Call("POST", _KEY, 1, signed=False)
RENEW_KEY = Call("PUT", _KEY, 1, signed=False)
