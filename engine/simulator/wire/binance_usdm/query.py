"""Params of a request, which are text; the venue reads numbers from it by itself."""

from urllib.parse import parse_qsl

from engine.simulator.binance_usdm import ApiError

__all__ = ["request_params"]

MAX_FIELDS = 50


def request_params(query: str, body: bytes = b"") -> dict[str, str]:
    """The params of a query string and of a form in the body; of a repeated one the last counts, and of one in both that of
    the query. Raises `ApiError` for too many.
    """
    try:
        form = _read(body.decode("utf-8", errors="replace"))
        return dict(form + _read(query))
    except ValueError as error:
        raise ApiError(400, -1101, f"Too many parameters; expected at most '{MAX_FIELDS}'.") from error


def _read(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
