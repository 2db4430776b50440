"""What an account holds and how it came to hold it.

The door is `engine.model`.
"""

__all__: list[str] = []
