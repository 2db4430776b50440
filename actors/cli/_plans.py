"""`plan …`: orders that are worked as many small ones."""

import argparse
from collections.abc import Callable
from typing import Any

from actors.cli import _order_views
from actors.cli._output import pairs
from actors.cli._remote import Options, Remote, given
from actors.cli._values import limit


def add_plan_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The subcommands of `plan`."""
    plans = add(
        "list", "plans at work", Remote("plan.list", _order_views.plans, lambda o: given(o, "all", "account", "limit"))
    )
    plans.add_argument("--all", action="store_true", help="those that are over too")
    plans.add_argument("--account", default="", metavar="NAME")
    plans.add_argument("--limit", type=limit, metavar="N", help="at most this many of an account (default: 100)")
    show_ = add("show", "one plan", Remote("plan.show", pairs, lambda o: {"plan_id": o.plan_id}))
    show_.add_argument("plan_id", metavar="PLAN_ID")
    end = add("cancel", "end a plan, and cancel its order", Remote("plan.cancel", _order_views.placed, _plan_end))
    end.add_argument("plan_id", metavar="PLAN_ID")
    end.add_argument("--reason", default="")


def _plan_end(options: Options) -> dict[str, Any]:
    return given(options, "plan_id", "reason")
