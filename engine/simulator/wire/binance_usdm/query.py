"""Params of a GET, which are text; the venue reads numbers from it by itself."""

from urllib.parse import parse_qsl

from engine.simulator.binance_usdm import ApiError

__all__ = ["query_params"]

MAX_FIELDS = 50


def query_params(query: str) -> dict[str, str]:
    """The params of a query string; of a repeated one the last counts. Raises `ApiError` for too many."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace"))
    except ValueError as error:
        raise ApiError(400, -1101, f"Too many parameters; expected at most '{MAX_FIELDS}'.") from error
