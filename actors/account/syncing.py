"""Asking an account to reconcile, for whoever needs it in step and not only told of."""

from actors.messages import SyncNow
from engine.kernel import Ref
from engine.model import SyncMode, SyncReport
from engine.venues.ccxt import PortfolioOutOfSyncError


async def sync_account(account: Ref, timeout_s: float) -> SyncReport:
    """One pass now. Raises `PortfolioOutOfSyncError` where it found the account out of step and the account's `mode` is `raise`;
    what a call may raise otherwise.
    """
    return in_step(await account.call(SyncNow(), timeout_s=timeout_s))


def in_step(report: SyncReport) -> SyncReport:
    """`report` itself. Raises `PortfolioOutOfSyncError` for the first currency out of step where the mode is `raise`."""
    for result in report.results:
        if report.mode is SyncMode.RAISE and not result.within_tolerance:
            raise PortfolioOutOfSyncError(
                f"{result.market} {result.currency}",
                local_unallocated=result.broker_available - result.difference,
                broker_available=result.broker_available,
            )
    return report
