"""What a check gets, and how it says that something is wrong."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from e2e.cluster import Cluster
from e2e.gateway import Gateway, Trickle

Combination = tuple[str, Sequence[str]]
"""An overlay and components, as the renderer takes them."""
Load = Callable[[Gateway], int]


class CheckError(Exception):
    """The service does not do what it has to."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long things may take, in seconds.

    Attributes:
        ready_s: a change, until it serves.
        scale_out_s: load, until more pods serve it.
        scale_down_s: its end, until they are gone.
        policy_s: a gateway's rule, until it holds.
        idle_s: silence on a connection that has to survive it.
    """

    ready_s: float = 600
    scale_out_s: float = 300
    scale_down_s: float = 1_200
    policy_s: float = 60
    idle_s: float = 66


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A cluster with the service on it.

    Attributes:
        cluster: its API.
        gateway: the way in.
        limits: how long things may take.
        load: brings pods; gives its exit status.
        offered: what admission is offered.
        at_rest: pods of each component while nobody asks.
    """

    cluster: Cluster
    gateway: Gateway
    limits: Limits
    load: Load
    offered: Sequence[Combination]
    at_rest: dict[str, int]


Check = Callable[[Stage], str]
"""Gives one sentence about what it found; raises CheckError or ClusterError with one about what is wrong."""


@contextmanager
def none_fails(gateway: Gateway, *, per_s: float = 5.0) -> Iterator[Trickle]:
    """Keep asking new texts while the block runs; raises CheckError unless all were answered."""
    with Trickle(gateway, per_s=per_s) as trickle:
        yield trickle
    if trickle.failed:
        raise CheckError(f"{trickle.failed} of {trickle.asked} requests failed meanwhile: {dict(trickle.statuses)}")
