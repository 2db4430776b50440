"""Rows about keys: whether they can be read, whether the venue accepts them, what they may do."""

from collections.abc import Mapping

from actors.cli._doctor_rows import Result, Row
from actors.credentials import HANDED_OUT, CredentialRow, Finding, HeldKeys, findings, row_of
from actors.portfolios import PortfolioSettings
from engine.model import Severity
from engine.settings import SettingsError
from engine.venues.base import KeyPermissions, NotAuthorised, Venue, VenueError
from engine.venues.ccxt import CredentialError

_RESULTS: dict[Severity, Result] = {Severity.WARNING: "warn", Severity.ERROR: "fail"}


def unreadable(cause: BaseException | None) -> list[Row]:
    """Of a configuration that did not load: the accounts whose pairs cannot be had."""
    if not isinstance(cause, SettingsError):
        return []
    return [
        Row(f"credentials {problem.path[1]}:{problem.path[3]}", "fail", f"{problem.path[4]}: {problem.text}")
        for problem in cause.problems
        if len(problem.path) == 5 and problem.path[0] == "venues" and problem.path[2] == "accounts"
    ]


def portfolios(sections: Mapping[str, PortfolioSettings]) -> list[Row]:
    """Whether the keys of accounts at other exchanges can be had. What they may do is found out by the node, which looks there anyway."""
    return [
        _portfolio(f"credentials portfolio {name}", section)
        for name, section in sections.items()
        if not (section.backtest or section.simulated)
    ]


def _portfolio(check: str, section: PortfolioSettings) -> Row:
    try:
        section.read_credential()
    except CredentialError as error:
        return Row(check, "fail", str(error))
    return Row(check, "ok", f"{section.account or 'from the environment'}; the exchange was not asked")


async def asked(venue: Venue, held: HeldKeys) -> list[Row]:
    """Sign two harmless questions with the pair. The caller sees to the deadline."""
    rest = venue.rest(held.account)
    try:
        await rest.balances()
        held.learned(await rest.permissions())
    except NotAuthorised as error:
        held.refused(str(error))
    except VenueError as error:
        held.unanswered = f"{type(error).__name__}: {error}"
    finally:
        await rest.close()
    return rows(row_of(held))


def rows(row: CredentialRow) -> list[Row]:
    """Of what is known of a pair."""
    places = ", ".join(row.kept)
    name, said = f"credentials {row.account}", f"{row.key} from {places}"
    if row.read is None or row.refused:
        result: Result = "fail" if row.refused else "warn"
        return [Row(name, result, f"{said}: {row.problem or 'the venue has not been asked yet'}")]
    permissions = KeyPermissions(row.read, row.trade, row.withdraw, row.said)
    return [Row(name, "ok", f"{said}, accepted by the venue"), _permissions(row, permissions)]


def _permissions(row: CredentialRow, permissions: KeyPermissions) -> Row:
    name = f"permissions {row.account}"
    found = findings(permissions, play_money=row.kept == (HANDED_OUT,))
    if found:
        return Row(name, _worst(found), "; ".join(finding.text for finding in found))
    silent = [
        name for name, right in (("trade", permissions.trade), ("withdraw", permissions.withdraw)) if right is None
    ]
    if silent:
        return Row(name, "warn", f"the venue does not say whether it may {' or '.join(silent)}")
    return Row(name, "ok", "read and trade" + (", no withdrawal" if permissions.withdraw is False else ""))


def _worst(found: tuple[Finding, ...]) -> Result:
    results = {_RESULTS[finding.severity] for finding in found}
    return "fail" if "fail" in results else "warn"
