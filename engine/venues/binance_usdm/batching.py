"""Several orders in one request: up to five are placed, up to ten of one symbol cancelled.

A batch is not one act: the venue takes or refuses each order for itself, so each has an answer of its own, an error being one of
them. What goes wrong with the request as a whole went wrong for every order in it. Conditional orders have no batches here, nor
has a request for longer than the first of its orders may still be started.
"""

from collections.abc import Sequence

import msgspec

from engine.model import Instrument, Order, OrderReport
from engine.venues.base import OutcomeUnknown, Refused, Unavailable, VenueError
from engine.venues.binance_usdm.endpoints import CANCEL_BATCH, PLACE_BATCH, Call
from engine.venues.binance_usdm.errors import DUPLICATE, NOT_OPEN, WRONG_SIDE, error_in_list
from engine.venues.binance_usdm.listing import ORDER, ROWS
from engine.venues.binance_usdm.mapping import AccountView
from engine.venues.binance_usdm.memory import AccountMemory
from engine.venues.binance_usdm.params import order_params
from engine.venues.binance_usdm.signed import Params, SignedClient
from engine.venues.binance_usdm.wire import ErrorReply, decoder
from engine.venues.decoding import WireError, decode

MOST_PLACED = 5
MOST_CANCELLED = 10


class MaybeError(ErrorReply):
    """An error, or an order, which has no code."""

    code: int = 0


_FAILED = decoder(MaybeError)


class Batches:
    """See the module's page."""

    def __init__(self, client: SignedClient, view: AccountView, memory: AccountMemory) -> None:
        self._client = client
        self._view = view
        self._memory = memory

    async def place(self, orders: Sequence[tuple[Order, Instrument]]) -> tuple[OrderReport | VenueError, ...]:
        """The answer to each. Raises the `VenueError` of the whole request."""
        _check_size(len(orders), MOST_PLACED)
        hedge = self._memory.hedge
        rows = [_plain(order_params(order, instrument)(hedge)) for order, instrument in orders]
        until_ms = min((order.valid_until_ms for order, _ in orders if order.valid_until_ms), default=None)
        params = {"batchOrders": msgspec.json.encode(rows).decode()}
        answers = await self._client.ask(PLACE_BATCH, params, ROWS, until_ms=until_ms)
        return tuple(self._placed(raw, hedge) for raw in _complete(PLACE_BATCH, answers, len(orders)))

    async def cancel(
        self, orders: Sequence[Order], instrument: Instrument
    ) -> tuple[OrderReport | VenueError | None, ...]:
        """The answer to each, None as `VenueRest.cancel` means it. Raises the `VenueError` of the whole request."""
        _check_size(len(orders), MOST_CANCELLED)
        names = msgspec.json.encode([order.client_order_id for order in orders]).decode()
        params = {"symbol": instrument.symbol, "origClientOrderIdList": names}
        answers = await self._client.ask(CANCEL_BATCH, params, ROWS)
        return tuple(self._cancelled(raw) for raw in _complete(CANCEL_BATCH, answers, len(orders)))

    def _placed(self, raw: msgspec.Raw, hedge: bool) -> OrderReport | VenueError:
        answer = self._answer(PLACE_BATCH, raw)
        code = answer.code if isinstance(answer, Refused) else 0
        if code == DUPLICATE:  # the attempt is there
            return OutcomeUnknown(str(answer), code=code)
        if code in WRONG_SIDE:  # it is written otherwise the next time
            self._memory.hedge = not hedge
            return Unavailable(str(answer), code=code)
        return answer

    def _cancelled(self, raw: msgspec.Raw) -> OrderReport | VenueError | None:
        answer = self._answer(CANCEL_BATCH, raw)
        return None if isinstance(answer, Refused) and answer.code in NOT_OPEN else answer

    def _answer(self, call: Call, raw: msgspec.Raw) -> OrderReport | VenueError:
        try:
            failed = decode(_FAILED, raw)
            return error_in_list(call.what, failed) if failed.code else self._view.report(decode(ORDER, raw))
        except WireError as error:
            return error


def _plain(params: Params) -> dict[str, str]:
    return {key: str(value) for key, value in params.items() if value is not None}


def _check_size(size: int, most: int) -> None:
    if not 1 <= size <= most:
        raise ValueError(f"orders: expected 1 to {most} in a batch, got {size}")


def _complete(call: Call, answers: list[msgspec.Raw], size: int) -> list[msgspec.Raw]:
    if len(answers) != size:
        raise WireError(call.what, f"{size} answers", str(len(answers)))
    return answers
