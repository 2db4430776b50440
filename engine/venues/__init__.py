"""Exchanges. `base` is the contract; each venue has the same file set."""

__all__: list[str] = []
