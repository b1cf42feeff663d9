"""The simulation of what an expiry of a hot text costs many pods."""

import json
import sys
from pathlib import Path

import pytest

from load.capacity import expiry
from load.capacity.expiry import Fleet, Seen, World


def seen(**parts: float) -> Seen:
    world = {
        "pods": 20,
        "rate": 200.0,
        "forward_s": 0.25,
        "l1_s": 0.0,
        "ttl_s": 20.0,
        "duration_s": 90.0,
        "warm_s": 30.0,
    }
    return Fleet(World(**{**world, "texts": 100, "hot": 10, **parts}), seed=1).run()  # type: ignore[arg-type]


def test_one_pod_computes_an_expired_text_once() -> None:
    alone = seen(pods=1)
    assert alone.forwards == alone.expiries > 0


def test_many_pods_compute_it_more_often_and_memory_keeps_them_from_it() -> None:
    bare, with_l1 = seen(), seen(l1_s=7.0)
    assert bare.forwards > 2 * bare.expiries
    assert with_l1.forwards / with_l1.expiries < bare.forwards / bare.expiries


def test_early_refresh_leaves_fewer_to_wait() -> None:
    assert seen(early=1.0).waited < seen().waited / 2


def test_command_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "expiry.json"
    arguments = ["--pods", "2", "--forward-ms", "50", "--rate-per-pod", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["expiry", *arguments])
    expiry.main()
    assert capsys.readouterr().out.count("\n") == 2 + 4
    assert len(json.loads(out.read_text())["rows"]) == 4
