"""Run one k6 scenario against a URL: ``python -m load.run smoke`` (make load SCENARIO=smoke URL=...).

Settings of the scenario are environment variables (see load/lib/settings.js); k6 draws its progress display while it
runs, and the result lands in results/load/ as JSON and as an HTML page.
"""

import argparse
import datetime as dt
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from load.machine import k6_binary, machine_facts, model_facts, tls

LOAD = Path(__file__).parent
SCENARIOS = sorted(path.stem for path in (LOAD / "scenarios").glob("*.js"))
DEFAULT_URL = "http://127.0.0.1:8080"
RESULTS = Path("results") / "load"


def target_headers(settings: dict[str, str]) -> dict[str, str]:
    """Give the headers that reach the target: Host, API key and JWT where set."""
    headers = {}
    if settings.get("HOST"):
        headers["Host"] = settings["HOST"]
    if settings.get("API_KEY"):
        headers[settings.get("API_KEY_HEADER") or "x-api-key"] = settings["API_KEY"]
    if settings.get("JWT"):
        headers["Authorization"] = f"Bearer {settings['JWT']}"
    return headers


def answers(url: str, headers: dict[str, str], *, context: ssl.SSLContext | None = None) -> str:
    """Say what is wrong with the target; empty if /health answers at all."""
    try:
        # The caller names the URL: it is the service under load.
        request = urllib.request.Request(f"{url}/health", headers=headers)
        with urllib.request.urlopen(request, timeout=60, context=context):
            return ""
    except urllib.error.HTTPError as answer:
        answer.close()
        return ""
    except (OSError, ValueError) as reason:
        return f"nothing answers at {url} ({reason}): start the stack with `make run`, or give URL=..."


def command(scenario: str, *, prometheus: str, quiet: bool) -> list[str]:
    """Give k6's command line for a scenario."""
    line = [k6_binary(), "run", "--address=", "--no-usage-report"]
    if quiet:
        line.append("--quiet")
    if prometheus:
        line += ["--out", "experimental-prometheus-rw"]
    return [*line, str(LOAD / "scenarios" / f"{scenario}.js")]


def environment(*, url: str, out: Path, prometheus: str, dashboard: bool) -> dict[str, str]:
    """Give k6's environment: the caller's settings, where results go, and the outputs asked for."""
    facts = {**machine_facts(), **model_facts(url, target_headers(dict(os.environ)), context=tls(os.environ))}
    env = {**os.environ, "URL": url, "OUT": str(out.resolve()), "MACHINE": json.dumps(facts)}
    if prometheus:
        env["K6_PROMETHEUS_RW_SERVER_URL"] = prometheus
        env["K6_PROMETHEUS_RW_TREND_STATS"] = "p(50),p(95),p(99),max"
    if dashboard:
        env |= {
            "K6_WEB_DASHBOARD": "true",
            "K6_WEB_DASHBOARD_PORT": "-1",
            "K6_WEB_DASHBOARD_EXPORT": f"{out.resolve()}-k6.html",
        }
    return env


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m load.run", description=__doc__.splitlines()[0])
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--url", default=os.environ.get("URL") or DEFAULT_URL, help="service under load")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the result files")
    parser.add_argument(
        "--prometheus", default=os.environ.get("PROMETHEUS_RW", ""), metavar="URL", help="remote-write endpoint"
    )
    parser.add_argument("--dashboard", action="store_true", help="also write k6's own HTML dashboard")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser.parse_args()


def main() -> int:
    """Run the scenario; give k6's exit status: 0 passed, 99 a threshold broke."""
    options = arguments()
    url = options.url.rstrip("/")
    trouble = answers(url, target_headers(dict(os.environ)), context=tls(os.environ))
    if trouble:
        print(trouble, file=sys.stderr)
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    stamp = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%dT%H%M%S")
    out = options.results / f"{stamp}-{options.scenario}"
    finished = subprocess.run(
        command(options.scenario, prometheus=options.prometheus, quiet=options.quiet),
        env=environment(url=url, out=out, prometheus=options.prometheus, dashboard=options.dashboard),
        check=False,
    )
    print(f"\nresult: {out}.json\npage:   {out}.html")
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main())
