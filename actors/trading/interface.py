"""Orders by one interface: in a node, in a strategy, over the admin socket and from the command line.

::

    trading = parts.trading                                  # in a node; in a strategy: self.trading
    order = await trading.submit_advanced_order("BTC-PERPETUAL", 100, "buy", price=60000, conditions=["mark<=61000"])
    order["order_id"], order["status"]                       # the record is on disk by then

Every function answers plain mappings (`records.order_record`) or raises an `AdvancedOrderError`. What was answered is stored: it
survives whatever is killed next. Nothing here keeps anything of its own, so any number of these may be made.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar, Unpack

import msgspec

from actors.messages import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelOrder,
    PublishFigure,
    ResolveOrder,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Verdict,
)
from actors.parts import AccountParts, NodeParts
from actors.trading.errors import AdvancedOrderError, bad_field, bad_value, refused, unanswered
from actors.trading.forms import CommonOptions, Figure, OrderForm, OrderOptions, order_form
from actors.trading.history import Filters, filters_of, page_of, record_in, records_of
from actors.trading.linked import LinkedForm, bracket_form, linked_form
from engine.kernel import KernelError, Ref, Request
from engine.model import (
    Denial,
    ModelError,
    Order,
    OrderRequest,
    checked,
    instrument_id,
    split_instrument,
)
from engine.model.text import name as checked_name

R = TypeVar("R")

CALL_TIMEOUT_S = 15.0
MAX_BATCH = 1000

Orderly = Mapping[str, Any] | OrderForm
Record = dict[str, Any]


class Trading:
    """Orders of a node. With a `strategy` every order is that strategy's own, and it hears what becomes of it."""

    def __init__(self, parts: NodeParts, *, strategy: str = "", timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._parts = parts
        self._strategy = strategy
        self._timeout_s = timeout_s

    # ── submit ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit_advanced_order(
        self,
        instrument_name: str,
        amount: Figure,
        direction: str,
        order_type: str = "limit",
        price: Figure | None = None,
        execute_immediately: bool = False,
        priority: str = "normal",
        conditions: Sequence[Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **options: Unpack[OrderOptions],
    ) -> Record:
        """Place one order; its record once it is on disk. Raises AdvancedOrderError.

        `instrument_name`: `venue:symbol`, or a symbol of the default venue; `amount` in the venue's unit for it. `direction`: buy or sell.
        `order_type`: limit, market, stop_limit, stop_market. `conditions`: see `when`; the order waits until they hold.
        `execute_immediately` puts it first in the queue and allows nothing it would have to wait for.
        """
        return await self.submit_order(
            {
                "instrument_name": instrument_name,
                "amount": amount,
                "direction": direction,
                "order_type": order_type,
                "price": price,
                "priority": priority,
                "conditions": conditions,
                "metadata": metadata,
                **options,
            },
            execute_immediately,
        )

    async def submit_order(self, order_params: Orderly, execute_immediately: bool = False) -> Record:
        """The same with the parameters in a mapping."""
        form = self._form(order_params)
        if execute_immediately:
            form = msgspec.structs.replace(form, execute_immediately=True)
        account, request = self._addressed(form)
        return self._record(await self._accepted(account, SubmitOrder(request)))

    async def create_conditional_order(
        self,
        instrument_name: str,
        amount: Figure,
        direction: str,
        conditions: Sequence[Any],
        order_type: str = "limit",
        price: Figure | None = None,
        expiration: float | None = None,
        **options: Unpack[CommonOptions],
    ) -> Record:
        """An order that waits for its conditions, for `expiration` seconds from now at most. Raises AdvancedOrderError."""
        if not conditions:
            raise bad_field("conditions", "at least one condition", conditions)
        return await self.submit_advanced_order(
            instrument_name,
            amount,
            direction,
            order_type,
            price,
            conditions=conditions,
            expiration=expiration,
            **options,
        )

    async def trailing_stop_order(
        self,
        instrument_name: str,
        amount: Figure,
        direction: str,
        distance: Figure | None = None,
        percent: Figure | None = None,
        activation_price: Figure | None = None,
        by: str = "mark",
        order_type: str = "market",
        price: Figure | None = None,
        **options: Unpack[OrderOptions],
    ) -> Record:
        """A stop that follows the market at a `distance` in price, or `percent` of the best price, and leaves when that is given back.

        It only reduces a position unless `reduce_only=False` is said. Raises AdvancedOrderError.
        """
        trail = {"distance": distance, "percent": percent, "activation_price": activation_price, "by": by}
        options.setdefault("reduce_only", True)
        options["trail"] = {name: value for name, value in trail.items() if value is not None}
        return await self.submit_advanced_order(instrument_name, amount, direction, order_type, price, **options)

    async def submit_batch(self, orders: Sequence[Orderly]) -> list[Record]:
        """Place several orders that have nothing to do with each other: for each `{ok: true, order}` or `{ok: false, error}`."""
        if not 0 < len(orders) <= MAX_BATCH:
            raise bad_field("orders", f"from 1 to {MAX_BATCH} orders", len(orders))
        results: list[Record] = [{} for _ in orders]
        by_account: dict[str, tuple[AccountParts, list[tuple[int, OrderRequest]]]] = {}
        for number, one in enumerate(orders):
            try:
                account, request = self._addressed(self._form(one, at=f"orders[{number}]"))
            except AdvancedOrderError as error:
                results[number] = _failed(error)
            else:
                by_account.setdefault(account.name, (account, []))[1].append((number, request))
        for account, numbered in by_account.values():
            for (number, _), result in zip(numbered, await self._together(account, numbered), strict=True):
                results[number] = result
        return results

    async def _together(self, account: AccountParts, numbered: Sequence[tuple[int, OrderRequest]]) -> list[Record]:
        """What one account's queue says to its orders of a batch."""
        try:
            answers = await self._call(account.orders, SubmitBatch(tuple(request for _, request in numbered)))
        except AdvancedOrderError as error:
            return [_failed(error) for _ in numbered]
        return [
            _failed(refused(answer)) if isinstance(answer, Denial) else {"ok": True, "order": self._record(answer)}
            for answer in answers
        ]

    async def submit_linked_orders(
        self,
        kind: str,
        exits: Sequence[Orderly],
        entry: Orderly | None = None,
        releases_at: str = "incremental",
        cancels_at: str = "first_hit",
    ) -> Record:
        """Place orders that depend on each other, all of them or none: `{group, native, orders}`, the entry first.

        `kind`: oco (the first that is filled ends the others), oto (the entry's fills release the others), bracket (both). `native` False:
        the node keeps what binds them, the venue does not know of it. Raises AdvancedOrderError.
        """
        return await self._linked(linked_form(kind, exits, entry, releases_at, cancels_at))

    async def bracket_order(
        self,
        instrument_name: str,
        amount: Figure,
        direction: str,
        take_profit: Figure | None = None,
        stop_loss: Figure | None = None,
        order_type: str = "limit",
        price: Figure | None = None,
        trail: Mapping[str, Any] | None = None,
        expiration: float | None = None,
        **options: Unpack[CommonOptions],
    ) -> Record:
        """An entry, and exits that come with its fills: a limit order at `take_profit`, a stop market order at `stop_loss` (or one that
        trails), of which one ends the other. Answers as `submit_linked_orders`. Raises AdvancedOrderError.
        """
        entry = {
            "instrument_name": instrument_name,
            "amount": amount,
            "direction": direction,
            "order_type": order_type,
            "price": price,
            "expiration": expiration,
            **options,
        }
        return await self._linked(bracket_form(entry, take_profit, stop_loss, trail))

    async def _linked(self, form: LinkedForm) -> Record:
        forms = [form.entry, *form.exits] if form.entry else [*form.exits]
        addressed = [self._addressed(self._form(one)) for one in forms]
        account = addressed[0][0]
        requests = [request for _, request in addressed]
        for number, (other, _) in enumerate(addressed):
            if other.name != account.name:
                raise bad_field(f"exits[{number}].account_id", f"{account.name}, as the first order's", other.name)
        message = SubmitLinked(
            kind=form.kind,
            exits=tuple(requests[1:] if form.entry else requests),
            entry=requests[0] if form.entry else None,
            releases_at=form.releases_at,
            cancels_at=form.cancels_at,
        )
        answer = await self._call(account.orders, message)
        if isinstance(answer, Denial):
            raise refused(answer)
        return self._set(answer)

    def _set(self, accepted: AcceptedLinked) -> Record:
        orders = [self._record(Accepted(order_id)) for order_id in accepted.order_ids]
        return {"group": accepted.group, "native": accepted.native, "orders": orders}

    # ── change ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def cancel_order(self, order_id: str, reason: str = "manual") -> Record:
        """Want it cancelled: stored, and resent until the venue answers. Its record. Raises AdvancedOrderError."""
        account = self._holder(order_id)
        return self._record(await self._accepted(account, CancelOrder(order_id, reason)))

    async def amend_order(self, order_id: str, amount: Figure | None = None, price: Figure | None = None) -> Record:
        """New absolute values for an open order; None keeps one. Its record. Raises AdvancedOrderError."""
        if amount is None and price is None:
            raise bad_field("amount", "a new amount, a new price or both", "neither")
        account = self._holder(order_id)
        message = AmendOrder(order_id, figure(amount, "amount"), figure(price, "price"))
        return self._record(await self._accepted(account, message))

    async def resolve_order(self, order_id: str, verdict: str, note: str = "") -> Record:
        """Decide about an order that waits for a person: `retry`, `close` or `ask` (see `Verdict`). Its record. Raises AdvancedOrderError."""
        if verdict not in list(Verdict):
            raise bad_field("verdict", f"one of {', '.join(Verdict)}", verdict)
        account = self._holder(order_id)
        return self._record(await self._accepted(account, ResolveOrder(order_id, Verdict(verdict), note)))

    def publish_figure(self, name: str, value: Figure) -> None:
        """A figure of one's own, for conditions of type `custom` of every account. Raises AdvancedOrderError."""
        try:
            checked_name(name, "name")
        except ModelError as error:
            raise bad_value(error) from error
        exact = figure(value, "value")
        if exact is None:
            raise bad_field("value", "a number", value)
        for account in self._parts.accounts():
            account.triggers.tell(PublishFigure(name, exact))

    # ── look ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get_order_history(self, filters: Mapping[str, Any] | Filters | None = None) -> Record:
        """`{orders, next}`: records, newest first; see `Filters`. Raises AdvancedOrderError."""
        page = await page_of(self._parts.store, filters_of(filters, self._parts.default_venue))
        return {"orders": await records_of(self._parts.store, page.orders), "next": page.next}

    async def review_orders(self) -> list[Record]:
        """Records of the orders that wait for a person, oldest first; `review` says why."""
        orders = [order for order in self._parts.store.live_orders() if order.review]
        return await records_of(self._parts.store, orders)

    # ── how it works ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _form(self, given: Orderly, *, at: str = "") -> OrderForm:
        form = order_form(given, at=at)
        return msgspec.structs.replace(form, strategy=self._strategy) if self._strategy else form

    def _addressed(self, form: OrderForm) -> tuple[AccountParts, OrderRequest]:
        """The account it belongs to, and the request with the instrument's full name."""
        request = form.request()
        account = self._parts.account_for(request.instrument, request.account)
        if account is None:
            raise self._nowhere(request)
        full = instrument_id(*split_instrument(request.instrument, self._parts.default_venue))
        return account, msgspec.structs.replace(request, instrument=full)

    def _nowhere(self, request: OrderRequest) -> AdvancedOrderError:
        """Which venues or accounts there are."""
        name, _ = split_instrument(request.instrument, self._parts.default_venue)
        venue = self._parts.venues.get(name)
        if venue is None:
            known = ", ".join(sorted(self._parts.venues)) or "none is configured"
            return AdvancedOrderError(
                "VENUE_UNKNOWN", "instrument_name", f"an instrument of: {known}", request.instrument
            )
        known = (
            f"one of: {', '.join(venue.accounts)}" if venue.accounts else f"an account at {name}: none is configured"
        )
        return AdvancedOrderError("ACCOUNT_UNKNOWN", "account_id", known, request.account or "none named")

    def _holder(self, order_id: str) -> AccountParts:
        """The account of a stored order."""
        order = self._order(order_id)
        account = self._parts.account_for(order.instrument, order.account)
        if account is None:
            raise AdvancedOrderError("ACCOUNT_UNKNOWN", "account_id", "an account that is configured", order.account)
        return account

    def _order(self, order_id: str) -> Order:
        try:
            order = self._parts.store.order(checked_name(order_id, "order_id"))
        except ModelError as error:
            raise bad_value(error) from error
        if order is None:
            raise AdvancedOrderError("ORDER_UNKNOWN", "order_id", "the id of a stored order", order_id)
        return order

    def _record(self, accepted: Accepted) -> Record:
        return record_in(self._parts.store, self._order(accepted.order_id))

    async def _accepted(self, account: AccountParts, message: Request[Accepted | Denial]) -> Accepted:
        answer = await self._call(account.orders, message)
        if isinstance(answer, Denial):
            raise refused(answer)
        return answer

    async def _call(self, ref: Ref, message: Request[R]) -> R:
        try:
            return await ref.call(message, timeout_s=self._timeout_s)
        except KernelError as error:
            raise unanswered(error) from error


def figure(value: Figure | None, field: str) -> Decimal | None:
    """Exact and in range; a float means what it prints. Raises AdvancedOrderError."""
    if value is None:
        return None
    try:
        return checked(msgspec.convert(value, Decimal), field)
    except msgspec.ValidationError as error:
        raise bad_field(field, "a decimal number", str(value)) from error
    except ModelError as error:
        raise bad_value(error) from error


def _failed(error: AdvancedOrderError) -> Record:
    told = {"code": error.code, "field": error.field, "expected": error.expected, "got": error.got}
    return {"ok": False, "error": {"message": error.text, **told}}
