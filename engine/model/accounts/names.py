"""An account is `<venue>:<its name there>`; who asks for one may leave the venue out."""

from engine.model.errors import ModelError


def is_account(wanted: str, account: str) -> bool:
    """Whether `account`, a full name, is the wanted one, named in full or without its venue; every one is when none is named."""
    return wanted in ("", account, account.partition(":")[2])


def check_account(wanted: str, account: str) -> None:
    """Raises ModelError: what names another account must not be done in this one."""
    if not is_account(wanted, account):
        raise ModelError("account", account, wanted)
