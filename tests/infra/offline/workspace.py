"""Run Terraform on a copy of ``infra/`` against the provider's real schema, without a registry, an account or a state.

As a command: ``python -m infra.offline.workspace validate|test|cost ENVIRONMENT`` with ``tests`` on the path.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.offline.schema import CACHE, REPO, write_schema

PROVIDER = Path(__file__).with_name("provider.py")
EXAMPLE = "environments/mine.tfvars.example"


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Run the schema-only provider; give what Terraform needs to find it."""
    schema = write_schema(REPO / "infra", CACHE / "schema.json")
    command = [sys.executable, str(PROVIDER), str(schema)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the provider has no pipes")
        reattach = process.stdout.readline()
        if not reattach:
            raise RuntimeError("the provider did not start")
        try:
            yield reattach
        finally:
            process.stdin.close()


class Workspace:
    """A copy of the configuration, and a Terraform that knows the provider's schema."""

    def __init__(self, *, folder: Path, reattach: str, source: Path = REPO / "infra") -> None:
        self.root = folder / "infra"
        shutil.copytree(source, self.root, ignore=shutil.ignore_patterns(".terraform*", "mine.tfvars"))
        # Nothing here may reach for the remote state.
        (self.root / "backend.tf").unlink()
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "ARM_"))}
        self._environment = {
            **inherited,
            "CHECKPOINT_DISABLE": "1",
            "TF_DATA_DIR": str(folder / "data"),
            "TF_REATTACH_PROVIDERS": reattach,
        }

    def terraform(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one Terraform command in the copy; give its status and all it printed."""
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self.root,
            env=self._environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def validate(self) -> subprocess.CompletedProcess[str]:
        """Check names, types and references against the schema."""
        return self.terraform("validate", "-no-color")

    def test(self, environment: str, *files: str) -> subprocess.CompletedProcess[str]:
        """Run test files with an environment's values; without files, the common ones and the environment's own."""
        chosen = files or ("common", environment)
        filters = [f"-filter=tests/{name}.tftest.hcl" for name in chosen]
        return self.terraform("test", "-no-color", f"-var-file=environments/{environment}.tfvars", *filters)

    def evaluate(self, expression: str, environment: str) -> str:
        """Give what an expression is worth with an environment's values."""
        files = [f"-var-file=environments/{environment}.tfvars", f"-var-file={EXAMPLE}"]
        done = self.terraform("console", *files, stdin=expression)
        if done.returncode != 0:
            raise RuntimeError(done.stdout)
        return done.stdout

    def cost_report(self, environment: str) -> str:
        """Give the table of what a month costs."""
        lines = self.evaluate("local.cost_report", environment).splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("<<EOT"))
        return "\n".join(lines[start + 1 : lines.index("EOT", start)])


def main() -> int:
    """Run one of the three commands and pass its status on."""
    command, environment = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="infra-") as folder, provider() as reattach:
        workspace = Workspace(folder=Path(folder), reattach=reattach)
        if command == "cost":
            sys.stdout.write(workspace.cost_report(environment) + "\n")
            return 0
        done = workspace.validate() if command == "validate" else workspace.test(environment)
    sys.stdout.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
