"""Orders and positions by one interface: in a node, in a strategy, over the admin socket and from the command line.

::

    trading = Trading(parts)                                 # in a node; in a strategy: self.trading
    order = await trading.submit_advanced_order("BTC-PERPETUAL", 100, "buy", price=60000, conditions=["mark<=61000"])
    order["order_id"], order["status"]                       # the record is on disk by then

Every function answers plain mappings (`records.order_record`) or raises an `AdvancedOrderError`. What was answered is stored: it
survives whatever is killed next. Nothing here keeps anything of its own, so any number of these may be made.
"""

from actors.portfolios import Portfolios
from actors.trading.changing import Changing
from actors.trading.looking import Looking
from actors.trading.positions import Positions
from actors.trading.submitting import Submitting


class Trading(Submitting, Changing, Looking, Positions):
    """See the module's page. `Trading(parts)`; with `strategy=NAME` every order is that strategy's own, and it hears what becomes of it."""

    @property
    def portfolios(self) -> Portfolios:
        """Accounts at other exchanges: `sync_unallocated`, `sync_orders`, `sync_portfolio`, `get_portfolio`."""
        return Portfolios(self._parts.portfolios)
