"""Every trouble a Redis can be in, with its wording.

The value of a `Trouble` is its label in metrics and logs and its row in the runbook; its message is what the log says.
"""

import re
import ssl
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, Self

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ExternalAuthProviderError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

LINK_ERRORS = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError, EOFError)
"""A broken, refused or silent link, as each layer raises it. OSError covers TLS and DNS, EOFError a cut reply."""

_COMMAND = re.compile(r"'([a-zA-Z]+(?:\|[a-zA-Z]+)?)' command")


class Trouble(StrEnum):
    """What is wrong with a Redis, or with one shard of a cluster."""

    message: str

    STARTING = "starting", "has not been asked yet"
    UNREACHABLE = "unreachable", "cannot be reached: no connection, or one that breaks"
    SLOW = "slow", "does not answer in time"
    TLS = "tls", "cannot be reached over TLS: certificate, host name or protocol do not match"
    WRONG_PASSWORD = "wrong_password", "refuses the user or the password"
    NO_PERMISSION = "no_permission", "denies the user a command or a key"
    READ_ONLY = "read_only", "is a replica that accepts no writes"
    OUT_OF_MEMORY = "out_of_memory", "has no memory left for writes"
    DISK_FAILING = "disk_failing", "accepts no writes because it cannot save to disk"
    LOADING = "loading", "is loading its data"
    CLUSTER = "cluster", "is a cluster but is used as a single Redis"
    CLUSTER_DOWN = "cluster_down", "belongs to a cluster that does not serve all slots"
    REFUSED = "refused", "refuses a command"
    OTHER = "other", "fails in an unexpected way"

    def __new__(cls, label: str, message: str) -> Self:
        """Make a member whose value is its label."""
        member = str.__new__(cls, label)
        member._value_ = label
        member.message = message
        return member


class Found(NamedTuple):
    """A trouble, and the denied command if it is known."""

    trouble: Trouble
    command: str | None = None


_TROUBLE_OF: tuple[tuple[tuple[type[BaseException], ...], Trouble], ...] = (
    ((AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError), Trouble.WRONG_PASSWORD),
    ((ExternalAuthProviderError,), Trouble.WRONG_PASSWORD),
    ((NoPermissionError,), Trouble.NO_PERMISSION),
    ((ReadOnlyError,), Trouble.READ_ONLY),
    ((OutOfMemoryError,), Trouble.OUT_OF_MEMORY),
    ((BusyLoadingError,), Trouble.LOADING),
    ((MasterDownError,), Trouble.READ_ONLY),
    ((ClusterDownError,), Trouble.CLUSTER_DOWN),
    ((AskError, ClusterCrossSlotError), Trouble.CLUSTER),
)
_TROUBLE_OF_CODE = {
    "MISCONF": Trouble.DISK_FAILING,
    "BUSY": Trouble.SLOW,
    "NOREPLICAS": Trouble.READ_ONLY,
    "NOAUTH": Trouble.WRONG_PASSWORD,
}


def trouble_of(error: BaseException) -> Found:
    """Say what trouble an error shows; of the server's own text only a command's name is kept."""
    for kinds, trouble in _TROUBLE_OF:
        if isinstance(error, kinds):
            denied = _COMMAND.search(str(error)) if trouble is Trouble.NO_PERMISSION else None
            return Found(trouble, denied[1].lower() if denied else None)
    return Found(_other_trouble(error))


def _other_trouble(error: BaseException) -> Trouble:
    trouble = Trouble.REFUSED if isinstance(error, RedisError) else Trouble.OTHER
    if isinstance(error, ResponseError):
        trouble = _TROUBLE_OF_CODE.get(str(error).split(" ", 1)[0], Trouble.REFUSED)
    elif any(isinstance(each, ssl.SSLError) for each in _chain(error)):
        trouble = Trouble.TLS
    elif isinstance(error, TimeoutError):
        trouble = Trouble.SLOW
    elif isinstance(error, LINK_ERRORS):
        # The library's timeouts are of connecting; commands run under their callers' budgets.
        trouble = Trouble.UNREACHABLE
    return trouble


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
