"""An order's life: requests, states, the venue's word, what holds it, links.

The door is `engine.model`.
"""

__all__: list[str] = []
