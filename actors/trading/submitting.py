"""Placing orders: one, several, or some that depend on each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import msgspec

from actors.messages import Accepted, AcceptedLinked, Execute, SubmitBatch, SubmitLinked, SubmitOrder
from actors.parts import AccountParts
from actors.routing import choose_route, submit_by_route
from actors.trading.caller import Caller, Record
from actors.trading.errors import AdvancedOrderError, bad_field, refused, unanswered
from actors.trading.forms import Figure, Orderly, OrderOptions, SetOptions, TrailingOptions, figure
from actors.trading.linked import LinkedForm, bracket_form, linked_form
from actors.trading.plans import execution_of
from actors.trading.routes import choice_record, considered_record
from engine.kernel import KernelError
from engine.model import Denial, ExecutionRequest, OrderRequest, Side

MAX_BATCH = 1000


class Submitting(Caller):
    """What is answered is on disk; what is refused left nothing behind."""

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
        `execute_immediately` puts it first in the queue and allows nothing it would have to wait for. With `execution` other than
        immediate it is worked as many small orders, and the answer is the record of its plan: `{style: progressive, distance_ticks,
        step_s, …}` steps towards the market, `{style: twap, duration_s, interval_s, …}` spreads it over time (see `engine.model.plans.plan`).
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
        if not form.immediate:
            return await self._work(account, execution_of(form, request))
        return self._record(await self._accepted(account, SubmitOrder(request)))

    async def _work(self, account: AccountParts, request: ExecutionRequest) -> Record:
        answer = await self._call(account.execution, Execute(request))
        if isinstance(answer, Denial):
            raise refused(answer)
        if isinstance(answer, Accepted):
            return self._record(answer)
        return await self._plan_record(account, answer.plan_id)

    async def create_conditional_order(
        self,
        instrument_name: str,
        amount: Figure,
        direction: str,
        conditions: Sequence[Any],
        order_type: str = "limit",
        price: Figure | None = None,
        expiration: float | None = None,
        **options: Unpack[SetOptions],
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
        **options: Unpack[TrailingOptions],
    ) -> Record:
        """A stop that follows the market at a `distance` in price, or `percent` of the best price, and leaves when that is given back.

        It only reduces a position unless `reduce_only=False` is said. Raises AdvancedOrderError.
        """
        trail = {"distance": distance, "percent": percent, "activation_price": activation_price, "by": by}
        options.setdefault("reduce_only", True)
        wanted = {name: value for name, value in trail.items() if value is not None}
        return await self.submit_advanced_order(
            instrument_name, amount, direction, order_type, price, trail=wanted, **options
        )

    async def submit_batch(self, orders: Sequence[Orderly]) -> list[Record]:
        """Place several orders that have nothing to do with each other: for each `{ok: true, order}` or `{ok: false, error}`."""
        if not 0 < len(orders) <= MAX_BATCH:
            raise bad_field("orders", f"from 1 to {MAX_BATCH} orders", len(orders))
        results: list[Record] = [{} for _ in orders]
        by_account: dict[str, tuple[AccountParts, list[tuple[int, OrderRequest]]]] = {}
        for number, one in enumerate(orders):
            try:
                form = self._form(one, at=f"orders[{number}]")
                if not form.immediate:
                    raise bad_field(
                        f"orders[{number}].execution", "none: an order of a batch is worked as one", form.execution
                    )
                account, request = self._addressed(form)
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

    async def choose_route(self, route: str, amount: Figure, direction: str) -> Record:
        """Where an order of `amount` of the coin would cost least now, fees included, and why not elsewhere. Raises AdvancedOrderError."""
        wanted = figure(amount, "amount")
        if wanted is None or direction not in list(Side):
            raise bad_field("direction", f"one of {', '.join(Side)}", direction)
        chosen = await choose_route(self._parts, route, Side(direction), wanted)
        if isinstance(chosen, Denial):
            raise refused(chosen)
        return choice_record(chosen)

    async def submit_by_route(self, route: str, order_params: Orderly) -> Record:
        """Place an order at the venue of a route where it costs least: `{order, considered}`. Raises AdvancedOrderError.

        Its amount is in the coin; its instrument and account are the route's to say. Once a queue took it, it stays there.
        """
        given = dict(order_params) if isinstance(order_params, Mapping) else msgspec.structs.asdict(order_params)
        form = self._form({"instrument_name": route, **given})
        if not form.immediate:
            raise bad_field("execution", "none: an order that is routed is worked as one", form.execution)
        try:
            routed = await submit_by_route(self._parts, route, form.request())
        except KernelError as error:
            raise unanswered(error) from error
        if isinstance(routed, Denial):
            raise refused(routed)
        considered = [considered_record(one) for one in routed.considered]
        return {"order": self._record(Accepted(routed.order_id)), "considered": considered}

    async def submit_linked_orders(
        self,
        kind: str,
        exits: Sequence[Orderly],
        entry: Orderly | None = None,
        releases_at: str = "incremental",
        cancels_at: str = "first_hit",
        native: bool = True,
    ) -> Record:
        """Place orders that depend on each other, all of them or none: `{group, native, orders}`, the entry first.

        `kind`: oco (the first that is filled ends the others), oto (the entry's fills release the others), bracket (both). Answered
        `native` True: the venue keeps what binds them, also while the node is away; False: the node does, because the venue cannot
        or `native=False` was asked for. Raises AdvancedOrderError.
        """
        return await self._linked(linked_form(kind, exits, entry, releases_at, cancels_at, native=native))

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
        **options: Unpack[SetOptions],
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
            native=form.native,
        )
        answer = await self._call(account.orders, message)
        if isinstance(answer, Denial):
            raise refused(answer)
        return self._set(answer)

    def _set(self, accepted: AcceptedLinked) -> Record:
        orders = [self._record(Accepted(order_id)) for order_id in accepted.order_ids]
        return {"group": accepted.group, "native": accepted.native, "orders": orders}


def _failed(error: AdvancedOrderError) -> Record:
    told = {"code": error.code, "field": error.field, "expected": error.expected, "got": error.got}
    return {"ok": False, "error": {"message": error.text, **told}}
