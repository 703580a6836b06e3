"""A program beside the service: the documented client, logs that it can read, an orderly end."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import PATIENCE
from PIL import Image
from serving import ROOT, Service, png, serving, signature, upload

KEY = "a key for tests"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "store.sqlite", api_keys=KEY, log_format="json") as service:
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        yield service


def contract() -> list[Image.Image]:
    pages = [Image.new("L", (1240, 1754), 255) for _ in range(2)]
    pages[1].paste(signature(1, 5), (300, 1200))
    return pages


def test_the_documented_client_runs(service: Service, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    for n in range(3):
        signature(1, n).save(tmp_path / f"anna_{n + 1}.png")
    first, second = contract()
    first.save(tmp_path / "contract.tif", save_all=True, append_images=[second])

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "DEEPSIGN_URL": service.url, "DEEPSIGN_API_KEYS": KEY},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] in ("accepted", "rejected", "referred")
    assert service.client.get("/writers/anna").status_code == 404


def test_a_box_on_a_page_is_judged_and_a_wrong_one_refused(service: Service) -> None:
    files = [*upload("references", signature(1)), *upload("questioned", contract()[1])]
    answer = service.client.post("/verify", params={"box": "280,1180,620,1340"}, files=files)
    assert answer.status_code == 200, answer.text
    assert "box 280,1180,620,1340, as given" in str(answer.json()["warnings"])

    for asked in ({"box": "0,0,9999,10"}, {"box": "a,b,c,d"}, {"page": 3}, {"page": 0}):
        answer = service.client.post("/verify", params=asked, files=files)
        assert answer.status_code == 422, asked


def test_the_log_is_json_a_line(service: Service) -> None:
    service.client.get("/version")
    lines = [json.loads(line) for line in service.log().splitlines()]
    assert {"time", "level", "message"} <= set(lines[0])
    (asked,) = [line for line in lines if line.get("route") == "/version"]
    assert (asked["method"], asked["status"], asked["level"]) == ("GET", 200, "info")
    assert asked["milliseconds"] > 0


def test_what_is_in_work_is_answered_before_the_end(service: Service) -> None:
    files = upload("references", *[png(signature(1, n)) for n in range(8)])
    files += upload("questioned", signature(1, 9))
    with ThreadPoolExecutor() as clients:
        seen = False
        while not seen:  # one may be answered before it is seen in work
            asked = clients.submit(service.client.post, "/verify?explain=true", files=files)
            while not seen and not asked.done():
                in_work = "deepsign_requests_in_work 1.0"
                seen = in_work in service.client.get("/metrics").text
        service.process.terminate()
        assert asked.result().status_code == 200
    assert service.process.wait(PATIENCE) == -signal.SIGTERM  # 143 in a shell
