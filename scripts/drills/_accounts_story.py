"""What has happened in a schedule of the accounts drill, and hence what a node has to tell of it and what it may."""

from collections import Counter
from collections.abc import Collection

from actors._discrepancies import discrepancy_id
from engine.model import DiscrepancyKind, FlowKind, order_id_of
from scripts.drills._accounts_ground import Ground, TrueFill, Truth
from scripts.drills._accounts_judge import Expected, is_ours
from scripts.drills._accounts_plan import MINUTES_AWAY, Act, Cover

__all__ = ["Story"]

FLOWS = {
    Act.DEPOSIT: FlowKind.DEPOSIT,
    Act.WITHDRAW: FlowKind.WITHDRAWAL,
    Act.TRANSFER_IN: FlowKind.TRANSFER_IN,
    Act.TRANSFER_OUT: FlowKind.TRANSFER_OUT,
}
PURSE = {FlowKind.DEPOSIT: FlowKind.TRANSFER_IN, FlowKind.WITHDRAWAL: FlowKind.TRANSFER_OUT}
LOST_MONEY = (Act.WITHDRAW, Act.TRANSFER_OUT)


class Story:
    """`answered`: ids of orders whose fills may come with the answer to the order itself. `moved`: money, by act and currency."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.moved: Counter[tuple[Act, str]] = Counter()
        self.fills: dict[str, Cover] = {}
        self._unhidden: set[str] = set()
        self._quiet: set[str] = set()
        self._may_infer: Counter[str] = Counter()
        self._must_infer: Counter[str] = Counter()
        self._was_live: set[str] = set()
        self._before: frozenset[str] = frozenset()

    @property
    def hidden(self) -> frozenset[str]:
        """Keys of the fills that nobody can be told at the moment, if not by the answer to an order."""
        hidden = {key for key, cover in self.fills.items() if cover is Cover.HIDDEN}
        return frozenset(hidden - self._unhidden)

    def untold(self, truth: Truth, known: Collection[str]) -> frozenset[str]:
        """Those of the hidden fills that no answer has told: `known` are all that the store has."""
        return frozenset(key for key in self.hidden if key not in known or not self._answered(truth, key))

    def _answered(self, truth: Truth, key: str) -> bool:
        return order_id_of(truth.orders[truth.fills[key].venue_order_id].client_id) in self.answered

    def flows(self, ground: Ground) -> Counter[tuple[FlowKind, str]]:
        """How often money came or went, by what the venue calls it and currency."""
        flows: Counter[tuple[FlowKind, str]] = Counter()
        for (act, currency), times in self.moved.items():
            kind = FLOWS[act]
            flows[PURSE.get(kind, kind) if ground.one_purse else kind, currency] += times
        return flows

    def tell(self, cover: Cover, truth: Truth, *, quietly: bool = False) -> bool:
        """All fills that are new happened under this cover; whether there are any. `quietly`: whether the node can say of them that
        its stream should have told them depends on the moment it asks.
        """
        new = truth.fills.keys() - self.fills.keys()
        self.fills.update(dict.fromkeys(new, cover))
        if quietly:
            self._quiet |= new
        return bool(new)

    def infer(self, truth: Truth, known: Collection[str], node_part: str, rounds: int = 1) -> None:
        """The node has looked twice while fills were hidden, and again for each round in which there were more: what a position moved
        by them, it has inferred. Not so where an order of its own lives whose fills it knows to be coming; where such an order is over,
        it may.
        """
        amounts: Counter[str] = Counter()
        own: set[str] = set()
        coming: set[str] = set()
        for fill in (truth.fills[key] for key in self.untold(truth, known)):
            amounts[fill.symbol] += fill.signed  # type: ignore[assignment]  # a sum of Decimals
            order = truth.orders[fill.venue_order_id]
            if is_ours(order, node_part):
                (coming if order.live else own).add(fill.symbol)
        for symbol, amount in amounts.items():
            if amount and symbol not in coming:
                self._may_infer[symbol] += rounds
                self._must_infer[symbol] += symbol not in own

    def begin(self, truth: Truth) -> None:
        """The node comes to the account now: of trades of before it says nothing."""
        self.tell(Cover.KILL, truth)
        self._before = frozenset(truth.fills)

    def unhide(self) -> None:
        self._unhidden |= self.hidden

    def seen(self, truth: Truth) -> None:
        """The node has looked at the venue when this was so."""
        self._was_live |= {id_ for id_, order in truth.orders.items() if order.live}

    def expected(self, truth: Truth, node_part: str) -> Expected:
        least: Counter[tuple[str, str]] = Counter()
        most: Counter[tuple[str, str]] = Counter()
        for id_, order in truth.orders.items():
            if not is_ours(order, node_part):
                most[DiscrepancyKind.ORDER_EXTERNAL, id_] = 1
                least[DiscrepancyKind.ORDER_EXTERNAL, id_] = int(id_ in self._was_live)
        for key, fill in truth.fills.items():
            if key not in self.hidden and key not in self._before:
                self._expect_of_fill(fill, truth, node_part, least, most)
        for symbol, times in self._may_infer.items():
            most[DiscrepancyKind.FILL_INFERRED, symbol] = times
            least[DiscrepancyKind.FILL_INFERRED, symbol] = self._must_infer[symbol]
        for (act, currency), times in self.moved.items():
            if act in LOST_MONEY:
                least[DiscrepancyKind.WITHDRAWAL, currency] += times
                most[DiscrepancyKind.WITHDRAWAL, currency] += times
        return Expected(least, most)

    def _expect_of_fill(
        self,
        fill: TrueFill,
        truth: Truth,
        node_part: str,
        least: Counter[tuple[str, str]],
        most: Counter[tuple[str, str]],
    ) -> None:
        order, cover = truth.orders[fill.venue_order_id], self.fills[fill.key]
        ours = is_ours(order, node_part)
        if not ours:
            most[DiscrepancyKind.FILL_EXTERNAL, fill.key] = 1
            least[DiscrepancyKind.FILL_EXTERNAL, fill.key] = 1
        if cover in (Cover.LOST, Cover.HIDDEN) or (cover in MINUTES_AWAY and fill.key in self._quiet):
            most[DiscrepancyKind.FILL_MISSED, fill.key] = 1
            surely = (
                cover is Cover.LOST
                and fill.key not in self._quiet
                and not (ours and order_id_of(order.client_id) in self.answered)
            )
            least[DiscrepancyKind.FILL_MISSED, fill.key] = int(surely)

    def about(self, truth: Truth, ground: Ground) -> dict[str, str]:
        """What a discrepancy stands for in `expected`, by its id or its subject: trade ids alone are not unique."""
        names = {ground.instrument(contract.symbol): contract.symbol for contract in ground.contracts}
        for key, fill in truth.fills.items():
            for kind in (DiscrepancyKind.FILL_EXTERNAL, DiscrepancyKind.FILL_MISSED):
                id_ = discrepancy_id(ground.account, kind, ground.instrument(fill.symbol), fill.trade_id)
                names[id_] = key
        return names
