"""Every command that a page shows works, and something runs it; what curl prints on a page is what it prints."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs.checks import check, would_run
from docs.commands import LANGUAGES, Block, Command, blocks, commands, looks_like_a_command, pages, parsed
from docs.exercised import FOREIGN, MAKE, PYTHON, PYTHON_RUN, SCRIPTS
from support.processes import REPO, TINY_MODEL, server
from support.programs import require

from local.ports import free_port
from local.running import Ports, running_stack

ALL = [
    pytest.param(command, id=f"{page.relative_to(REPO)}: {command}") for page in pages() for command in commands(page)
]
FOUND = [param.values[0] for param in ALL]


def shown(*starts: str) -> list[Command]:
    """Give the commands of all pages that start so, each once."""
    first = {command.words: command for command in FOUND if command.words[: len(starts)] == starts}
    return list(first.values())


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster at a port where nobody listens."""
    path: Path = tmp_path_factory.mktemp("kube") / "config"
    named = {"clusters": ("cluster", {"server": "http://127.0.0.1:9"}), "users": ("user", {}),
             "contexts": ("context", {"cluster": "nobody", "user": "nobody"})}  # fmt: skip
    config = {kind: [{"name": "nobody", one: value}] for kind, (one, value) in named.items()}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "nobody"} | config))
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with running_stack(folder) as ports:
        yield ports


def test_pages_are_found_with_their_commands() -> None:
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md"} <= {str(page.relative_to(REPO)) for page in pages()}
    assert {"make", "curl", "kubectl", "python", "terraform"} <= {command.words[0] for command in FOUND}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPO)))
