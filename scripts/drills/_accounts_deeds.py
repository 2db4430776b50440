"""What happens to the account in the accounts drill, deed by deed: by the node, by the market, by people at the venue."""

import time
from collections.abc import Callable
from decimal import Decimal

from engine.kernel import Entropy
from engine.model import Side, order_id_of
from scripts.drills._accounts_ground import Contract, Ground, TrueOrder
from scripts.drills._accounts_judge import is_ours
from scripts.drills._accounts_node import NodeProcess
from scripts.drills._accounts_plan import Act
from scripts.drills._accounts_story import Story
from scripts.drills._accounts_venue import ActRefused, Venues
from scripts.drills._accounts_view import node_part_of
from scripts.drills._both_venues import KEY

__all__ = ["OF_OURS", "OF_THEIRS", "Deeds"]

PLACED_S = 10.0
LOOK_S = 0.05
LOW, HIGH = "0.992", "1.008"  # prices that rest, within the venue's band however it has moved for half an hour
OF_OURS = (Act.CANCEL, Act.PART_FILL, Act.WHOLE_FILL, Act.PART_FILL_CANCEL, Act.HAND_CANCEL_OURS)
OF_THEIRS = (Act.HAND_FILL, Act.HAND_CANCEL)


class Deeds:
    """Who does what to the main account. What there is nothing to be done to is another trade by hand."""

    def __init__(self, ground: Ground, venues: Venues, node: NodeProcess, story: Story, chance: Entropy) -> None:
        self._ground = ground
        self._venues = venues
        self._node = node
        self._story = story
        self._chance = chance
        self._key = KEY
        self._deeds: dict[Act, Callable[[bool], None]] = {
            Act.REST: lambda _: self.place(),
            Act.TAKE: lambda _: self._take(),
            Act.NEW_KEYS: lambda _: self._replace_keys(),
            Act.CANCEL: lambda _: self._with(self._cancel_ours, ours=True),
            Act.PART_FILL: lambda _: self._with(self._fill_part, ours=True),
            Act.WHOLE_FILL: lambda _: self._with(self._fill_whole, ours=True),
            Act.PART_FILL_CANCEL: lambda reachable: self._with(
                self._fill_and_cancel if reachable else self._fill_and_cancel_by_hand, ours=True
            ),
            Act.HAND_TRADE: lambda _: self._trade_by_hand(),
            Act.HAND_CLOSE: lambda _: self._with_holding("close"),
            Act.HAND_REST: lambda _: self.place_by_hand(),
            Act.HAND_FILL: lambda _: self._with(self._chance.choice((self._fill_part, self._fill_whole)), ours=False),
            Act.HAND_CANCEL: lambda _: self._with(self._cancel_by_hand, ours=False),
            Act.HAND_CANCEL_OURS: lambda _: self._with(self._cancel_by_hand, ours=True),
            Act.FUNDING: lambda _: self._with_holding("funding"),
        }

    def do(self, act: Act, *, reachable: bool) -> None:
        """`reachable`: the node can be asked and its venue be reached."""
        if act not in self._deeds:
            self._move_money(act)
            return
        try:
            self._deeds[act](reachable)
        except ActRefused:  # the market was there first, and the order is gone
            self._trade_by_hand()

    # ── by the node ───────────────────────────────────────────────────────────────────────────────────────────────────

    def place(self) -> None:
        """An order of the node's that rests at the venue when this returns."""
        contract, side = self._contract(), self._side()
        order_id = self._submit(contract, side, self._size(contract), self._resting_price(contract, side))
        self._until(lambda: self._is_there(order_id), f"{order_id} is not at the venue")

    def _take(self) -> None:
        contract = self._contract()
        order_id = self._submit(contract, self._side(), self._size(contract), None)
        self._story.answered.add(order_id)
        self._until(lambda: self._is_there(order_id), f"{order_id} is not at the venue")

    def _submit(self, contract: Contract, side: Side, amount: Decimal, price: Decimal | None) -> str:
        wanted = {
            "instrument": self._ground.instrument(contract.symbol),
            "side": side,
            "amount": str(amount),
            "order_type": "limit" if price is not None else "market",
            **({} if price is None else {"price": str(price)}),
        }
        order_id: str = self._node.ask("order.submit", **wanted)["order_id"]
        return order_id

    def _is_there(self, order_id: str) -> bool:
        return any(order_id_of(order.client_id) == order_id for order in self._venues.truth().orders.values())

    def _cancel_ours(self, order: TrueOrder) -> None:
        self._node.ask("order.cancel", order_id=order_id_of(order.client_id))
        self._until(
            lambda: not self._venues.truth().orders[order.venue_order_id].live, f"{order} was cancelled and lives"
        )

    def _replace_keys(self) -> None:
        """A new pair is made and used, and the old one worth nothing from then on."""
        old, (self._key, secret) = self._key, self._venues.add_key()
        self._node.replace_keys(self._key, secret)
        self._venues.revoke_key(old)

    # ── by the market ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _fill_part(self, order: TrueOrder) -> None:
        unit = self._ground.contract(order.symbol).amount
        self._venues.act("fill", order_id=order.venue_order_id, amount=min(order.amount - order.filled, unit))

    def _fill_whole(self, order: TrueOrder) -> None:
        self._venues.act("fill", order_id=order.venue_order_id, amount=order.amount - order.filled)

    def _fill_and_cancel(self, order: TrueOrder) -> None:
        self._fill_part(order)
        if order.amount - order.filled > self._ground.contract(order.symbol).amount:
            self._cancel_ours(order)

    # ── by people at the venue ────────────────────────────────────────────────────────────────────────────────────────

    def _fill_and_cancel_by_hand(self, order: TrueOrder) -> None:
        self._fill_part(order)
        if order.amount - order.filled > self._ground.contract(order.symbol).amount:
            self._cancel_by_hand(order)

    def _cancel_by_hand(self, order: TrueOrder) -> None:
        self._venues.act("cancel", order_id=order.venue_order_id)

    def place_by_hand(self) -> None:
        contract, side = self._contract(), self._side()
        price, amount = self._resting_price(contract, side), self._size(contract)
        self._venues.act("order", symbol=contract.symbol, side=side, amount=amount, price=price, type="limit")

    def _trade_by_hand(self) -> None:
        contract = self._contract()
        amount = self._size(contract)
        self._venues.act("order", symbol=contract.symbol, side=self._side(), amount=amount, type="market")

    def _with_holding(self, do: str) -> None:
        held = sorted(self._venues.truth().positions)
        if held:
            self._venues.act(do, symbol=self._chance.choice(held))
        else:
            self._trade_by_hand()

    def _move_money(self, act: Act) -> None:
        currency = self._chance.choice(sorted(self._ground.money))
        amount = self._ground.money[currency] * (1 + self._chance.randrange(3))
        self._venues.act(act.value, currency=currency, amount=amount)
        self._story.moved[act, currency] += 1

    # ── what to do it to ──────────────────────────────────────────────────────────────────────────────────────────────

    def _with(self, deed: Callable[[TrueOrder], None], *, ours: bool) -> None:
        """To one of the live orders of the node, or of others."""
        node_part = node_part_of(self._node.store)
        live = [order for order in self._venues.truth().orders.values() if order.live]
        mine = [order for order in live if is_ours(order, node_part) is ours]
        if mine:
            deed(self._chance.choice(mine))
        else:
            self._trade_by_hand()

    def _contract(self) -> Contract:
        return self._chance.choice(self._ground.contracts)

    def _side(self) -> Side:
        return self._chance.choice((Side.BUY, Side.SELL))

    def _size(self, contract: Contract) -> Decimal:
        return contract.amount * (2 + self._chance.randrange(4))

    def _resting_price(self, contract: Contract, side: Side) -> Decimal:
        return self._venues.price(contract, LOW if side is Side.BUY else HIGH)

    def _until(self, reached: Callable[[], bool], otherwise: str) -> None:
        deadline_s = time.monotonic() + PLACED_S
        while not reached():
            if time.monotonic() > deadline_s:
                raise TimeoutError(otherwise)
            time.sleep(LOOK_S)
