"""A predictor double as a process of its own, to be killed and replaced: ``double_process.py PORT VERSION``."""

import asyncio
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.predictor_double import PredictorDouble


async def main(port: int, version: str) -> None:
    double = PredictorDouble(versions=(version,))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await double.start(port)
    await ended.wait()
    await double.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
