"""model-artifacts/fetch.py in its own process against a hub on loopback."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from model.checkpoints import SHAPES, write_checkpoint
from model.hub_server import COMMIT, HubServer, Repository
from safetensors.torch import load_file, save
from support.processes import REPO

from local.ports import free_port
from predictor.loading import load
from predictor.settings import Settings

FETCH = REPO / "model-artifacts" / "fetch.py"
MODEL = "somebody/classifier"
CONFIG_SAYS = {
    "architectures": ["DistilBertForSequenceClassification"],
    "model_type": "distilbert",
    "dim": 8,
    "n_layers": 1,
    "n_heads": 2,
    "hidden_dim": 16,
    "vocab_size": 8,
    "max_position_embeddings": 16,
}
CONFIG = json.dumps(CONFIG_SAYS).encode()
TENSORS = {
    "classifier.weight": torch.arange(2048, dtype=torch.float32).reshape(2, 1024),
    "classifier.bias": torch.ones(2),
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film", "##s"]
VOCABULARY = "".join(f"{word}\n" for word in WORDS).encode()
FILES = {
    "config.json": CONFIG,
    "model.safetensors": save(TENSORS),
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b'{"do_lower_case": true}',
    "vocab.txt": VOCABULARY,
    "special_tokens_map.json": b"{}",
    "added_tokens.json": b"{}",
    "README.md": b"not needed for serving",
    "training_args.bin": b"x" * 5000,
}

Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer({MODEL: Repository(files=dict(FILES), revisions=("main", "refs/pr/1"))})
    yield server
    server.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "classifier"


def run(*arguments: str, file_limit_bytes: int | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if file_limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit_bytes, file_limit_bytes))

    kept = {name: value for name, value in os.environ.items() if name not in {"HF_TOKEN", "HF_ENDPOINT"}}
    return subprocess.run(
        [sys.executable, str(FETCH), *arguments],
        env={**kept, "no_proxy": "*", **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=limit,
    )


@pytest.fixture
def fetch(hub: HubServer, target: Path) -> Fetch:
    def call(*arguments: str, model: str = MODEL, **options: object) -> subprocess.CompletedProcess[str]:
        always = (model, "--out", str(target), "--endpoint", hub.url, "--attempts", "2")
        return run(*always, *arguments, **options)  # type: ignore[arg-type]

    return call


def refused(result: subprocess.CompletedProcess[str], status: int, sentence: str) -> None:
    assert result.returncode == status, result.stderr
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def nothing_left(target: Path) -> bool:
    return not target.exists()


def test_a_branch_becomes_a_commit_and_only_what_serving_needs_arrives(fetch: Fetch, target: Path) -> None:
    result = fetch()
    assert result.returncode == 0, result.stderr
    served = {
        name: content for name, content in FILES.items() if name not in {"README.md", "training_args.bin", "vocab.txt"}
    }
    assert {path.name: path.read_bytes() for path in target.iterdir() if path.name != "MANIFEST.json"} == served
    assert [path.name for path in target.parent.iterdir()] == ["classifier"]


def test_the_manifest_names_commit_digest_and_size(fetch: Fetch, target: Path) -> None:
    assert fetch("--revision", "refs/pr/1").returncode == 0
    manifest = json.loads((target / "MANIFEST.json").read_text())
    assert {key: manifest[key] for key in ("source", "revision", "commit")} == {
        "source": MODEL,
        "revision": "refs/pr/1",
        "commit": COMMIT,
    }
    assert manifest["files"] == {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in target.iterdir()
        if path.name != "MANIFEST.json"
    }
    assert "converted" not in manifest


def test_pickled_weights_become_safetensors(hub: HubServer, fetch: Fetch, target: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pytorch_model.bin"
    torch.save({**TENSORS, "strided": TENSORS["classifier.weight"].T, "note": "no tensor"}, pickled)
    files = hub.repositories[MODEL].files
    del files["model.safetensors"]
    files["pytorch_model.bin"] = pickled.read_bytes()
    assert fetch().returncode == 0
    found = load_file(target / "model.safetensors")
    assert set(found) == {"classifier.weight", "classifier.bias", "strided"}
    assert torch.equal(found["classifier.weight"], TENSORS["classifier.weight"])
    assert torch.equal(found["strided"], TENSORS["classifier.weight"].T)
    assert not (target / "pytorch_model.bin").exists()
    manifest = json.loads((target / "MANIFEST.json").read_text())
    assert manifest["converted"]["pytorch_model.bin"]["sha256"] == hashlib.sha256(pickled.read_bytes()).hexdigest()
    assert "model.safetensors" in manifest["files"]


def test_a_pickle_that_carries_code_is_refused_and_not_run(hub: HubServer, fetch: Fetch, target: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {target.parent}/run",)

    attack = target.parent.parent / "attack.bin"
    torch.save({"weight": Attack()}, attack)
    files = hub.repositories[MODEL].files
    del files["model.safetensors"]
    files["pytorch_model.bin"] = attack.read_bytes()
    refused(fetch(), 6, "is no PyTorch state dict")
    assert nothing_left(target)
    assert not (target.parent / "run").exists()


def test_a_bare_vocabulary_arrives_as_it_is_with_what_is_added_to_it(
    hub: HubServer, fetch: Fetch, target: Path
) -> None:
    files = hub.repositories[MODEL].files
    del files["tokenizer.json"]
    files["added_tokens.json"] = b'{"[NEW]": 8}'
    assert fetch().returncode == 0
    arrived = {path.name: path.read_bytes() for path in target.iterdir()}
    assert (arrived["vocab.txt"], arrived["added_tokens.json"]) == (VOCABULARY, b'{"[NEW]": 8}')
    assert "tokenizer.json" not in arrived


def test_shards_arrive_with_their_index(hub: HubServer, fetch: Fetch, target: Path) -> None:
    files = hub.repositories[MODEL].files
    del files["model.safetensors"]
    names = {name: f"model-{number}-of-2.safetensors" for number, name in enumerate(TENSORS, start=1)}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": names}).encode()
    for tensor, name in names.items():
        files[name] = save({tensor: TENSORS[tensor]})
    assert fetch().returncode == 0
    assert {"model.safetensors.index.json", *names.values()} <= {path.name for path in target.iterdir()}


@pytest.mark.timeout(200)
@pytest.mark.parametrize("family", SHAPES)
def test_what_is_fetched_of_any_family_is_served(family: str, hub: HubServer, fetch: Fetch, target: Path) -> None:
    source = write_checkpoint(target.parent.parent / "source", family, problem_type="multi_label_classification")
    hub.repositories[MODEL].files = {path.name: path.read_bytes() for path in source.iterdir()}
    result = fetch()
    assert result.returncode == 0, result.stderr
    fetched, original = (load(Settings(model_dir=each, precision="f32"), threads=1) for each in (target, source))
    assert fetched.version == original.version
    assert fetched.checkpoint.config.scores_are == "sigmoid"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_corrupted_file_is_refused(hub: HubServer, fetch: Fetch, target: Path, name: str) -> None:
    hub.faults.corrupted.add(name)
    refused(fetch(), 7, f"{name} is not what the hub announced")
    assert nothing_left(target)
    hub.faults.corrupted.clear()
    assert fetch().returncode == 0


def test_the_digest_beside_a_redirect_is_checked_where_the_listing_has_none(
    hub: HubServer, fetch: Fetch, target: Path
) -> None:
    hub.faults.silent_listing = True
    hub.faults.corrupted.add("model.safetensors")
    refused(fetch(), 7, "model.safetensors is not what the hub announced")
    hub.faults.corrupted.clear()
    assert fetch().returncode == 0
    assert (target / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_broken_connection_is_resumed_not_repeated(hub: HubServer, fetch: Fetch, target: Path) -> None:
    hub.faults.cut_short["model.safetensors"] = 1
    assert fetch().returncode == 0
    half = len(FILES["model.safetensors"]) // 2
    assert [each.headers.get("Range") for each in hub.downloads("model.safetensors")] == [None, f"bytes={half}-"]
    assert (target / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_the_next_call_goes_on_where_an_interrupted_one_stopped(hub: HubServer, fetch: Fetch, target: Path) -> None:
    hub.faults.cut_short["model.safetensors"] = 2
    refused(fetch(), 3, "Cannot reach")
    assert nothing_left(target)
    hub.requests.clear()
    assert fetch().returncode == 0
    assert len(hub.downloads("model.safetensors")) == 1
    assert "Range" in hub.downloads("model.safetensors")[0].headers
    assert not hub.downloads("config.json")
    assert (target / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_finished_file_is_recognised_where_the_hub_tells_no_sizes(hub: HubServer, fetch: Fetch, target: Path) -> None:
    hub.faults.silent_listing = True
    hub.faults.cut_short["model.safetensors"] = 2
    refused(fetch(), 3, "Cannot reach")
    assert fetch().returncode == 0
    assert (target / "config.json").read_bytes() == CONFIG
    assert (target / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_hub_that_ignores_ranges_starts_the_file_anew(hub: HubServer, fetch: Fetch, target: Path) -> None:
    hub.faults.ignores_ranges = True
    hub.faults.cut_short["model.safetensors"] = 1
    assert fetch().returncode == 0
    assert (target / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_leftovers_of_another_commit_are_cleared(hub: HubServer, fetch: Fetch, target: Path) -> None:
    hub.faults.cut_short["model.safetensors"] = 2
    refused(fetch(), 3, "Cannot reach")
    hub.repositories[MODEL].commit = "f" * 40
    assert fetch().returncode == 0
    assert [path.name for path in target.parent.iterdir()] == ["classifier"]


def test_a_busy_hub_is_asked_again(hub: HubServer, fetch: Fetch) -> None:
    hub.faults.unavailable["config.json"] = 1
    assert fetch().returncode == 0


def test_an_older_directory_is_replaced_as_a_whole(hub: HubServer, fetch: Fetch, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "stray.txt").write_text("from before")
    assert fetch().returncode == 0
    assert not (target / "stray.txt").exists()
    assert [path.name for path in target.parent.iterdir()] == ["classifier"]


def test_a_failure_leaves_the_older_directory_alone(hub: HubServer, fetch: Fetch, target: Path) -> None:
    assert fetch().returncode == 0
    hub.repositories[MODEL].commit = "f" * 40
    hub.faults.corrupted.add("model.safetensors")
    refused(fetch(), 7, "model.safetensors")
    assert json.loads((target / "MANIFEST.json").read_text())["commit"] == COMMIT
    assert run(MODEL, "--out", str(target), "--check").returncode == 0


def test_a_directory_that_is_there_is_not_fetched_again(hub: HubServer, fetch: Fetch) -> None:
    assert fetch().returncode == 0
    hub.requests.clear()
    again = fetch()
    assert again.returncode == 0
    assert "already" in again.stdout
    assert len(hub.requests) == 1


def test_a_changed_directory_is_found_out_and_fetched_again(hub: HubServer, fetch: Fetch, target: Path) -> None:
    assert fetch().returncode == 0
    (target / "tokenizer.json").write_bytes(b"{}")
    refused(run(MODEL, "--out", str(target), "--check"), 7, "tokenizer.json differs from the manifest.")
    assert fetch().returncode == 0
    assert (target / "tokenizer.json").read_bytes() == FILES["tokenizer.json"]


def test_an_unknown_repository_is_named(fetch: Fetch, target: Path) -> None:
    refused(fetch(model="somebody/else"), 4, "somebody/else")
    assert nothing_left(target)


def test_a_gated_repository_says_what_to_do(hub: HubServer, fetch: Fetch) -> None:
    hub.repositories[MODEL].gated = True
    refused(fetch(), 4, "HF_TOKEN")


def test_an_unknown_revision_is_named(fetch: Fetch, target: Path) -> None:
    refused(fetch("--revision", "v9"), 5, f"{MODEL} has no revision v9.")
    assert nothing_left(target)


def test_no_network_is_one_clear_sentence(target: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    refused(run(MODEL, "--out", str(target), "--attempts", "1", HF_ENDPOINT=nowhere), 3, f"Cannot reach {nowhere}")


def test_a_server_that_is_no_hub_is_recognised(hub: HubServer, fetch: Fetch) -> None:
    hub.repositories[MODEL].commit = "not-a-commit"
    refused(fetch(), 3, "does not answer like a model hub")


def test_a_full_disk_is_foreseen(hub: HubServer, fetch: Fetch) -> None:
    hub.faults.announced_bytes["model.safetensors"] = 1 << 60
    refused(fetch(), 8, "MiB are needed")
    assert not hub.downloads("model.safetensors")


def test_a_disk_that_fills_up_is_one_clear_sentence(fetch: Fetch, target: Path) -> None:
    refused(fetch(file_limit_bytes=4096), 8, "no room on the disk")
    assert nothing_left(target)


def test_the_token_reaches_the_hub_but_not_its_storage(hub: HubServer, fetch: Fetch) -> None:
    assert fetch(HF_TOKEN="hf_secret").returncode == 0
    for each in hub.requests:
        expected = None if "/storage/" in each.path else "Bearer hf_secret"
        assert each.headers.get("Authorization") == expected
    assert hub.downloads("model.safetensors")


def config(**changes: object) -> dict[str, bytes | None]:
    return {"config.json": json.dumps(CONFIG_SAYS | changes).encode()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (config(architectures=["DistilBertForMaskedLM"]), "DistilBertForMaskedLM, which is not served"),
        (config(architectures=None, model_type="gpt2"), "model_type gpt2, which is not served; served are"),
        (config(problem_type="ranking"), "problem_type ranking"),
        (config(id2label={"0": ""}), "gives class 0 no name"),
        ({"config.json": b"[]"}, "no JSON object"),
        ({"config.json": None}, "config.json is missing"),
        ({"config.json": None, "adapter_config.json": b"{}"}, "holds an adapter"),
        ({"model.safetensors": None}, "model.safetensors is missing"),
        ({"model.safetensors": None, "tf_model.h5": b"x"}, "tf_model.h5 is not read"),
        ({"model.safetensors": None, "model.safetensors.index.json": b"{}"}, "names no files"),
        (
            {"model.safetensors": None, "model.safetensors.index.json": b'{"weight_map": {"a": "b.safetensors"}}'},
            "b.safetensors is missing",
        ),
        ({"tokenizer.json": None, "vocab.txt": None}, "neither tokenizer.json nor vocab.txt"),
        ({"tokenizer.json": None, "vocab.txt": b"good\n[UNK]\n"}, "vocab.txt lacks [CLS], [SEP]"),
        ({"tokenizer_config.json": b'{"tokenizer_class": "BertweetTokenizer"}'}, "asks for the tokenizer Bertweet"),
    ],
)
def test_what_cannot_be_served_is_refused(
    hub: HubServer, fetch: Fetch, target: Path, change: dict[str, bytes | None], sentence: str
) -> None:
    files = hub.repositories[MODEL].files
    for name, content in change.items():
        files.pop(name, None)
        if content is not None:
            files[name] = content
    refused(fetch(), 6, sentence)
    assert nothing_left(target)
    assert not hub.downloads("model.safetensors")


def test_a_foreign_model_is_refused_before_its_weights_come(hub: HubServer, fetch: Fetch) -> None:
    hub.repositories[MODEL].files["config.json"] = b'{"architectures": ["BertForMaskedLM"]}'
    refused(fetch(), 6, "BertForMaskedLM")
    assert not hub.downloads("model.safetensors")


@pytest.mark.parametrize("name", ["../etc", "a/b/c", "-x/y", "owner/../x", "owner/"])
def test_a_name_that_is_none_is_wrong_usage(name: str) -> None:
    result = run("--out", "unused", "--", name)
    assert result.returncode == 2
    assert "no model name" in result.stderr


def test_an_endpoint_must_be_http() -> None:
    assert run(MODEL, "--endpoint", "file:///etc").returncode == 2
