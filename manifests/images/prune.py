"""Remove from an image's environment what its server never imports: `prune.py SITE_PACKAGES predictor|transformer`.

The KServe SDK depends on what its controllers' users need; a server that loads it leanly needs half. Each entry names
its reason. The servers' answers without these are tested twice: with their imports refused, and in the built images.
"""

import argparse
import importlib.metadata
import shutil
import sys
from pathlib import Path

# Distribution: why no server needs it.
EVERYWHERE = {
    "kubernetes": "the SDK's client for creating InferenceServices; `kserve/__init__` is never run",
    "durationpy": "of kubernetes",
    "oauthlib": "of kubernetes",
    "requests-oauthlib": "of kubernetes",
    "websocket-client": "of kubernetes",
    "pandas": "the SDK's as_dataframe(), which nothing calls",
    "pytz": "of pandas",
    "tzdata": "of pandas",
    "grpcio-tools": "compiles .proto files, which the SDK ships compiled",
    "pillow": "images in explainers",
    "tabulate": "tables on the SDK's command line",
    "setuptools": "of grpcio-tools",
}
ONLY = {
    "transformer": {},
    "predictor": {
        "hf-xet": "downloads from the hub; the predictor opens a directory",
        "huggingface-hub": "downloads from the hub",
        "fsspec": "of huggingface-hub",
        "filelock": "of huggingface-hub",
        "tqdm": "of huggingface-hub",
        "aiohttp": "the SDK's client side",
        "aiohttp-retry": "of aiohttp",
        "cryptography": "of PyJWT",
        "cffi": "of cryptography",
        "pycparser": "of cffi",
        "PyJWT": "the SDK's client side",
    },
}

# Below site-packages, for every server: tests, type stubs and what only a compiler reads.
LEFTOVERS = (
    "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.c", "**/*.h", "**/*.hpp", "**/*.a",
    "numpy/f2py", "numpy/distutils", "numpy/_core/lib",
    # The SDK's models of its own Kubernetes objects.
    "kserve/models",
    # The predictor runs a graph it builds itself, or OpenVINO's own format, on the CPU.
    "openvino/include", "openvino/cmake", "openvino/tools", "openvino/libs/cache.json",
    "openvino/frontend/jax", "openvino/frontend/onnx", "openvino/frontend/paddle", "openvino/frontend/pytorch",
    "openvino/frontend/tensorflow",
    *(
        f"openvino/libs/libopenvino_{part}*"
        for part in (
            "intel_gpu_plugin", "intel_npu_plugin", "auto_plugin", "auto_batch_plugin", "hetero_plugin", "proxy_plugin",
            "onnx_frontend", "tensorflow_frontend", "tensorflow_lite_frontend", "pytorch_frontend", "paddle_frontend",
            "jax_frontend", "gguf_frontend",
        )
    ),
)  # fmt: skip


def distributions(server: str) -> dict[str, str]:
    """Distributions that the server's image leaves out, with the reason."""
    return EVERYWHERE | ONLY[server]


def import_names(names: dict[str, str]) -> set[str]:
    """Top-level modules of installed distributions that no other distribution brings."""
    owners = importlib.metadata.packages_distributions()
    wanted = {name.lower() for name in names}
    return {module for module, of in owners.items() if {owner.lower() for owner in of} <= wanted}


def remove(path: Path) -> None:
    """Delete a file, link or tree, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def uninstall(site: Path, name: str) -> None:
    """Delete every file a distribution brought; one that is not installed is no error."""
    for distribution in importlib.metadata.distributions(name=name, path=[str(site)]):
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            remove(path)
            for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
                remove(cached)


def prune(site: Path, server: str) -> None:
    """Remove distributions, leftovers and the folders they leave empty."""
    for name in distributions(server):
        uninstall(site, name)
    for pattern in LEFTOVERS:
        for path in sorted(site.glob(pattern)):
            remove(path)
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def main() -> int:
    """Parse the command line and prune."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("server", choices=sorted(ONLY))
    arguments = parser.parse_args()
    if not arguments.site.is_dir():
        print(f"prune: no such folder: {arguments.site}", file=sys.stderr)
        return 1
    prune(arguments.site, arguments.server)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
