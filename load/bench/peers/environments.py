"""Each peer's own virtual environment; PyTorch and transformers, installed once, are the project's."""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ENVIRONMENTS = ROOT / "build" / "peers"
NAMES = ("fastapi", "kserve", "litserve")


def python_of(name: str) -> Path:
    """Give the interpreter of a peer's environment, rebuilt if its requirements have changed.

    Raises:
        subprocess.CalledProcessError: pip could not install it.
    """
    directory = ENVIRONMENTS / name
    interpreter = directory / "bin" / "python"
    needs = HERE / "requirements" / f"{name}.txt"
    constraints = ROOT / "constraints.txt"
    made_of = hashlib.sha256(needs.read_bytes() + constraints.read_bytes() + sys.version.encode()).hexdigest()
    stamp = directory / "made-of"
    if stamp.is_file() and stamp.read_text() == made_of:
        return interpreter
    print(f"making {directory.relative_to(ROOT)}", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--constraint", str(constraints), "--requirement", str(needs)]
    subprocess.run(pip, check=True)
    _share(directory)
    stamp.write_text(made_of)
    return interpreter


def version_of(name: str, package: str) -> str:
    """Give the version of a package as the peer sees it."""
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    said = subprocess.run([python_of(name), "-c", asked], check=True, capture_output=True, text=True)
    return said.stdout.strip()


def _share(directory: Path) -> None:
    """Put the project's packages behind the peer's own: of both it finds its own first."""
    places = {"base": str(directory), "platbase": str(directory)}
    own = Path(sysconfig.get_path("purelib", scheme="venv", vars=places))
    (own / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
