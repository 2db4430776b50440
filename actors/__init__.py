"""The product: one file per role, named after it, and the outward faces."""

__all__: list[str] = []
