"""Working a large or patient order as many small ones.

A plan is looked at when time has passed and when its order changed. Each look is one call of a plain function
(`engine.model.next_step`) that says what the plan becomes and what is to be done; the plan is committed, then it is done, then
it is looked at again. So the actor may be killed between any two instructions: what was committed and not done is done again,
and doing it again changes nothing. A child that was asked for and not answered is found by its request key before anything else
is done for its plan.

Children are ordinary orders of the account's queue: its limits, gates and recovery hold for them as for any other.
"""

from actors.execution.actor import Execution
from actors.execution.desk import POINTS, ExecutionDesk, ExecutionSettings
from actors.execution.reporting import as_text, report

__all__ = ["POINTS", "Execution", "ExecutionDesk", "ExecutionSettings", "as_text", "report"]