def test_every_block_says_what_it_is_and_hides_no_command(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"```{block.language}\n{block.text}"
        if block.language == "sh":
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        else:
            assert not [line for line in block.text.splitlines() if looks_like_a_command(line)], block.text


@pytest.mark.parametrize("command", ALL)
def test_command_works_and_something_runs_it(command: Command, kubeconfig: Path) -> None:
    check(command, kubeconfig=kubeconfig)


@pytest.mark.parametrize(
    "wrong",
    [
        "make runn",
        "make run test-all",
        "make load RTE=100",
        "make load SCENARIO=smok",
        "make load-simulate ARGS='--profil spike'",
        "make load-simulate ARGS='--profile spiky'",
        "make e2e ARGS='--overly dev'",
        "PREDICTOR_MODELDIR=x make run",
        "python manifests/rendr.py --overlay dev",
        "python -m load.report --to x",
        "python -m load.nothing",
        "python model-artifacts/fetch.py x --revison main",
        "model-artifacts/fetch.sh x",
        "infra/up.sh dev --dryrun",
        "infra/up.sh dve --dry-run",
        "platform/install.sh --setings FILE",
        "install.sh --from knativ",
        "kubectl gett pods",
        "kubectl port-forwards",
        "kubectl get pods --namspace sentiment",
        "kubectl apply -f manifest",
        "kubectl -n sentiment rollout restart deployment/sentiment-redsi",
        "kubectl patch inferenceservice sentiment --type=json --patch='[{'",
        "terraform int",
        "terraform init -backend-confg=key=x",
        "cp infra/environments/mine.tfvars.sample infra/environments/mine.tfvars",
        "frobnicate --all",
        "helm install sentiment",
    ],
)
def test_wrong_command_is_noticed(wrong: str, kubeconfig: Path) -> None:
    (command,) = parsed(REPO / "README.md", wrong)
    with pytest.raises(AssertionError):
        check(command, kubeconfig=kubeconfig)


def test_nothing_is_listed_that_no_page_shows() -> None:
    targets = {word for command in FOUND if command.words[0] == "make" for word in command.words[1:] if "=" not in word}
    assert set(MAKE) - {""} == targets
    for name in {*PYTHON, *PYTHON_RUN}:
        assert any(name in command.words for command in FOUND), name
    for script in SCRIPTS:
        assert any(command.words[0].endswith(Path(script).name) for command in FOUND), script
    for starts in FOREIGN:
        assert shown(*starts), starts


def test_make_lists_every_target_that_a_page_names() -> None:
    listed = subprocess.run(["make"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^  make (\S+)", listed, re.MULTILINE)
    assert set(MAKE) - {""} <= set(targets)


def test_ci_runs_the_checks() -> None:
    ran = re.findall(r"^make (\S+)$", (REPO / ".ci" / "run").read_text(), re.MULTILINE)
    assert {"lint", "test"} <= set(ran)
    assert all(tool in would_run("lint", []) for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports"))


@pytest.mark.parametrize("command", shown("python", "manifests/render.py"), ids=str)
def test_rendering_gives_what_the_page_asks_for(command: Command) -> None:
    require("kubectl", package="kubernetes-client")
    done = subprocess.run([sys.executable, *command.words[1:]], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "kind: InferenceService" in done.stdout
    for given in re.findall(r"--set \w+=(\S+)", str(command)):
        assert given in done.stdout
    components = re.findall(r"--component (\S+)", str(command))
    monitors = {"monitoring": "monitoring.coreos.com", "monitoring-azure": "azmonitoring.coreos.com"}
    for component in monitors.keys() & set(components):
        assert f"apiVersion: {monitors[component]}/v1\nkind: PodMonitor" in done.stdout
    assert ("kind: PrometheusRule" in done.stdout) == bool({"monitoring", "monitoring-standard"} & set(components))
    assert ("kind: RequestAuthentication" in done.stdout) == ("jwt" in components)


@pytest.mark.parametrize(
    "command", [*shown("python", "-m", "predictor"), *shown("python", "-m", "transformer")], ids=str
)
def test_server_starts_as_written(command: Command, tmp_path: Path) -> None:
    port = free_port()
    arguments = [re.sub(r"--http_port=\d+", f"--http_port={port}", word) for word in command.words[1:]]
    env = {
        "PREDICTOR_MODEL_DIR": str(TINY_MODEL),
        "PREDICTOR_THREADS": "1",
        "PREDICTOR_DRAIN_S": "0",
        "TRANSFORMER_DRAIN_S": "0",
    }
    with server(arguments, port=port, log=tmp_path / "log", ready="/v2/health/ready", env=env) as running:
        assert running.stop() == 0, running.output()


def answered(ports: Ports, words: tuple[str, ...]) -> Any:
    """Run curl as written, but for the port, and give what it printed."""
    curl = require("curl", package="curl")
    asked = [word.replace("localhost:8080", f"localhost:{ports.transformer}") for word in words[1:]]
    asked = [word.replace("$host", "sentiment.sentiment.example.com") for word in asked]
    done = subprocess.run([curl, "--fail", "--max-time", "20", *asked], env=os.environ, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_curl_prints_what_the_page_shows(stack: Ports) -> None:
    compared = 0
    for page in pages():
        for block, after in itertools.pairwise([*blocks(page), Block(page, "text", "")]):
            for command in parsed(page, block.text) if block.language == "sh" else ():
                # What comes from elsewhere is not ours to run.
                if command.words[0] != "curl" or "https://" in str(command):
                    continue
                printed = answered(stack, command.words)
                assert len(printed["predictions"]) == 2
                if after.language == "json":
                    assert nearly(printed, json.loads(after.text)), printed
                    compared += 1
    assert compared


@pytest.mark.parametrize(
    ("language", "program"), [("python", (sys.executable, "-c")), ("js", ("node", "--input-type=module", "-e"))]
)
def test_client_of_the_readme_gets_an_answer(stack: Ports, language: str, program: tuple[str, ...]) -> None:
    (code,) = [block.text for block in blocks(REPO / "README.md") if block.language == language]
    asked = code.replace("localhost:8080", f"localhost:{stack.transformer}")
    command = [require(program[0], package="nodejs") if program[0] == "node" else program[0], *program[1:], asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"POSITIVE 0\.\d+ (hit|miss)", done.stdout.strip())


def nearly(printed: Any, said: Any) -> bool:
    """Compare two answers; arithmetic differs a little between CPUs, and a page shows two digits."""
    if isinstance(said, list):
        return len(printed) == len(said) and all(map(nearly, printed, said))
    if isinstance(said, dict):
        return bool(printed.keys() == said.keys()) and all(nearly(printed[key], said[key]) for key in said)
    return bool(abs(printed - said) < 0.02 if isinstance(said, float) else printed == said)


def test_every_body_on_a_page_is_answered(stack: Ports) -> None:
    bodies = [block.text for page in pages() for block in blocks(page) if block.language == "json"]
    asked = [body for body in bodies if "text" in json.loads(body)]
    assert asked
    for body in asked:
        printed = answered(stack, ("curl", "-s", "localhost:8080/predict", "-d", body))
        assert len(printed["predictions"]) == len(json.loads(body)["text"])
