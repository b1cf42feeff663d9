"""Render an overlay, with components added and settings replaced, to standard output.

    python manifests/render.py --overlay prod --set registry=example.azurecr.io --set tag=1.2.0 | kubectl apply -f -
    python manifests/render.py --overlay dev --component jwt --component model-hf

The folder is copied first, so nothing in it changes.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parse_settings(text: str) -> dict[str, str]:
    """`key=value` lines of settings.env, in order."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def choices(folder: str) -> list[str]:
    """Names of the overlays or components there are."""
    return sorted(entry.name for entry in (HERE / folder).iterdir() if entry.is_dir())


def render(overlay: str, components: list[str], settings: dict[str, str], kubectl: str = "kubectl") -> str:
    """Kustomize's output for an overlay, base first; raises ValueError on a setting that does not exist."""
    known = parse_settings((HERE / "settings" / "settings.env").read_text())
    unknown = sorted(settings.keys() - known.keys())
    if unknown:
        raise ValueError(f"no such setting: {', '.join(unknown)} (there are {', '.join(known)})")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "manifests"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("install.yaml", "__pycache__"))
        lines = [f"{key}={value}\n" for key, value in (known | settings).items()]
        (copy / "settings" / "settings.env").write_text("".join(lines))
        top = copy / "overlays" / "rendered"
        top.mkdir()
        resource = "../../base" if overlay == "base" else f"../{overlay}"
        kustomization = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"]
        kustomization += ["resources:", f"  - {resource}"]
        if components:
            kustomization += ["components:", *(f"  - ../../components/{name}" for name in components)]
        (top / "kustomization.yaml").write_text("\n".join(kustomization) + "\n")
        done = subprocess.run([kubectl, "kustomize", str(top)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip().replace(scratch, ""))
    return done.stdout


def main() -> int:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overlay", default="local", choices=["base", *choices("overlays")])
    parser.add_argument("--component", action="append", default=[], choices=choices("components"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="see settings/settings.env")
    arguments = parser.parse_args()
    try:
        text = render(arguments.overlay, arguments.component, parse_settings("\n".join(arguments.set)))
    except ValueError as error:
        print(f"render: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
