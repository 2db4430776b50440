"""What an order may wait for, how it is checked, and the index that makes a tick cheap.

The door is `engine.model`.
"""

__all__: list[str] = []
