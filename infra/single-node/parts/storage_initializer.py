"""The image of KServe's storage initializer, which fetches models before a pod starts."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from parts import go_modules

NAME = "dev.local/single-node/storage-initializer"
DOCKERFILE = Path(__file__).resolve().parents[1] / "storage-initializer" / "Dockerfile"
ENTRY_POINT = Path("python", "storage-initializer", "scripts", "initializer-entrypoint")


def build(builder: str, *, base: str, context: Path, versions: Mapping[str, str]) -> str:
    """Build it; gives its name.

    Args:
        builder: a build command with its options.
        base: image with a Python.
        context: a folder to put what it is made of; made where it is missing.
        versions: of everything on the node; the package has KServe's.

    Raises:
        ModuleError: KServe's sources cannot be had.
        CalledProcessError: the build failed.
    """
    context.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(
        go_modules.directory("serving", "github.com/kserve/kserve") / ENTRY_POINT, context / ENTRY_POINT.name
    )
    name = f"{NAME}:{versions['KSERVE_VERSION']}"
    arguments = [f"BASE_IMAGE={base}", f"KSERVE_STORAGE_VERSION={versions['KSERVE_VERSION'].removeprefix('v')}"]
    flags = [word for argument in arguments for word in ("--build-arg", argument)]
    command = [*shlex.split(builder), *flags, "--file", str(DOCKERFILE), "--tag", name, str(context)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return name
