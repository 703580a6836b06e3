"""The page, driven in a headless Chromium over its DevTools protocol."""

import base64
import io
import itertools
import json
import math
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import websocket
from conftest import PATIENCE
from PIL import Image
from serving import Service, letter, serving, signature

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class Browser:
    """One page of a headless Chromium, in a profile of its own."""

    def __init__(self, program: str, profile: Path) -> None:
        options = [
            "--headless=new",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
        ]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium has none for root
        self.process = subprocess.Popen(
            [program, *options, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = profile / "DevToolsActivePort"
        self._wait(lambda: port_file.is_file() and "\n" in port_file.read_text())
        port = port_file.read_text().splitlines()[0]

        def pages() -> list[dict]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                return [target for target in json.load(answer) if target["type"] == "page"]

        self._wait(pages)
        address = pages()[0]["webSocketDebuggerUrl"]
        self._socket = websocket.create_connection(address, suppress_origin=True, timeout=PATIENCE)
        self._ids = itertools.count(1)
        self.events: list[dict] = []
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    @staticmethod
    def _wait(condition: Any, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the browser does not answer"
            time.sleep(0.1)

    def call(self, method: str, **parameters: Any) -> dict:
        """Call a method of the protocol."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        self._wait(lambda: self.js(expression))

    def open(self, url: str, width: int = 1280, dark: bool = False) -> None:
        """Open a page in a window so wide, and wait until its script has run."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.until("document.querySelector('#model')?.textContent.startsWith('model')")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in a file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def close(self) -> None:
        self._socket.close()
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser at hand (looked for {', '.join(_BROWSERS)})")
    running = Browser(program, tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("page") / "enrolments.sqlite") as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three references, a genuine signature, a forged one, and no image."""
    folder = tmp_path_factory.mktemp("images")
    for specimen in range(4):
        signature(1, specimen).save(folder / f"{specimen}.png")
    signature(2, 0).save(folder / "4.png")
    (folder / "5.png").write_text("no image")
    return [folder / f"{number}.png" for number in range(6)]


def compare(browser: Browser, references: list[Path], questioned: Path) -> None:
    browser.choose("#references input", *references)
    browser.choose("#questioned input", questioned)
    browser.until(f"document.querySelectorAll('.images li').length == {len(references) + 1}")
    browser.js("document.querySelector('#compare').click()")
    browser.until(
        "!document.querySelector('#result').hidden || !document.querySelector('#problem').hidden"
    )


def text(browser: Browser, selector: str) -> str:
    return browser.js(f"document.querySelector({selector!r}).innerText").strip()


@pytest.mark.parametrize(("questioned", "verdict"), [(3, "Accepted"), (4, "Rejected")])
def test_verdict_with_its_uncertainty(browser, service, files, questioned, verdict) -> None:
    browser.open(service.url)

    compare(browser, files[:3], files[questioned])

    assert text(browser, "#verdict") == verdict
    assert "as probable" in text(browser, "#evidence") or "balanced" in text(browser, "#evidence")
    assert "8 validation writers of 'drawn'" in text(browser, "#measured")
    assert browser.js("document.querySelectorAll('.tile').length") == 3
    assert browser.js("document.querySelectorAll('#cleaned img').length") == 3


def test_references_of_two_writers_are_for_a_person_to_decide(browser, service, files) -> None:
    browser.open(service.url)

    compare(browser, [files[0], files[4]], files[3])

    assert text(browser, "#verdict") == "For a person to decide"
    assert "look like two styles, or two writers'" in text(browser, "#evidence")
    assert "NaN" not in text(browser, "#result")
    _shows_no_score(browser)


def test_no_picture_speaks_for_a_copy(browser, service, files) -> None:
    browser.open(service.url)

    compare(browser, files[:3], files[1])

    assert text(browser, "#verdict") == "For a person to decide"
    assert "a copy of reference 2" in text(browser, "#evidence")
    _shows_no_score(browser)
    # nor of the answer before, and the next one shows its own
    browser.choose("#questioned input", files[3])
    browser.js("document.querySelector('#compare').click()")
    browser.until("document.querySelector('#verdict').innerText.trim() == 'Accepted'")
    assert text(browser, "#moved") == "What moved it"
    assert browser.js("document.querySelectorAll('#chart svg').length") == 1


def _shows_no_score(browser: Browser) -> None:
    shown = "[...document.querySelectorAll('.judged')].filter((part) => part.offsetParent).length"
    assert browser.js(shown) == 0
    assert text(browser, "#moved") == "The images, cleaned"
    browser.until("document.querySelector('#heat').hasAttribute('aria-label')")
    url = browser.js("document.querySelector('#heat').toDataURL()")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))
    assert np.ptp(pixels.astype(int), axis=2).max() < 30  # gray
    browser.js("document.querySelector('details').open = true")
    assert "Score" not in text(browser, "#figures")


def test_a_name_from_the_right_stands_by_itself(browser, service, files, tmp_path) -> None:
    named = tmp_path / "محمد 1.png"
    named.write_bytes(files[0].read_bytes())
    browser.open(service.url)

    browser.choose("#references input", named)

    direction = "getComputedStyle(document.querySelector('#references .name')).direction"
    assert browser.js(direction) == "rtl"
    browser.js("document.querySelector('#references .images button').click()")
    assert text(browser, "#status") == "\u2068محمد 1.png\u2069 removed."


def test_chart_puts_the_score_on_its_side_of_the_threshold(browser, service, files) -> None:
    places = []
    for questioned in (files[3], files[4]):
        browser.open(service.url)
        compare(browser, files[:3], questioned)
        x = "+document.querySelector('#chart .{}').getAttribute('x1')"
        places.append(browser.js(f"{x.format('score')} - {x.format('threshold')}"))
    assert places[0] > 0 > places[1]


def test_heat_map_colours_the_ink(browser, service, files) -> None:
    browser.open(service.url)
    compare(browser, files[:3], files[4])
    browser.until("document.querySelector('#heat').hasAttribute('aria-label')")

    url = browser.js("document.querySelector('#heat').toDataURL()")

    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))
    ink = pixels[pixels.min(axis=2) < 150].astype(int)
    assert len(ink) > 500
    assert np.ptp(ink, axis=1).max() > 80  # coloured, not gray
    assert "Strongest" in browser.js("document.querySelector('#heat').getAttribute('aria-label')")


def test_a_drawn_signature_is_compared(browser, service, files) -> None:
    browser.open(service.url)
    browser.choose("#references input", files[0])
    browser.js("document.querySelector('#questioned .draw').click()")
    box = browser.js(
        "(b => [b.left, b.top, b.width, b.height])"
        "(document.querySelector('#pad canvas').getBoundingClientRect())"
    )
    for i in range(30):
        browser.call(
            "Input.dispatchMouseEvent",
            type="mousePressed" if i == 0 else "mouseMoved",
            x=box[0] + box[2] * (0.1 + 0.8 * i / 29),
            y=box[1] + box[3] * (0.5 + 0.3 * math.sin(i / 2)),
            button="left",
            buttons=1,
        )
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=1, y=1, button="left")
    browser.js("document.querySelector('#use').click()")
    browser.until("document.querySelectorAll('#questioned .images li').length == 1")

    browser.js("document.querySelector('#compare').click()")
    browser.until("!document.querySelector('#result').hidden")

    assert text(browser, "#verdict") in ("Accepted", "Rejected")


def test_a_refusal_is_said_where_it_is_heard(browser, service, files) -> None:
    browser.open(service.url)
    browser.js("document.querySelector('#compare').click()")
    assert "reference" in text(browser, "#problem")

    compare(browser, files[:1], files[5])
    browser.until("document.querySelector('#problem').textContent.includes('not a readable')")

    assert browser.js("document.querySelector('#problem').getAttribute('role')") == "alert"
    assert browser.js("document.querySelector('#result').hidden")

    browser.open(service.url)
    compare(browser, [files[5], files[0], files[5]], files[1])
    browser.until("document.querySelector('#problem').innerText.includes('\\n')")
    assert [line[:11] for line in text(browser, "#problem").split("\n")] == [
        "Reference 1",
        "Reference 3",
    ]


def test_of_several_signatures_on_a_page_one_is_chosen(browser, service, files, tmp_path) -> None:
    page = letter()
    page.save(tmp_path / "two.pdf", resolution=150, save_all=True, append_images=[page])
    browser.open(service.url, 390)

    compare(browser, files[:3], tmp_path / "two.pdf")
    assert "choose the one to judge" in text(browser, "#problem")
    assert "box" not in text(browser, "#problem")
    assert (
        browser.js("[...document.querySelectorAll('#which img')].map(i => i.width > 0)")
        == [True] * 2
    )
    assert browser.js("document.documentElement.scrollWidth") <= 390
    browser.js("document.querySelectorAll('#which button')[1].click()")
    browser.until("!document.querySelector('#result').hidden")

    assert browser.js("document.querySelector('#which').hidden")
    assert "page 2, box" in text(browser, "#warnings")


def test_of_a_page_without_a_signature_it_is_said(browser, service, files, tmp_path) -> None:
    Image.new("RGB", (1240, 1754), "white").save(tmp_path / "empty.pdf", resolution=150)
    browser.open(service.url)

    compare(browser, files[:3], tmp_path / "empty.pdf")

    assert "give an image of the signature alone" in text(browser, "#problem")
    assert "parameter" not in text(browser, "#problem")
    assert browser.js("document.querySelector('#which').hidden")


def test_a_key_is_asked_for_where_the_service_wants_one(browser, files, tmp_path: Path) -> None:
    with serving(tmp_path / "enrolments.sqlite", api_keys="secret") as keyed:
        browser.call("Page.navigate", url=keyed.url)
        browser.until("document.querySelector('#model')?.textContent == 'ready'")
        compare(browser, files[:1], files[3])
        assert browser.js("document.activeElement.id") == "key"
        browser.js("document.querySelector('#key').value = 'secret'")
        browser.js("document.querySelector('#compare').click()")
        browser.until("!document.querySelector('#result').hidden")


def test_everything_is_reached_by_keyboard_and_has_a_name(browser, service, files) -> None:
    browser.open(service.url)
    browser.choose("#references input", files[0])
    browser.choose("#questioned input", files[3])
    browser.until("document.querySelectorAll('.images li').length == 2")
    reached = []
    for _ in range(12):
        browser.press("Tab", 9)
        reached.append(
            browser.js("document.activeElement.id || document.activeElement.className || 'input'")
        )
    expected = ["skip", "brand", "input", "plain draw", "remove", "input", "plain draw", "remove"]
    assert reached[:10] == [*expected, "threshold", "compare"]

    browser.js("document.querySelector('#compare').focus()")
    browser.press("Enter", 13, "\r")
    browser.until("document.activeElement.id == 'verdict'")

    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = [
        node
        for node in nodes
        if node.get("role", {}).get("value") in ("button", "link", "combobox", "img", "image")
        and not node.get("ignored")
    ]
    assert len(controls) >= 10
    assert all(node["name"]["value"] for node in controls)


@pytest.mark.parametrize("width", [320, 390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_and_can_be_read(browser, service, files, width: int, dark: bool) -> None:
    browser.open(service.url, width, dark)
    compare(browser, files[:3], files[3])

    assert browser.js("document.documentElement.scrollWidth") <= width
    for selector in ("body", ".note", "#evidence", ".draw", "#compare", ".name"):
        assert _contrast(browser, selector) >= 4.5, selector


def _contrast(browser: Browser, selector: str) -> float:
    """Contrast of text and background, as WCAG 2 defines it."""
    colours = browser.js(
        """((element) => {
          const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
          const rgb = (colour) => {
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
            return [...pen.getImageData(0, 0, 1, 1).data];
          };
          const ink = rgb(getComputedStyle(element).color);
          while (/, 0\\)$|transparent/.test(getComputedStyle(element).backgroundColor))
            element = element.parentElement;
          return [ink, rgb(getComputedStyle(element).backgroundColor)];
        })(document.querySelector(SELECTOR))""".replace("SELECTOR", json.dumps(selector))
    )

    def luminance(colour: list[int]) -> float:
        c = np.array(colour[:3]) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted(map(luminance, colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_nothing_is_asked_of_another_host_and_nothing_fails(browser, service, files) -> None:
    browser.open(service.url)
    compare(browser, files[:3], files[3])

    asked = {
        event["params"]["request"]["url"].split("/")[2]
        for event in browser.events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"]["request"]["url"].startswith("http")
    }
    assert asked == {f"127.0.0.1:{service.port}"}
    wrong = ("Runtime.exceptionThrown", "Log.entryAdded")
    assert [event for event in browser.events if event["method"] in wrong] == []
    headers = service.client.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
