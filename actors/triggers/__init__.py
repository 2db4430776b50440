"""Watching markets for orders that wait for something: conditions, and stops that trail."""

from actors.triggers.actor import Triggers
from actors.triggers.desk import TriggersDesk, TriggerSettings

__all__ = ["TriggerSettings", "Triggers", "TriggersDesk"]
