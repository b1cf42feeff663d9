"""Free ports, for processes that are started here."""

import itertools
import random
import socket

# Below what Linux gives to outgoing connections (32768 and up): one of those could take a port before its server does.
PORTS = range(10_000, 32_768)

# In order from a random start: two processes that choose at the same time do not choose the same.
_candidates = itertools.count(random.randrange(len(PORTS)))  # noqa: S311  # no secret


def free_port() -> int:
    """Give a TCP port that nothing listens on, at any address; the next call gives another."""
    for candidate in _candidates:
        port = PORTS[candidate % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port
    raise AssertionError("a count has no end")
