"""What a feed keeps: books, series, marks, their freshness and quality.

The door is `engine.model`.
"""

__all__: list[str] = []
