"""The pages for people, in a real browser against the real process."""

import asyncio
import csv
import json
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect
from support.browser import browser as chromium_browser
from support.predictor_double import PredictorDouble, prediction
from support.processes import Server
from support.transformer_process import Client, transformer

from local.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULE = {"scope": "module", "loop_scope": "module"}
PHONE = {"width": 360, "height": 740}
VERSION = "abc123"


@pytest_asyncio.fixture(**MODULE)
async def process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    double = PredictorDouble(versions=(VERSION,))
    double.truncates = {"a long one"}
    await double.start()
    folder: Path = tmp_path_factory.mktemp("pages")
    async with transformer(folder, predictor_host=double.host, TRANSFORMER_PLAYGROUND="true") as running:
        yield running
    await double.stop()


@pytest_asyncio.fixture(**MODULE)
async def chromium() -> AsyncIterator[Browser]:
    async with chromium_browser() as running:
        yield running


class Watched:
    """A page and what went wrong on it: console errors, failed and foreign requests."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("requestfailed", lambda request: self.wrong.append(request.url))
        page.on("request", lambda request: self._foreign(request.url, origin))

    def _foreign(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "data:")):
            self.wrong.append(url)


@pytest_asyncio.fixture(loop_scope="module")
async def playground(chromium: Browser, process: Server) -> AsyncIterator[Watched]:
    context = await chromium.new_context(viewport=PHONE)
    watched = Watched(await context.new_page(), process.url)
    await watched.page.goto(process.url + "/playground")
    yield watched
    await context.close()


async def test_keyboard_alone_classifies_and_a_repeat_is_a_hit(playground: Watched) -> None:
    page = playground.page
    await page.get_by_role("link", name="Metrics").focus()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Texts, one per line")).to_be_focused()
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("first\n\n  second  ")
    await expect(page.locator("#count")).to_have_text("2 texts")
    for outcome in ("miss", "hit"):
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#cache")).to_have_text(outcome)
    await expect(page.locator("#version")).to_have_text(VERSION)
    await expect(page.locator("#results > li")).to_have_count(2)
    await expect(page.locator("#results .text").nth(1)).to_have_text("second")
    await expect(page.locator("#rows tr")).to_have_count(2)
    assert "Cache: hit." in await page.locator("#said").inner_text()
    assert playground.wrong == []


async def test_first_view_says_which_model_answers_and_how_little_it_knows(playground: Watched) -> None:
    page = playground.page
    await expect(page.locator("#version")).to_have_text(VERSION)
    for part in ("#facts", "#limits"):
        box = await page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["height"]
    await expect(page.locator("#limits")).to_contain_text("82 % of English film reviews")
    await expect(page.locator("#state")).to_be_hidden()


async def test_request_is_copied_as_code_that_runs(playground: Watched, process: Server) -> None:
    page = playground.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_label("Texts, one per line").fill('it\'s "fine"\nça va')
    for name, command in (("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])):
        await page.get_by_role("button", name=f"Copy as {name}").click()
        await expect(page.locator("#copied")).to_have_text("Copied.")
        code = await page.evaluate("navigator.clipboard.readText()")
        assert code == await page.locator("#snippet").inner_text()
        run = await asyncio.create_subprocess_exec(*command, code, stdout=PIPE, stderr=PIPE)
        said, trouble = await run.communicate()
        assert run.returncode == 0, trouble
        assert said.count(b"\n") == 2 or len(json.loads(said)["predictions"]) == 2


async def test_file_comes_back_as_csv_with_progress(playground: Watched, tmp_path: Path) -> None:
    page = playground.page
    texts = [f'text {n}, with "quotes"' for n in range(150)]
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("id", "text"), *enumerate(texts)])
    await page.locator("#file").set_input_files(tmp_path / "reviews.csv")
    await page.get_by_role("button", name="Classify file").click()
    await expect(page.locator("#file-said")).to_have_text("150 texts are classified.")
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Download the answers as CSV").click()
    download = await started.value
    assert download.suggested_filename == "reviews-sentiment.csv"
    heading, *rows_back = csv.reader((await download.path()).read_text().splitlines())
    assert heading == ["line", "label", "score", "text"]
    assert [row[3] for row in rows_back] == texts
    for row in (rows_back[0], rows_back[-1]):
        best = prediction(row[3], VERSION)[0]
        assert (row[1], float(row[2])) == (best["label"], pytest.approx(best["score"], abs=1e-6))


async def test_csv_without_the_column_is_refused_in_words(playground: Watched, tmp_path: Path) -> None:
    page = playground.page
    (tmp_path / "other.csv").write_text("id,body\n1,good\n")
    await page.locator("#file").set_input_files(tmp_path / "other.csv")
    await page.get_by_role("button", name="Classify file").click()
    await expect(page.locator("#file-said")).to_have_text("The CSV has no column “text” in its first line.")


async def test_page_says_what_is_away(chromium: Browser, tmp_path: Path) -> None:
    double = PredictorDouble(versions=(VERSION,))
    await double.start()
    host = double.host
    await double.stop()
    nowhere = f"redis://127.0.0.1:{free_port()}"
    async with transformer(
        tmp_path, predictor_host=host, TRANSFORMER_PLAYGROUND="true", TRANSFORMER_REDIS_URL=nowhere
    ) as running:
        page = await chromium.new_page()
        await page.goto(running.url + "/playground")
        await expect(page.locator("#state")).to_contain_text("The predictor has not answered yet")
        await page.get_by_role("button", name="Classify", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("The predictor is down or overloaded.")
        await expect(page.locator("#state")).to_contain_text("Redis is down")
        await page.close()


async def test_score_bar_is_as_long_as_the_score(playground: Watched) -> None:
    page = playground.page
    await page.get_by_label("Texts, one per line").fill("how long is the bar")
    await page.get_by_role("button", name="Classify", exact=True).click()
    best = page.locator("#results .score.best")
    shown = float((await best.locator(".number").inner_text()).removesuffix(" %"))
    fill, track = await best.locator(".fill").bounding_box(), await best.locator(".track").bounding_box()
    assert fill is not None
    assert track is not None
    assert 100 * fill["width"] / track["width"] == pytest.approx(shown, abs=1)


@pytest.mark.parametrize(
    ("scores_are", "meaning", "number"),
    [
        ("softmax", None, r"^[\d.]+ %$"),
        ("sigmoid", "Each label has a probability of its own", r"^[\d.]+ %$"),
        ("raw", "they are no probabilities", r"^0\.\d{4,}$"),
    ],
)
async def test_page_says_what_the_scores_are(
    scores_are: str, meaning: str | None, number: str, chromium: Browser, tmp_path: Path
) -> None:
    double = PredictorDouble(versions=(VERSION,))
    double.scores_are = scores_are
    await double.start()
    async with transformer(tmp_path, predictor_host=double.host, TRANSFORMER_PLAYGROUND="true") as running:
        page = await chromium.new_page()
        await page.goto(running.url + "/playground")
        await page.get_by_role("button", name="Classify", exact=True).click()
        best = page.locator("#results .score.best").first
        await expect(best.locator(".number")).to_have_text(re.compile(number))
        assert await best.locator(".track").is_visible() == (scores_are != "raw")
        if meaning:
            await expect(page.locator("#meaning")).to_contain_text(meaning)
        else:
            await expect(page.locator("#meaning")).to_be_hidden()
        await page.close()
    await double.stop()


async def test_refusal_is_told_in_the_services_own_words(playground: Watched) -> None:
    page = playground.page
    await page.get_by_label("Texts, one per line").fill("\n".join(f"text {n}" for n in range(129)))
    await page.get_by_role("button", name="Classify", exact=True).click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("(422)")
    await expect(alert).to_contain_text("at most 128 items")
    await expect(page.locator("#answer")).to_be_hidden()


async def test_text_is_shown_as_text(playground: Watched) -> None:
    page = playground.page
    text = "<img src=x onerror=alert(1)> & <b>bold</b>"
    await page.get_by_label("Texts, one per line").fill(text)
    await page.get_by_role("button", name="Classify", exact=True).click()
    await expect(page.locator("#results .text")).to_have_text(text)
    assert await page.locator("#results img, #results b").count() == 0


async def test_cut_texts_are_told(playground: Watched) -> None:
    page = playground.page
    await page.get_by_label("Texts, one per line").fill("a long one")
    await page.get_by_role("button", name="Classify", exact=True).click()
    await expect(page.locator("#cut")).to_contain_text("too long for the model: 1")


async def test_nothing_is_wider_than_a_phone_and_axe_finds_nothing(playground: Watched) -> None:
    page = playground.page
    await page.get_by_label("Texts, one per line").fill("good\n" + "long" * 200)
    await page.get_by_role("button", name="Classify", exact=True).click()
    await expect(page.locator("#results > li")).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


async def test_browser_at_the_root_gets_the_playground_and_a_probe_does_not(process: Server, chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.goto(process.url + "/")
    assert await page.title() == "Sentiment playground"
    await page.close()
    client = Client(process.url)
    probe = await client.get("/")
    await client.session.close()
    assert probe.json() == {"status": "alive"}


async def test_swagger_shows_the_api_without_a_foreign_byte(process: Server, chromium: Browser) -> None:
    page = await chromium.new_page()
    watched = Watched(page, process.url)
    await page.goto(process.url + "/docs")
    await page.get_by_text("/predict", exact=True).click()
    await page.get_by_role("button", name="Try it out").click()
    await page.locator("textarea").fill('{"text": ["tried out"]}')
    await page.get_by_role("button", name="Execute").click()
    await expect(page.locator(".live-responses-table td.response-col_status").last).to_have_text("200")
    assert watched.wrong == []
    await page.close()


async def test_policy_lets_no_foreign_script_in(process: Server) -> None:
    client = Client(process.url)
    for path in ("/playground", "/docs"):
        page = await client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
    await client.session.close()


async def test_unchanged_page_is_not_sent_again(process: Server) -> None:
    client = Client(process.url)
    first = await client.get("/playground/page.css")
    async with client.session.get(
        process.url + "/playground/page.css", headers={"if-none-match": first.headers["etag"]}
    ) as again:
        assert again.status == 304
        assert await again.read() == b""
    head = await client.get("/playground", method="HEAD")
    refused = await client.post("/playground", b"{}")
    await client.session.close()
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_without_the_setting_there_is_no_playground(tmp_path: Path) -> None:
    double = PredictorDouble(versions=(VERSION,))
    await double.start()
    async with transformer(tmp_path, predictor_host=double.host) as running:
        client = Client(running.url)
        assert (await client.get("/playground")).status == 404
        assert (await client.get("/playground/page.js")).status == 404
        await client.session.close()
    await double.stop()
