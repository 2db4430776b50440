"""One account at a venue: its private stream, and the passes that keep the node in step with the exchange.

The private stream is fast and may miss something; a pass over REST is slow and complete. So the stream is trusted for
news and never for silence: a pass runs before the first order may leave, after every reconnect, on a timer, and when
somebody noticed that something is missing. The order gate is open only between a successful pass and the next
disconnect.

A pass asks for live orders, fills since the last complete pass (with an overlap), positions and balances. Any query
that fails fails the pass: nothing is concluded from half an answer, and it is tried again. Only fills are facts by
themselves: after days away they come in many pages, and each page is on disk before the next is asked for.
Orders and fills go to the order queue, which alone decides about them. Positions and balances are stored here, as the
venue states them and never from our own arithmetic, and those who judge orders by them are told whenever any of it moved.

When the gate is open, balances are compared with the venue's statement, which some venues sell a page a second: whatever moved
them must be in it.

A difference between what the node knew and what the venue says – an order or a trade of somebody else, a balance its statement
does not explain, money that left and was not to – is on disk and told once (`actors._discrepancies`), and waits for a person.

A stream may be acknowledged, beat its heart and say nothing. If a pass finds a fill that the stream should have told
long ago, the connection is given up for a new one.

The actor is written in layers, one idea a file, each knowing only those before it: keeper (disk, and what people are told),
holdings (positions, balances, the day), strangers (orders of others), asking (the questions of a pass), statement (what changed
the money), reckoning (whether that explains it), and actor, which listens and keeps in step.
"""

from actors.account.actor import Account
from actors.account.desk import AccountDesk
from actors.account.settings import AccountSettings
from actors.account.syncing import in_step, sync_account

__all__ = ["Account", "AccountDesk", "AccountSettings", "in_step", "sync_account"]
