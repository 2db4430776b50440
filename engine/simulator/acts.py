"""What people do to a venue that no client of it did: money that comes and goes, orders by hand, a passer-by in the market.

One struct an act, so that a typing mistake is an answer and not a silence. Each is done at once, or refused and not done at
all (where a close takes an order for each of two positions, that order); with the same acts at the same times, a venue comes
out the same.
"""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

import msgspec

__all__ = [
    "Act",
    "ActRefused",
    "AnyAct",
    "CancelOrder",
    "ClosePosition",
    "Deposit",
    "FillOrder",
    "MoneyAct",
    "PayFunding",
    "PlaceOrder",
    "TransferIn",
    "TransferOut",
    "Withdraw",
    "check",
]

Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class ActRefused(Exception):
    """The venue would not do it; the text says why, and nothing was done."""


MOST = Decimal("1e15")  # of any figure
LEAST_EXPONENT = -18
MOST_RATE = Decimal(1)


def check(act: "AnyAct") -> None:
    """Refuse what is no figure anybody meant. Raises ActRefused."""
    for name in act.__struct_fields__:
        figure = getattr(act, name)
        if isinstance(figure, Decimal) and not _is_sane(figure, MOST_RATE if name == "rate" else MOST):
            raise ActRefused(f"{name}: expected a figure of a sane size, got {str(figure)[:40]}")


def _is_sane(figure: Decimal, most: Decimal) -> bool:
    exponent = figure.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= LEAST_EXPONENT and abs(figure) <= most


class Act(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """The part that is common to all: where, and to whose account."""

    venue: Name
    account: Name = "main"


class MoneyAct(Act, frozen=True):
    """`amount` is above zero, whichever way it goes."""

    currency: Name
    amount: Decimal


class Deposit(MoneyAct, frozen=True, tag="deposit"):
    """Money comes from outside."""


class Withdraw(MoneyAct, frozen=True, tag="withdraw"):
    """Money leaves the venue."""


class TransferIn(MoneyAct, frozen=True, tag="transfer_in"):
    """Money comes from another account of the same owner."""


class TransferOut(MoneyAct, frozen=True, tag="transfer_out"):
    """Money goes to another account of the same owner."""


class PlaceOrder(Act, frozen=True, tag="order"):
    """An order by hand. Without a `type` it is a limit order where there is a price, else a market order; `position_side` is
    needed where an account holds both ways at once."""

    symbol: Name
    side: Literal["buy", "sell"]
    amount: Decimal
    price: Decimal | None = None
    type: Literal["", "limit", "market"] = ""
    reduce_only: bool = False
    post_only: bool = False
    label: Annotated[str, msgspec.Meta(max_length=64)] = ""
    position_side: Literal["", "LONG", "SHORT"] = ""


class ClosePosition(Act, frozen=True, tag="close"):
    """All that is held of a symbol is closed at the market."""

    symbol: Name


class CancelOrder(Act, frozen=True, tag="cancel"):
    """A live order is cancelled by hand, whoever placed it."""

    order_id: Name | int


class FillOrder(Act, frozen=True, tag="fill"):
    """Somebody in the market takes `amount` of a resting order at its price, whatever stands before it; all that is left of
    it without an amount."""

    order_id: Name | int
    amount: Decimal | None = None


class PayFunding(Act, frozen=True, tag="funding"):
    """Funding of a symbol is paid now, at `rate` of the position's value or at the present one. Where funding accrues, `rate`
    comes on top, and the symbol's session is settled, which is what brings it into the balance. It concerns all accounts."""

    symbol: Name
    rate: Decimal | None = None


AnyAct: TypeAlias = (
    Deposit | Withdraw | TransferIn | TransferOut | PlaceOrder | ClosePosition | CancelOrder | FillOrder | PayFunding
)
