"""The shipped strategies, and how a config names them or one of the user's own."""

from importlib import import_module
from typing import Any

import msgspec

from actors.strategies.market_maker import MarketMaker, MarketMakerParams
from actors.strategy import Strategy


class CustomStrategy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="custom"
):
    """A strategy of the user's own: `path` is `package.module:Class`, `params` is checked by its `Params`."""

    path: str
    params: dict[str, Any] = {}


StrategySettings = MarketMakerParams | CustomStrategy
SHIPPED: dict[type[msgspec.Struct], type[Strategy]] = {MarketMakerParams: MarketMaker}


class StrategyUnknown(ValueError):
    """A config names a strategy that cannot be loaded."""


def resolve_strategy(settings: StrategySettings) -> tuple[type[Strategy], Any]:
    """The class and its checked params. Raises `StrategyUnknown` naming what was expected."""
    if not isinstance(settings, CustomStrategy):
        return SHIPPED[type(settings)], settings
    module_name, colon, class_name = settings.path.partition(":")
    try:
        found = getattr(import_module(module_name), class_name, None) if colon else None
    except ImportError as error:
        raise StrategyUnknown(
            f"path: expected an importable package.module:Class, got {settings.path!r}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyUnknown(f"path: expected package.module:Class of a Strategy, got {settings.path!r}")
    params = {"kind": found.Params.__struct_config__.tag, **settings.params}
    try:
        return found, msgspec.convert(params, found.Params, strict=False)
    except msgspec.ValidationError as error:
        raise StrategyUnknown(f"params of {settings.path}: {error}") from error


__all__ = [
    "SHIPPED",
    "CustomStrategy",
    "MarketMaker",
    "MarketMakerParams",
    "StrategySettings",
    "StrategyUnknown",
    "resolve_strategy",
]
