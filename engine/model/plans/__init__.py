"""Executions in steps: progressive limit, TWAP.

The door is `engine.model`.
"""

__all__: list[str] = []
