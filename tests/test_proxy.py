"""The service behind a real nginx, set up as docs/service.md says."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import PATIENCE
from serving import Service, png, serving, signature, upload

from deepsign_utils.verifying.service.settings import table

DOCUMENT = (Path(__file__).parent.parent / "docs" / "service.md").read_text(encoding="utf-8")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
OPENSSL = shutil.which("openssl")

needs_nginx = pytest.mark.skipif(
    not (NGINX and OPENSSL), reason="needs nginx and openssl: apt-get install nginx-light openssl"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("proxied") / "enrolments.sqlite") as running:
        yield running


@pytest.fixture(scope="module")
def proxied(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of nginx, which listens on a socket file and asks the service."""
    folder = tmp_path_factory.mktemp("nginx")
    server, below = re.findall(r"```nginx\n(.*?)```", DOCUMENT, re.DOTALL)
    end = server.rindex("}")
    server = server[:end] + below + server[end:]
    for written, here in (
        ("listen 443 ssl", f"listen unix:{folder}/nginx.sock ssl"),
        ("/etc/ssl/signatures", f"{folder}/signatures"),
        ("127.0.0.1:8000", f"127.0.0.1:{service.port}"),
    ):
        assert written in server
        server = server.replace(written, here)
    kept = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        # As who tests: its workers would else be somebody who may not write here.
        f"user {folder.owner()} {folder.group()};\n"
        f"daemon off; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; {kept}\n{server}\n}}\n"
    )
    subprocess.run(
        f"{OPENSSL} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=signatures.example.org "
        f"-keyout {folder}/signatures.key -out {folder}/signatures.pem".split(),
        check=True,
        capture_output=True,
    )
    command = [NGINX, "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", "stderr"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        transport = httpx.HTTPTransport(uds=f"{folder}/nginx.sock", verify=False)
        client = httpx.Client(
            base_url="https://signatures.example.org", transport=transport, timeout=PATIENCE
        )
        while process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                client.get("/health")
                break
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
        yield client
        client.close()
        process.terminate()


@needs_nginx
@pytest.mark.parametrize("path", ["/", "/signatures/"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://signatures.example.org", 200),
        ("https://SIGNATURES.example.org:443", 200),
        ("https://example.org", 403),
        ("https://[::1", 400),
    ],
)
def test_the_page_is_answered_and_other_sites_pages_are_not(
    proxied: httpx.Client, path: str, origin: str, status: int
) -> None:
    files = upload("references", signature(1)) + upload("questioned", signature(1, 7))
    answer = proxied.post(f"{path}verify", files=files, headers={"Origin": origin})
    assert answer.status_code == status


@needs_nginx
@pytest.mark.parametrize("path", ["/", "/signatures/"])
def test_all_that_the_page_loads_is_there(proxied: httpx.Client, path: str) -> None:
    page = proxied.get(path).text
    addresses = re.findall(r'(?:href|src)="([^"#]+)"', page)
    addresses += re.findall(r'fetch\(["`]([a-z]+)["`]', proxied.get(f"{path}static/page.js").text)
    assert len(addresses) >= 5
    for address in addresses:
        assert not address.startswith("/")
        assert proxied.get(path + address).status_code == 200, address


@needs_nginx
def test_a_large_upload_passes(proxied: httpx.Client) -> None:
    noise = np.random.default_rng(0).bytes(20_000_000)  # behind a PNG's end, where none is read
    files = upload("references", png(signature(1)) + noise)
    files += upload("questioned", signature(1, 7))
    assert proxied.post("/verify", files=files).status_code == 200


@needs_nginx
def test_redirections_stay_with_the_address_that_was_asked(proxied: httpx.Client) -> None:
    answer = proxied.get("/health/")
    assert answer.headers["location"] == "https://signatures.example.org/health"
    assert proxied.head("/health").status_code == 200


def test_every_setting_is_documented_as_it_is() -> None:
    assert table() in DOCUMENT
