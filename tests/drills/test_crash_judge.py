"""The judge of the crash drill finds what differs between a store and its venue, and says what that is."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.model import Fill, Link, LinkKind, Order, OrderState
from engine.store import Commit
from scripts.drills._crash_judge import compare
from scripts.drills._crash_venues import Held
from scripts.drills._finding import Finding
from tests.support.stores import fill, open_store, order, put, put_fill

replace = msgspec.structs.replace


class Desk:
    """A store and a venue, in step until a test says otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.held: list[Held] = []
        self.told: dict[str, str] = {}
        with open_store(path) as store:
            self._node = store.node_part

    def place(self, number: int, state: OrderState, filled: int = 0, **more: object) -> Order:
        order_id = f"{self._node}-{number}"
        made = replace(order(number, state), order_id=order_id, attempt=1, filled_amount=Decimal(filled), **more)
        self.orders.append(made)
        self.fills += [replace(fill(number, made), amount=Decimal(filled))] if filled else []
        self.held.append(Held(made.client_order_id, state, Decimal(filled)))
        self.told[f"key {number}"] = order_id
        return made

    def findings(self) -> list[Finding]:
        commits: list[Commit] = [*map(put, self.orders), *map(put_fill, self.fills)]
        with open_store(self._path) as store:
            store.commit(commits)
        return [finding for finding in compare(self._path, self.told, self.held) if finding.kind != "unrecorded"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One order that rests and one that was filled."""
    made = Desk(tmp_path / "store")
    made.place(1, OrderState.OPEN)
    made.place(2, OrderState.FILLED, 10)
    return made


def the_only(found: list[Finding], kind: str) -> str:
    assert [finding.kind for finding in found] == [kind]
    return found[0].text


def test_a_store_in_step_is_found_to_be(desk: Desk) -> None:
    assert desk.findings() == []


def test_an_order_stated_otherwise_is_told_with_both_states_and_both_amounts(desk: Desk) -> None:
    rests = desk.orders[0]
    desk.held[0] = Held(rests.client_order_id, OrderState.CANCELLED, Decimal(3))
    said = the_only(desk.findings(), "diverged")
    assert said.startswith(f"{rests.order_id} (limit buy, id {rests.client_order_id}) store: open 0 of 10")
    assert said.endswith(f"fills: 0; venue: {rests.client_order_id} cancelled 3")


def test_an_order_that_lives_here_alone_is_told_with_why_a_person_should_look(desk: Desk) -> None:
    desk.held.pop(0)
    desk.orders[0] = replace(desk.orders[0], review="not found")
    said = the_only(desk.findings(), "diverged")
    assert "review not found" in said
    assert said.endswith("venue: nothing")


def test_fills_that_are_not_stored_are_told(desk: Desk) -> None:
    desk.fills.clear()
    assert "store: filled 10 of 10; fills: 0; venue: " in the_only(desk.findings(), "diverged")


def test_an_order_that_was_told_of_and_is_not_stored_is_lost(desk: Desk) -> None:
    gone = desk.orders.pop(0)
    desk.held.pop(0)
    said = the_only(desk.findings(), "lost")
    assert said == f"{gone.order_id} was accepted for key 1; store: nothing; venue: nothing"


def test_an_order_of_the_venue_that_is_not_stored_is_lost(desk: Desk) -> None:
    gone = desk.orders.pop(0)
    del desk.told["key 1"]
    said = the_only(desk.findings(), "lost")
    assert said == f"{gone.order_id} store: nothing; venue: {gone.client_order_id} open 0"


def test_orders_of_somebody_else_and_refused_ones_are_no_business_of_the_store(desk: Desk) -> None:
    refused = desk.held[0].client_id.replace("-1-", "-9-")
    desk.held += [Held("by-hand", OrderState.OPEN, Decimal(0)), Held(refused, OrderState.REJECTED, Decimal(0))]
    assert desk.findings() == []


def test_an_order_the_venue_holds_twice_is_told_with_both(desk: Desk) -> None:
    rests = desk.orders[0]
    again = replace(rests, attempt=2).client_order_id
    desk.held.append(Held(again, OrderState.OPEN, Decimal(0)))
    by_kind = {finding.kind: finding.text for finding in desk.findings()}
    assert by_kind["doubled"] == f"{rests.order_id} venue: {rests.client_order_id} open 0, {again} open 0"


def test_two_orders_for_one_key_are_told(desk: Desk) -> None:
    desk.orders = [replace(made, request_key="mine") for made in desk.orders]
    assert the_only(desk.findings(), "doubled") == f"key mine made {', '.join(made.order_id for made in desk.orders)}"


def test_a_rival_that_was_not_ended_is_told_beside_the_order_that_should_have(desk: Desk) -> None:
    rests, filled = desk.orders
    link = Link(group="g", kind=LinkKind.OCO, rivals=(rests.order_id,))
    desk.orders[1] = replace(filled, link=link)
    first, rival = the_only(desk.findings(), "unlinked").split(" | ")
    assert first.startswith(filled.order_id)
    assert rival.startswith(f"{rests.order_id} (limit buy, id {rests.client_order_id}) store: open")
