"""Whether a command of a page would work: its target, program, paths, flags and variables exist.

What can be run in a moment is run: make without doing anything, modules for their ``--help``, kubectl against a port
where nobody listens, which it asks only after it has understood its arguments.
"""

import ast
import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from docs.commands import Command
from docs.exercised import FOREIGN, MAKE, PYTHON, PYTHON_RUN, SCRIPTS, Covered
from support.processes import REPO, environment
from support.programs import require

from load.run import SCENARIOS
from predictor.settings import Settings as PredictorSettings
from transformer.settings import Settings as TransformerSettings

# What make would install or has installed; taken as done.
_INSTALLED = (".venv/bin/pip", ".venv/.run", ".venv/.dev", ".tools/.stamp", "build/audit/.stamp")
# Where variables of make's commands are read.
_READERS = (
    "Makefile", "*/targets.mk", "load/bench/*.mk", "load/lib/settings.js", "load/run.py", "manifests/images/build.sh",
    "local/stack.py", "infra/platform/*.sh", "infra/*.sh",
)  # fmt: skip
_PLACEHOLDER = re.compile(r"[A-Z]+|\.\.\.")
_OBJECT = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "any"}}'


def check(command: Command, *, kubeconfig: Path) -> None:
    """Fail with a sentence when a command is of no use, or when nothing says how it is exercised."""
    for variable in command.variables:
        _variable(variable.partition("=")[0])
    program, *words = command.words
    script = _script(program)
    if program == "make":
        _make(words)
    elif Path(program).name in ("python", "python3"):
        _python(words)
    elif script is not None:
        _shell(script, words)
    elif program == "kubectl":
        _kubectl(words, kubeconfig)
    elif program == "terraform":
        _terraform(words)
    elif program == "cp":
        _copy(words)
    elif program != "curl":  # run against a real stack
        known = [starts for starts in FOREIGN if command.words[: len(starts)] == starts]
        assert known, f"{command}: nothing says how this is exercised; see tests/docs/exercised.py"


def _variable(name: str) -> None:
    fields = {
        f"{prefix}{field.upper()}"
        for prefix, settings in (("PREDICTOR_", PredictorSettings), ("TRANSFORMER_", TransformerSettings))
        for field in settings.model_fields
    }
    if name.startswith(("PREDICTOR_", "TRANSFORMER_")) and name != "PREDICTOR_PORT":
        assert name in fields, f"{name} is no setting"
    else:
        assert name in _words_of_readers(), f"nothing reads {name}"


@functools.cache
def _words_of_readers() -> set[str]:
    texts = [path.read_text() for pattern in _READERS for path in REPO.glob(pattern)]
    return {word for text in texts for word in re.findall(r"\b[A-Z][A-Z0-9_]*\b", text)}


def _make(words: list[str]) -> None:
    assigned = [word for word in words if re.match(r"[A-Z_]+=", word)]
    targets = [word for word in words if word not in assigned]
    for each in assigned:
        _variable(each.partition("=")[0])
    for target in targets or [""]:
        assert target in MAKE, f"make {target}: nothing says how this is exercised; see tests/docs/exercised.py"
        would = would_run(target, assigned)
        covered = MAKE[target]
        assert covered.entry in would, f"make {target} does not start {covered.entry}:\n{would}"
        shown(covered)
        values = [each.partition("=")[2] for each in assigned]
        for line in would.splitlines():
            starts = re.search(r"\.venv/bin/python (?P<rest>-m \S+ .*--.*)", line)
            if starts and any(value in line for value in values):
                _flags(shlex.split(starts["rest"]), env=line[: starts.start()].split())


