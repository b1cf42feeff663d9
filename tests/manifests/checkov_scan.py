"""Let checkov judge every overlay, with all components too, and the Dockerfiles; exit status 1 on a finding."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from manifests.objects import deployments  # noqa: E402

from manifests.render import choices, render  # noqa: E402

CONFIG = Path(__file__).parent / "checkov.yaml"
EVERYTHING = ["api-key", "jwt", "model-azure", "mtls"]


def checkov() -> str:
    """Path of checkov, which lives in an environment of its own."""
    return str(Path(os.environ.get("TOOLS", REPOSITORY / ".tools")) / "bin" / "checkov")


def scan(folder: Path, framework: str, *more: str) -> "subprocess.CompletedProcess[str]":
    """Run checkov on a folder."""
    command = [checkov(), "--directory", str(folder), "--framework", framework, "--config-file", str(CONFIG), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_rendered(folder: Path) -> None:
    """Write what each overlay applies, and the Deployments that Knative makes of it."""
    for name in choices("overlays"):
        for components in ([], EVERYTHING):
            text = render(name, components, {})
            documents = [document for document in yaml.safe_load_all(text) if document]
            path = folder / f"{name}{'-everything' if components else ''}.yaml"
            path.write_text(yaml.safe_dump_all([*documents, *deployments(documents)]))


def main() -> int:
    """Scan both; print what was found."""
    with tempfile.TemporaryDirectory() as scratch:
        write_rendered(Path(scratch))
        done = [scan(Path(scratch), "kubernetes")]
    done.append(
        scan(REPOSITORY, "dockerfile", "--skip-path", "build", "--skip-path", r"\.venv", "--skip-path", r"\.tools")
    )
    sys.stdout.write("\n".join(one.stdout.strip() for one in done) + "\n")
    failed = any(one.returncode != 0 for one in done)
    if failed:
        sys.stderr.write("\n".join(one.stderr.strip() for one in done) + "\n")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
