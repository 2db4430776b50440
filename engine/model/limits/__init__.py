"""What an order must not exceed: sizes, rates, exposure, the day's loss, the gate.

The door is `engine.model`.
"""

__all__: list[str] = []