def would_run(target: str, assigned: list[str]) -> str:
    """Give what make would run for a target."""
    old = [option for name in _INSTALLED for option in ("--old-file", name)]
    line = ["make", "--dry-run", *old, *assigned, *([target] if target else [])]
    done = subprocess.run(line, cwd=REPO, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(covered: Covered) -> None:
    """See that the test exists, and that it starts what it should if nothing keeps it from that."""
    file, _, name = covered.test.partition("::")
    text = (REPO / file).read_text()
    functions = {
        node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in functions, f"{covered.test} does not exist"
    if covered.takes is None:
        assert covered.entry in text, f"{file} does not start {covered.entry}"


def _python(words: list[str]) -> None:
    name = words[1] if words[0] == "-m" else words[0]
    if name in PYTHON_RUN:
        return
    assert name in PYTHON, f"python {name}: nothing says how this is exercised; see tests/docs/exercised.py"
    shown(PYTHON[name])
    if words[0] == "-m":
        _flags(words, env=[])
        return
    script = (REPO / name).read_text()  # asked for its --help, a trainer would load all that it trains with
    missing = [word for word in words if word.startswith("--") and f'"{word}"' not in script]
    assert not missing, f"{name} takes no {missing}"


def _flags(words: list[str], *, env: list[str]) -> None:
    """See that a Python program takes these words: choices are checked on the way to ``--help``, flags stand in it."""
    words = [SCENARIOS[0] if word == "..." else word for word in words]
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    said = _help(tuple(words), tuple(env))
    missing = {flag for flag in flags if not re.search(rf"{flag}\b", said)}
    assert not missing, f"{words[:2]} takes no {missing}"


@functools.cache
def _help(words: tuple[str, ...], env: tuple[str, ...]) -> str:
    more = dict(each.split("=", 1) for each in env)
    done = subprocess.run([sys.executable, *words, "--help"], cwd=REPO, env=environment(**more), capture_output=True,
                          text=True, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _script(program: str) -> str | None:
    """Give the script that a page means: pages in ``infra`` name theirs from there."""
    if not program.endswith(".sh"):
        return None
    places = [f"{folder}{program}" for folder in ("", "infra/", "infra/platform/")]
    found = next((place for place in places if (REPO / place).is_file()), None)
    assert found, f"there is no {program}"
    return found


def _shell(script: str, words: list[str]) -> None:
    if "--dry-run" in words:  # run as it stands
        done = subprocess.run(
            [script, *words], cwd=REPO, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return
    assert script in SCRIPTS, f"{script}: nothing says how this is exercised; see tests/docs/exercised.py"
    shown(SCRIPTS[script])
    done = subprocess.run([script, "--help"], cwd=REPO, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known = set(re.findall(r"[\w-]+", done.stdout))
    unknown = [word for word in words if not _PLACEHOLDER.fullmatch(word) and word not in known]
    assert not unknown, f"{script} takes no {unknown}"


def _kubectl(words: list[str], kubeconfig: Path) -> None:
    kubectl = require("kubectl", package="kubernetes-client")
    env = os.environ | {"KUBECONFIG": str(kubeconfig)}
    if len(words) == 1:  # a verb in running text
        done = subprocess.run([kubectl, words[0], "--help"], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    done = subprocess.run(
        [kubectl, *words], cwd=REPO, env=env, input=_OBJECT, capture_output=True, text=True, check=False, timeout=30
    )
    asked = "connection refused" in done.stderr or "was refused" in done.stderr
    assert asked, f"kubectl {words}: {done.stderr}"
    names = {name for word in words for name in re.findall(r"\bsentiment-[a-z-]+[a-z]", word)}
    unknown = {name for name in names if name not in _manifests()}
    assert not unknown, f"no manifest knows {unknown}"


@functools.cache
def _manifests() -> str:
    texts = [path.read_text() for path in (REPO / "manifests").rglob("*.yaml")]
    scenarios = " ".join(f"sentiment-load-{scenario}" for scenario in SCENARIOS)  # as load/testrun.py names them
    return "\n".join([*texts, scenarios])


def _terraform(words: list[str]) -> None:
    terraform = require("terraform", package="terraform, from its maker")
    done = subprocess.run([terraform, words[0], "-help"], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"terraform [global options] {words[0]}" in done.stdout, f"terraform has no {words[0]}"
    unknown = [word for word in words[1:] if word.partition("=")[0] not in done.stdout]
    assert not unknown, f"terraform {words[0]} takes no {unknown}"


def _copy(words: list[str]) -> None:
    source, target = words
    assert (REPO / source).is_file(), f"there is no {source}"
    assert (REPO / target).parent.is_dir(), f"there is no folder for {target}"
