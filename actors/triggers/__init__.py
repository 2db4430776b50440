"""Watching markets for orders that wait for something: conditions, and stops that trail.

One watcher for each account. It keeps nothing of its own on disk: what waits is in the store, put there by the order queue
before the watcher hears of it, and every start arms all of it anew. What is met is told to the order queue again and again
until the queue has it on disk, so either of the two may die at any moment and nothing is lost; what is told twice changes
nothing. What lies between two lives is not seen: a crossing counts from the first value this life has read.

A tick costs a look at the figures it may have moved and two bisections for each (`engine.model.conditions.index`), however
many orders wait. What no message tells is looked at every evaluation interval: positions and results (besides when the
account tells that they changed), polled samples, modes of feeds. The time has its own alarm, set for the next moment at
which anything changes and for no more than one interval, so a wall clock that jumps is noticed.

Nothing stale ever sets an order free, and nothing unreadable: such a condition is not met, the others are judged as ever,
and people are told when it stays that way. Positions and results are as fresh as the account is in step with its venue.
"""

from actors.triggers.actor import Triggers
from actors.triggers.desk import TriggersDesk, TriggerSettings

__all__ = ["TriggerSettings", "Triggers", "TriggersDesk"]
