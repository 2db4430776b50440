"""Orders at our venues that were not placed here."""

import msgspec

from engine.model.orders.word import OrderReport
from engine.model.text import name


class ExternalOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue last said of an order somebody else placed on our account. It is watched and never touched."""

    account: str
    venue_order_id: str
    report: OrderReport
    first_seen_at_ms: int
    updated_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.account}|{self.venue_order_id}"

    def check(self) -> None:
        name(self.venue_order_id, "venue_order_id")
        name(self.report.instrument, "instrument")
