"""Working a large or patient order as many small ones."""

from actors.execution.actor import Execution
from actors.execution.desk import ExecutionDesk, ExecutionSettings

__all__ = ["Execution", "ExecutionDesk", "ExecutionSettings"]
