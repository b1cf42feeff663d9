"""Request ids: the client's own if it is safe in logs and headers, else one made here."""

import itertools
import os

from serving.http.reply import Headers

REQUEST_ID = b"x-request-id"
_LONGEST = 128


def is_plain(value: bytes) -> bool:
    """Say whether an id is 1 to 128 printable ASCII characters."""
    return 0 < len(value) <= _LONGEST and value.isascii() and value.decode().isprintable()


class RequestIds:
    """Gives every request exactly one id; those made here are unique across processes."""

    def __init__(self) -> None:
        self._made = map("{}-{:x}".format, itertools.repeat(os.urandom(6).hex()), itertools.count())

    def identify(self, headers: Headers) -> tuple[bytes, Headers]:
        """Give a request's id, and its headers with that id and no other.

        The client's id counts when it sends exactly one and that one is plain.
        """
        sent, count = b"", 0
        for name, value in headers:  # every request comes here: a comprehension would cost twice as much
            if name == REQUEST_ID:
                sent, count = value, count + 1
        if count == 1 and is_plain(sent):
            return sent, headers
        made = next(self._made).encode()
        others = [header for header in headers if header[0] != REQUEST_ID] if count else headers
        return made, [*others, (REQUEST_ID, made)]
