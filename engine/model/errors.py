"""What the pure rules raise. Each names the field, what was expected and what came."""


class ModelError(ValueError):
    """A value that breaks a rule of the trade vocabulary."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got}")
        self.field = field
        self.expected = expected
        self.got = got


class IllegalTransition(Exception):
    """An order was asked to move to a state its life does not allow: a bug of ours, never a venue's word."""
