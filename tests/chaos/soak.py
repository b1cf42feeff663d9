"""Soak: the real stack under steady mixed load for a long time; memory, descriptors and threads with their slope.

``soak.py [SECONDS]``: thirty minutes when nothing is said. Writes results/soak/*.json; the status is 1 when anything
failed or a slope is beyond its bound.
"""
# ruff: noqa: T201, E402  # a script: it prints, and finds its modules first

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests"), str(REPO)]
from chaos.open_load import OpenLoad, warm
from chaos.stack import resources, stack
from support.redis_server import RedisServer, redis_server

RATE = 40.0
EVERY_S = 10.0
REDIS_BYTES = 32 << 20
# Growth an hour that is still called flat; the second half of the run is measured, when caches and pools are full.
BOUNDS = {"resident_bytes": 24 << 20, "descriptors": 20.0, "threads": 1.0, "used_bytes": 8 << 20}


def slope_per_hour(points: list[tuple[float, float]]) -> float:
    """Fit a line through (seconds, value) and give its rise in an hour."""
    mean_s = sum(at_s for at_s, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in points)
    return 3600 * sum((at_s - mean_s) * (value - mean) for at_s, value in points) / spread if spread else 0.0


async def soak(seconds: float, folder: Path, redis: RedisServer) -> tuple[dict[str, object], bool]:
    """Run and measure; give the report and whether it is good."""
    series: dict[str, list[tuple[float, float]]] = {}
    async with stack(folder, redis, version=None, TRANSFORMER_L1_ENTRIES="1000") as rig:
        assert rig.predictor.process is not None
        processes = {"transformer": rig.process.process, "predictor": rig.predictor.process.process}
        await warm(rig.url)
        started_s = time.monotonic()
        asked = wrong = 0
        failed: Counter[str] = Counter()
        async with OpenLoad(url=rig.url, rate=RATE, check=lambda *_: True) as load:
            with redis.client() as link:
                while (at_s := time.monotonic() - started_s) < seconds:
                    await asyncio.sleep(EVERY_S)
                    for name, process in processes.items():
                        for what, value in resources(process).items():
                            series.setdefault(f"{name} {what}", []).append((at_s, value))
                    series.setdefault("redis used_bytes", []).append((at_s, link.info("memory")["used_memory"]))
                    done, load.samples = load.samples, []
                    asked += len(done)
                    wrong += sum(sample.wrong for sample in done)
                    lost = [sample for sample in done if sample.status != 200]
                    failed.update(sample.trouble or str(sample.status) for sample in lost)
    rows = []
    good = not wrong and not failed
    for name, points in series.items():
        half = points[len(points) // 2 :]
        slope = slope_per_hour(half)
        bound = BOUNDS[name.split()[1]]
        flat = slope <= bound
        good = good and flat
        rows.append(
            {"what": name, "first": points[0][1], "last": points[-1][1], "most": max(v for _, v in points),
             "slope an hour": round(slope, 2), "bound an hour": bound, "flat": flat}
        )  # fmt: skip
    return {
        "seconds": seconds,
        "rate": RATE,
        "requests": asked,
        "wrong": wrong,
        "failed": dict(failed),
        "rows": rows,
    }, good


def main() -> int:
    """Run, print the table, keep the numbers."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1800.0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(Path(folder), "--maxmemory", str(REDIS_BYTES), "--maxmemory-policy", "allkeys-lfu") as redis,
    ):
        report, good = asyncio.run(soak(seconds, Path(folder), redis))
    rows = report["rows"]
    assert isinstance(rows, list)
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    print({key: value for key, value in report.items() if key != "rows"})
    out = REPO / "results" / "soak"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(report, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
