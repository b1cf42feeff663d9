"""Benches whose tables are kept: what they count, and the page that they write."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import REPO

sys.path.append(str(REPO / "load" / "bench"))
from load.bench import families, hot_texts, measuring
from load.bench.parity_table import differences
from load.bench.random_checkpoint import sample_texts


def test_waits_at_hot_entries_ends_are_told_by_interval() -> None:
    # Told in the order in which they ended: the slow one last.
    seen = [(0.0, 0.001, True), (2.0, 0.001, True), (2.5, 0.001, True), (1.0, 0.050, False)]
    first, second = hot_texts.waits(seen, every_s=2.0)
    assert (first["requests"], first["p99 ms"], first["waited %"]) == (2, 50.0, 50.0)
    assert (second["from s"], second["requests"], second["p99 ms"], second["waited %"]) == (2, 2, 1.0, 0.0)


@pytest.mark.timeout(200)
def test_families_are_measured_beside_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setitem(families.SHAPES, "tiny", ("bert", shape))
    alone, many = families.measure("tiny", sample_texts()[:4], rounds=1, threads=1)
    assert (alone["texts"], many["texts"]) == (1, 4)
    assert float(alone["predictor ms"]) > 0
    assert float(alone["times"]) > 0


def test_xlm_robertas_stand_in_has_as_many_pieces(tmp_path: Path) -> None:
    families.write_pieces(tmp_path)
    tokenizer = families.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 250_002


def test_a_secrets_cost_is_that_of_hits_alone() -> None:
    # Its own process: it imports the transformer anew for each way. A miss would need a predictor, and there is none.
    program = "import asyncio, seal_cost as bench; print(asyncio.run(bench.added_s(3, rounds=2, requests=2)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO / "load" / "bench", capture_output=True, text=True, check=False
    )
    assert -1 < float(done.stdout or "nan") < 1, done.stderr


@pytest.mark.timeout(200)
def test_parity_is_told_by_family_and_head(tmp_path: Path) -> None:
    report = tmp_path / "parity.xml"
    command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", "-k", "bert-regression or it[regression]"]
    tests = ["tests/model/test_families.py", "tests/model/test_layouts.py"]
    subprocess.run([*command, *tests], cwd=REPO, check=True, capture_output=True)
    by_family, layouts, seconds = differences(report)
    assert 0 < by_family["bert"]["regression"] < 1e-4
    assert 0 < layouts["regression"] < 1e-4
    assert seconds > 0


def test_page_says_how_and_where_it_was_measured(tmp_path: Path) -> None:
    page = tmp_path / "reports" / "page.md"
    measuring.report(page, title="Title", command="make something", parts={"What it is.": [{"a": 1, "b": "two"}]})
    said = page.read_text()
    assert said.startswith("# Title\n\n`make something`, on ")
    assert "What it is.\n\n| a | b |\n| --- | --- |\n| 1 | two |\n" in said
