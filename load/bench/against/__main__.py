"""Is this tree as cheap as another? CPU time per request, hits and misses, both trees' own processes in turns.

Throughput says what a client sees; on a machine that others use as well it says more about them. CPU time is the
process's own, so each round asks one tree and then the other for a second each and the ratio is taken round by round;
who goes first changes. Every tree has a transformer and a predictor of its own, from the environment of this one.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import load.bench.measuring as m
from load.bench.against.contestant import KINDS, Contestant, Cost


def row(name: str, base: list[float], here: list[float]) -> dict[str, object]:
    """Give a row of the table: medians in microseconds, and how the pairs compare."""
    ratios = sorted(now / before for before, now in zip(base, here, strict=True))
    quarter = len(ratios) // 4
    return {
        "CPU of": name,
        "base us": round(m.median(base), 1),
        "here us": round(m.median(here), 1),
        "here / base": round(m.median(ratios), 3),
        "middle half of the rounds": f"{ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}",
    }


def main() -> None:
    """Run the rounds, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--base", type=Path, required=True, help="a checkout of the tree to compare with")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--seconds", type=int, default=1, help="of one load")
    options.add_argument("--connections", type=int, default=16)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    chosen = options.parse_args()
    trees = {"base": chosen.base.resolve(), "here": m.ROOT}
    costs: dict[str, dict[str, list[Cost]]] = {kind: {tree: [] for tree in trees} for kind in chosen.kinds}
    with contextlib.ExitStack() as running:
        contestants = {name: running.enter_context(Contestant(tree)) for name, tree in trees.items()}
        for n in range(chosen.rounds + 1):
            for kind in chosen.kinds:
                for name in list(trees)[:: 1 if n % 2 else -1]:
                    cost = contestants[name].load(kind, seconds=chosen.seconds, connections=chosen.connections)
                    if n:  # the first round warms up
                        costs[kind][name].append(cost)
    rows = []
    for kind, of in costs.items():
        base, here = of["base"], of["here"]
        rows.append(row(f"transformer, {kind}", [c.transformer_us for c in base], [c.transformer_us for c in here]))
        if kind == "miss":
            rows.append(row(f"predictor, {kind}", [c.predictor_us for c in base], [c.predictor_us for c in here]))
    failed = sum(cost.failed for of in costs.values() for tree in of.values() for cost in tree)
    print(
        f"\n{chosen.rounds} rounds of {chosen.seconds} s, {chosen.connections} connections, {failed} requests failed\n"
    )
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-against", rows)
    if failed:
        sys.exit("requests failed: the costs above are not those of answers")


if __name__ == "__main__":
    main()
