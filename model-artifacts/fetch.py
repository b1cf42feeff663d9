"""Fetches a text classifier from a model hub into a directory that the predictor serves.

    python model-artifacts/fetch.py winegarj/distilbert-base-uncased-finetuned-sst2 --revision main

The revision is resolved to a commit; every file is verified against the hub's own digest; the directory appears
complete or not at all. An interrupted download goes on where it stopped when the command is repeated.
Exit status: 0 done, 2 wrong usage, and 3 to 9 as listed in checkpoint/errors.py; 130 interrupted.
"""

import argparse
import errno
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from checkpoint import convert, manifest
from checkpoint.errors import CheckpointError, CorruptedError, NoSpaceError, NotServableError
from checkpoint.hub import Hub, RemoteFile, Snapshot

# The predictor itself decides what it serves; these parts of it need nothing that has to be installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from predictor.checkpoint import layout
from predictor.checkpoint.config import read_config, read_json
from predictor.checkpoint.tokenizer_options import read_options
from predictor.errors import CheckpointError as PredictorRefuses

MODEL = "winegarj/distilbert-base-uncased-finetuned-sst2"
ENDPOINT = "https://huggingface.co"
ROOM_BYTES = 16 << 20


def choose(snapshot: Snapshot, repository: str) -> layout.Layout:
    """Choose what serving needs among the files of the repository, as the predictor would in a directory.

    Raises:
        NotServableError: something is missing, or is of a kind that is not served.
    """
    try:
        return layout.choose(snapshot.files, repository)
    except PredictorRefuses as refusal:
        raise NotServableError(f"{refusal}.") from None


def check_small_files(found: layout.Layout, directory: Path, repository: str) -> None:
    """Let the predictor read configuration and tokenizer options, before the weights come.

    Raises:
        NotServableError: it refuses them.
    """
    try:
        config = read_config(read_json(directory / layout.CONFIG), f"the config.json of {repository}")
        read_options([directory / name for name in found.tokenizer], config)
    except PredictorRefuses as refusal:
        raise NotServableError(f"{refusal}.".replace(f"{directory}/", "")) from None


def weight_names(found: layout.Layout, directory: Path, repository: str) -> tuple[str, ...]:
    """Give the files that hold the weights; an index of shards is there already.

    Raises:
        NotServableError: the index names none.
    """
    if not found.index:
        return found.weights
    try:
        return layout.shards(read_json(directory / layout.INDEX), f"the {layout.INDEX} of {repository}")
    except PredictorRefuses as refusal:
        raise NotServableError(f"{refusal}.") from None


def check_room(files: list[RemoteFile], directory: Path) -> None:
    """Refuse to start without enough room for the missing files and a second copy of weights to convert.

    Raises:
        NoSpaceError: the disk lacks room.
    """
    need = ROOM_BYTES
    for file in files:
        there = directory / file.name
        need += (file.size_bytes or 0) * (2 if file.name == layout.PICKLED_WEIGHTS else 1)
        need -= there.stat().st_size if there.exists() else 0
    free = shutil.disk_usage(directory).free
    if need > free:
        raise NoSpaceError(f"{need >> 20} MiB are needed in {directory}, {free >> 20} MiB are free.")


def collect(hub: Hub, repository: str, snapshot: Snapshot, directory: Path) -> dict[str, Any]:
    """Download the files into directory, small ones first, and convert what is old.

    Returns:
        What the conversions replaced: {file: {"sha256", "bytes"}}.
    """
    found = choose(snapshot, repository)

    def download(names: tuple[str, ...]) -> None:
        missing = [name for name in names if name not in snapshot.files]
        if missing:
            raise NotServableError(f"{repository} cannot be served: {missing[0]} is missing.")
        files = [snapshot.files[name] for name in names]
        check_room(files, directory)
        for file in files:
            hub.download(repository, snapshot.commit, file, directory / file.name)

    small = (layout.CONFIG, *found.tokenizer)
    download((*small, layout.INDEX) if found.index else small)
    check_small_files(found, directory, repository)
    download(weight_names(found, directory, repository))
    if not found.pickled:
        return {}
    pickled = directory / layout.PICKLED_WEIGHTS
    convert.weights_to_safetensors(pickled, directory / layout.WEIGHTS)
    replaced = {pickled.name: manifest.digest(pickled)}
    pickled.unlink()
    return replaced


