"""How fast does the transformer start, and how large is it? From exec to the first 200, then resident memory."""

import argparse
import time

import measuring as m

COMMAND = ["-m", "transformer", "--model_name=sentiment", "--workers=1", "--predictor_host=127.0.0.1:9"]


def main() -> None:
    """Start it a few times, with and without gRPC; print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    rows = []
    for name, grpc in (("REST", ["--enable_grpc=false"]), ("REST and gRPC", None)):
        start_s, resident = [], []
        for _ in range(chosen.rounds):
            port = m.free_port()
            more = grpc if grpc is not None else [f"--grpc_port={m.free_port()}"]
            began = time.perf_counter()
            ready = f"http://127.0.0.1:{port}/v2/health/ready"
            with m.process(m.python(*COMMAND, f"--http_port={port}", *more), ready=ready) as running:
                start_s.append(time.perf_counter() - began)
                resident.append(m.resident_mb(running.pid))
        rows.append(
            {"server": name, "exec_to_ready_s": round(m.median(start_s), 2), "resident_mb": round(m.median(resident))}
        )
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-transformer-start", rows)


if __name__ == "__main__":
    main()
