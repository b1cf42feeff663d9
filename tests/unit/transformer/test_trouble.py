"""Each trouble of Redis has its own state, and none of them is said more than once a minute."""

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from transformer.cache.state_log import StateLog
from transformer.cache.trouble import Found, Trouble, trouble_of

RUNBOOK = Path(__file__).parents[3] / "manifests/components/monitoring/runbook.md"

SERVER_SAYS = {
    "READONLY You can't write against a read only replica.": Trouble.READ_ONLY,
    "WRONGPASS invalid username-password pair or user is disabled.": Trouble.WRONG_PASSWORD,
    "NOAUTH Authentication required.": Trouble.WRONG_PASSWORD,
    "NOPERM this user has no permissions to run the 'set' command": Trouble.NO_PERMISSION,
    "OOM command not allowed when used memory > 'maxmemory'.": Trouble.OUT_OF_MEMORY,
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist": Trouble.DISK_FAILING,
    "LOADING Redis is loading the dataset in memory": Trouble.LOADING,
    "MOVED 1234 127.0.0.1:7001": Trouble.CLUSTER,
    "CROSSSLOT Keys in request don't hash to the same slot": Trouble.CLUSTER,
    "CLUSTERDOWN The cluster is down": Trouble.CLUSTER_DOWN,
    "BUSY Redis is busy running a script.": Trouble.SLOW,
    "ERR something else": Trouble.REFUSED,
}


@pytest.mark.parametrize("line", SERVER_SAYS)
def test_what_the_server_says_is_told_apart(line: str) -> None:
    assert trouble_of(BaseParser.parse_error(line)).trouble is SERVER_SAYS[line]


def test_denied_command_is_named_and_nothing_else_of_the_servers_text() -> None:
    said = BaseParser.parse_error("NOPERM User secret-name has no permissions to run the 'cluster|slots' command")
    assert trouble_of(said) == Found(Trouble.NO_PERMISSION, "cluster|slots")


def test_links_trouble_is_told_apart() -> None:
    assert trouble_of(TimeoutError()).trouble is Trouble.SLOW
    assert trouble_of(RedisTimeoutError("Timeout connecting to server")).trouble is Trouble.UNREACHABLE
    assert trouble_of(RedisConnectionError("refused")).trouble is Trouble.UNREACHABLE
    wrapped = RedisConnectionError("Error connecting")
    wrapped.__context__ = ssl.SSLCertVerificationError("certificate verify failed")
    assert trouble_of(wrapped).trouble is Trouble.TLS
    assert trouble_of(ZeroDivisionError()).trouble is Trouble.OTHER


def test_every_state_has_its_row_in_the_runbook() -> None:
    text = RUNBOOK.read_text()
    assert [trouble for trouble in Trouble if f"| `{trouble.value}` |" not in text] == []


async def test_flapping_is_said_once_and_the_state_that_lasts_when_its_time_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    said = StateLog(quiet_s=0.2)
    for _ in range(50):
        said.state("", Found(Trouble.SLOW))
        said.state("", None)
    said.state("", Found(Trouble.SLOW))
    assert [record.message for record in caplog.records] == ["redis does not answer in time", "redis is ok"]
    await asyncio.sleep(0.4)
    assert [record.__dict__["state"] for record in caplog.records] == ["slow", "ok", "slow"]
    assert caplog.records[-1].__dict__["changes_not_logged"] == 99


async def test_shards_are_said_apart_and_those_that_are_gone_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said = StateLog(quiet_s=0.1)
    for shard in ("a:1", "b:2"):
        said.state(shard, Found(Trouble.UNREACHABLE))
        said.state(shard, None)
        said.state(shard, Found(Trouble.UNREACHABLE))
    said.forget("a:1")
    await asyncio.sleep(0.3)
    assert [record.__dict__["shard"] for record in caplog.records] == ["a:1", "a:1", "b:2", "b:2", "b:2"]