def put_in_place(directory: Path, target: Path) -> None:
    """Give a complete directory its name; what had the name before, and unfinished others, are gone only then."""
    previous = target.with_name(target.name + ".previous")
    shutil.rmtree(previous, ignore_errors=True)
    if target.exists():
        target.rename(previous)
    directory.rename(target)
    for leftover in (previous, *target.parent.glob(f"{target.name}.partial-*")):
        shutil.rmtree(leftover, ignore_errors=True)


def already_there(target: Path, repository: str, commit: str) -> bool:
    """Whether target holds this commit, untouched."""
    try:
        found = manifest.read(target / manifest.MANIFEST_NAME)
    except CorruptedError:
        return False
    return (found.get("source"), found.get("commit")) == (repository, commit) and not manifest.differences(
        found, target
    )


def fetch(hub: Hub, repository: str, revision: str, target: Path) -> None:
    """Make target a directory that holds the revision of the repository, and nothing else."""
    snapshot = hub.snapshot(repository, revision)
    if already_there(target, repository, snapshot.commit):
        print(f"{target} holds {repository} at {snapshot.commit} already.")
        return
    partial = target.with_name(f"{target.name}.partial-{snapshot.commit[:12]}")
    partial.mkdir(parents=True, exist_ok=True)
    replaced = collect(hub, repository, snapshot, partial)
    names = [path.name for path in partial.iterdir() if path.name != manifest.MANIFEST_NAME]
    origin: dict[str, Any] = {"source": repository, "revision": revision, "commit": snapshot.commit}
    if replaced:
        origin["converted"] = replaced
    manifest.write(partial / manifest.MANIFEST_NAME, partial, names, **origin)
    put_in_place(partial, target)
    print(f"{target} holds {repository} at {snapshot.commit}.")


def check(target: Path) -> None:
    """Compare a directory with the manifest in it or beside it.

    Raises:
        CorruptedError: something is missing or differs.
    """
    wrong = manifest.differences(manifest.of_directory(target), target)
    if wrong:
        raise CorruptedError(" ".join(wrong))
    print(f"{target} is as its manifest says.")


def show_progress(name: str, have_bytes: int, total_bytes: int | None) -> None:
    """Rewrite one line on a terminal; a log gets none of it."""
    if sys.stderr.isatty():
        total = f" of {total_bytes / 1e6:.1f}" if total_bytes else ""
        end = "\n" if have_bytes == total_bytes else ""
        print(f"\r{name}: {have_bytes / 1e6:.1f}{total} MB", end=end, file=sys.stderr, flush=True)


def repository_name(value: str) -> str:
    """Check a repository's name as argparse wants it."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*|[A-Za-z0-9][\w.-]*", value) or ".." in value:
        raise argparse.ArgumentTypeError(f"{value!r} is no model name of the form owner/name")
    return value


def endpoint_address(value: str) -> str:
    """Check a hub's address as argparse wants it."""
    if not value.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{value!r} is no http or https address")
    return value


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    line = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0] if __doc__ else None,
        epilog="HF_ENDPOINT and HF_TOKEN are read from the environment.",
    )
    line.add_argument("model", nargs="?", type=repository_name, default=MODEL, help="owner/name (default: %(default)s)")
    line.add_argument("--revision", default="main", help="branch, tag or commit (default: %(default)s)")
    line.add_argument("--out", type=Path, help="target directory (default: beside this script, by the model's name)")
    line.add_argument("--endpoint", type=endpoint_address, default=os.environ.get("HF_ENDPOINT") or ENDPOINT)
    line.add_argument("--timeout-s", type=float, default=30.0, help="longest silence of the network")
    line.add_argument("--attempts", type=int, default=5, help="tries per file")
    line.add_argument("--check", action="store_true", help="only compare the target with its manifest, without network")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = parser().parse_args(arguments)
    target = (given.out or Path(__file__).parent / given.model.rpartition("/")[2]).absolute()
    hub = Hub(
        endpoint=given.endpoint.rstrip("/"),
        token=os.environ.get("HF_TOKEN"),
        timeout_s=given.timeout_s,
        attempts=given.attempts,
        progress=show_progress,
    )
    try:
        check(target) if given.check else fetch(hub, given.model, given.revision, target)
    except CheckpointError as error:
        print(f"fetch: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        print(f"fetch: {'no room on the disk: ' if full else ''}{error}", file=sys.stderr)
        return NoSpaceError.exit_status if full else CheckpointError.exit_status
    except KeyboardInterrupt:
        print("fetch: interrupted; repeat the command to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
