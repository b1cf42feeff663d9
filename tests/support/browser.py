"""A real headless Chromium for tests."""

import contextlib
import shutil
from collections.abc import AsyncIterator

from playwright.async_api import Browser, async_playwright
from support.programs import require

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Find Chromium, which has to be there."""
    return next(filter(None, map(shutil.which, _NAMES)), None) or require(_NAMES[0], package="chromium")


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run a browser until the block ends; it can reach loopback only."""
    path = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        try:
            yield running
        finally:
            await running.close()
