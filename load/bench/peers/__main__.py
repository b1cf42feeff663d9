"""This service beside the usual alternatives: ``python -m load.bench.peers`` (make bench-peers)."""

import argparse
import json
import signal
import sys
from importlib.metadata import version
from pathlib import Path

from load.bench.peers.contestants import NAMES, OURS, OURS_INT8, PeerError
from load.bench.peers.environments import NAMES as ENVIRONMENTS
from load.bench.peers.environments import ROOT, python_of, version_of
from load.bench.peers.measure import PLAIN, measure
from load.bench.peers.report import page, plot
from load.machine import machine_facts

SENTENCES = ROOT / "load" / "data" / "sst2_sentences.json"
COMPARED_TEXTS = 8


def contestants() -> dict[str, dict[str, str]]:
    """Say what each contestant is, with versions."""
    stack = f"transformers {version('transformers')}, torch {version('torch')}"
    ours = f"OpenVINO {version('openvino')}"
    cached = "texts cached in the process and in Redis"
    return {
        OURS: {"version": ours, "what": f"the native precision of this CPU; {cached}"},
        OURS_INT8: {"version": ours, "what": f"post-training int8; {cached}"},
        PLAIN: {
            "version": f"FastAPI {version_of('fastapi', 'fastapi')}, {stack}",
            "what": "f32; pipeline in worker threads, whole requests cached in Redis by fastapi-cache2",
        },
        "KServe SDK + pipeline": {
            "version": f"KServe SDK {version_of('kserve', 'kserve')}, {stack}",
            "what": "f32; custom predictor, pipeline in `predict`",
        },
        "LitServe + pipeline": {
            "version": f"LitServe {version_of('litserve', 'litserve')}, {stack}",
            "what": "f32; 32 requests or 5 ms to a batch",
        },
    }


def main() -> int:
    """Make the environments, measure, write page, plot and figures; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.peers", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint that all serve")
    parser.add_argument("--int8", type=Path, required=True, help="the same checkpoint, quantised")
    parser.add_argument("--out", type=Path, default=ROOT / "load" / "reports" / "peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    # A signal that ends this must also end the contestants, which have their own sessions.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name in ENVIRONMENTS:
        python_of(name)
    texts = json.loads(SENTENCES.read_text(encoding="utf-8"))["sentences"][:COMPARED_TEXTS]
    model, int8 = options.model.resolve(), options.int8.resolve()
    about = {"machine": machine_facts(), "rounds": options.rounds, "seconds": options.seconds}
    about["contestants"] = contestants()
    try:
        measured = measure(
            model=model, int8=int8, names=NAMES, rounds=options.rounds, seconds=options.seconds, texts=texts
        )
    except PeerError as error:
        print(f"bench-peers: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    kept = {**about, "measured": measured.plain()}
    (options.out / "peers.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (options.out / "peers.md").write_text(page(measured, about=about), encoding="utf-8")
    plot(measured, options.out / "peers.svg")
    print(f"written: {options.out}/peers.md, peers.svg, peers.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
