"""A real Redis Cluster on loopback ports: primaries, replicas where they are asked for, nodes that join and leave."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis
from redis.crc import key_slot
from support.redis_server import RedisServer

from local.ports import PORTS, free_port

_NODE_TIMEOUT_MS = 1_000


class RedisCluster:
    """Nodes that know each other.

    Attributes:
        primaries: the nodes that had slots when the cluster was made, in slot order.
        replicas: one for each primary, or none.
    """

    def __init__(self, *, folder: Path, options: Sequence[str] = (), tls: bool = False) -> None:
        self._folder = folder
        self._tls = tls
        self._options = options
        self.primaries: list[RedisServer] = []
        self.replicas: list[RedisServer] = []
        self._others: list[RedisServer] = []

    @property
    def url(self) -> str:
        """Give the URL of the first node."""
        return f"redis://127.0.0.1:{self.primaries[0].port}"

    @property
    def nodes(self) -> list[RedisServer]:
        """Give all nodes that were started."""
        return [*self.primaries, *self.replicas, *self._others]

    def start(self, *, primaries: int = 3, replicas: bool = False) -> None:
        """Start nodes and join them; returns when all slots are served and all replicas are in step."""
        self.primaries = [self.node() for _ in range(primaries)]
        self._others.clear()
        if replicas:
            self.replicas = [self.node() for _ in range(primaries)]
            self._others.clear()
        first = self.primaries[0]
        bounds = [n * 16_384 // primaries for n in range(primaries + 1)]
        for n, node in enumerate(self.primaries):
            with node.client() as link:
                link.execute_command("CLUSTER", "ADDSLOTS", *range(bounds[n], bounds[n + 1]))
                link.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for node in [*self.primaries[1:], *self.replicas]:
            self.meet(node, first)
        wait_for(lambda: all(self._knows_all(node) for node in self.nodes), "the nodes do not know each other")
        for replica, primary in zip(self.replicas, self.primaries, strict=False):
            with replica.client() as link:
                link.execute_command("CLUSTER", "REPLICATE", node_id(primary))
        wait_for(lambda: all(cluster_ok(node) for node in self.nodes), "the cluster does not serve")
        wait_for(lambda: all(map(in_step, self.replicas)), "the replicas are not in step")

    def node(self, *options: str) -> RedisServer:
        """Start a node that belongs to nobody yet."""
        port = _port_with_bus()
        folder = self._folder / f"node-{port}"
        folder.mkdir()
        cluster = [
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS),
            "--cluster-config-file", "nodes.conf", "--cluster-require-full-coverage", "no",
            "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0",
            # A node whose last slot moves away stays a primary: it may get slots again.
            "--cluster-allow-replica-migration", "no",
        ]  # fmt: skip
        tls_port = _port_with_bus() if self._tls else 0
        tls = ["--tls-port", str(tls_port)] if tls_port else []
        node = RedisServer(folder=folder, options=[*cluster, *tls, *self._options, *options], port=port)
        node.tls_port = tls_port
        node.start()
        self._others.append(node)
        return node

    def meet(self, node: RedisServer, other: RedisServer) -> None:
        """Make two nodes know each other, and thereby all that each knows."""
        with node.client() as link:
            link.execute_command("CLUSTER", "MEET", "127.0.0.1", other.tls_port or other.port)

    def join(self, node: RedisServer) -> None:
        """Take a node in, without slots."""
        self.meet(node, self.primaries[0])
        ports = [each.port for each in self.primaries] + [node.port]
        wait_for(
            lambda: all(f":{port}@" in nodes_text(each) for each in [*self.primaries, node] for port in ports),
            "the new node is not known",
        )
        wait_for(lambda: cluster_ok(node), "the new node does not serve")

    def move(self, slots: Sequence[int], source: RedisServer, target: RedisServer, *, pause_s: float = 0.0) -> None:
        """Move slots with their keys, as a reshard does."""
        source_id, target_id = node_id(source), node_id(target)
        with source.client() as out, target.client() as into:
            for slot in slots:
                into.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
                out.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
                time.sleep(pause_s)
                while keys := out.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                    out.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 1_000, "REPLACE", "KEYS", *keys)
                into.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
                with contextlib.suppress(redis.ResponseError):  # with its last slot gone it is a replica, and knows
                    out.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
                for other in self.primaries:
                    if other not in (source, target):
                        with contextlib.suppress(redis.RedisError), other.client() as link:
                            link.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def owner(self, key: bytes) -> RedisServer:
        """Give the primary that a key lay with when the cluster was made."""
        return self.primaries[key_slot(key) * len(self.primaries) // 16_384]

    def _knows_all(self, node: RedisServer) -> bool:
        text = nodes_text(node)
        return all(f":{each.port}@" in text for each in self.nodes) and "handshake" not in text

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.kill()


def _port_with_bus() -> int:
    while True:
        port = free_port()
        if port + 10_000 in PORTS:
            with socket.socket() as bus, contextlib.suppress(OSError):
                bus.bind(("127.0.0.1", port + 10_000))
                return port


def nodes_text(node: RedisServer) -> str:
    """Give what a node says about all nodes."""
    with node.client() as link:
        return bytes(link.execute_command("CLUSTER", "NODES")).decode()


def node_id(node: RedisServer) -> str:
    """Give a node's name."""
    with node.client() as link:
        return bytes(link.execute_command("CLUSTER", "MYID")).decode()


def cluster_ok(node: RedisServer) -> bool:
    """Say whether a node finds that all slots are served."""
    with node.client() as link:
        return b"cluster_state:ok" in bytes(link.execute_command("CLUSTER", "INFO"))


def in_step(replica: RedisServer) -> bool:
    """Say whether a replica has all that its primary had."""
    with replica.client() as link:
        return link.info("replication").get("master_link_status") == "up"


def is_primary(node: RedisServer) -> bool:
    """Say whether a node takes writes."""
    with node.client() as link:
        return bool(link.info("replication")["role"] == "master")


def wait_for(check: Callable[[], bool], trouble: str, *, within_s: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(redis.RedisError):
            if check():
                return
        if time.monotonic() > deadline:
            raise AssertionError(trouble)
        time.sleep(0.05)


@contextlib.contextmanager
def redis_cluster(folder: Path, *options: str, replicas: bool = False, tls: bool = False) -> Iterator[RedisCluster]:
    """Run a cluster of three primaries until the block ends; with TLS each listens on a second port as well."""
    cluster = RedisCluster(folder=folder, options=options, tls=tls)
    try:
        cluster.start(replicas=replicas)
        yield cluster
    finally:
        cluster.stop()
