"""What can go wrong on the way to a checkpoint, each with the exit status of the command that met it.

CheckpointError (1)
    HubUnreachableError (3)     no network, no such host, or the hub keeps failing
    RepositoryError (4)         no such repository, or no access to it
    RevisionError (5)           the repository has no such revision
    NotServableError (6)        the repository holds no text classifier that can be served
    CorruptedError (7)          a file differs from what the hub says it is
    NoSpaceError (8)            the disk is full
    MissingPackageError (9)     a conversion needs a package that is not installed
"""


class CheckpointError(Exception):
    """A failure a person can read: one sentence, and the command's exit status."""

    exit_status = 1


class HubUnreachableError(CheckpointError):
    """The hub does not answer."""

    exit_status = 3


class RepositoryError(CheckpointError):
    """The repository does not exist or is not readable."""

    exit_status = 4


class RevisionError(CheckpointError):
    """The repository has no such branch, tag or commit."""

    exit_status = 5


class NotServableError(CheckpointError):
    """The repository holds nothing the predictor can serve."""

    exit_status = 6


class CorruptedError(CheckpointError):
    """A file's content is not what the hub announced."""

    exit_status = 7


class NoSpaceError(CheckpointError):
    """The disk has no room for the files."""

    exit_status = 8


class MissingPackageError(CheckpointError):
    """A package needed for a conversion is not installed."""

    exit_status = 9
