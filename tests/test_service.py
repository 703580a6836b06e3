"""The service as its clients see it: a real process on a real port."""

import io
import json
import os
import random
import socket
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import schemathesis
from conftest import PATIENCE
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import Service, letter, model_folder, png, serving, signature, upload

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.runs.misfit import coarse
from deepsign_utils.verifying.service.batching import Batcher, OverloadedError
from deepsign_utils.verifying.service.server import listen, run
from deepsign_utils.verifying.service.store import ChangedMeanwhileError, OtherModelError, Store
from deepsign_utils.verifying.verifier import Verifier

KEY = "correct horse"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its default settings."""
    store = tmp_path_factory.mktemp("service") / "new" / "enrolments.sqlite"
    with serving(store) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with keys, a public address, small limits, and a writer of another model."""
    store = tmp_path_factory.mktemp("guarded") / "enrolments.sqlite"
    other = Store(store)
    other.add("of-another-model", "0" * 64, np.ones((1, 128), np.float32), None, 9)
    other.close()
    limits = {"max_requests": 2, "max_references": 4, "max_pixels": 1_000_000}
    limits |= {"max_image_bytes": 500_000, "max_request_bytes": 32_000_000}
    keys = json.dumps(["other", KEY, "clé, à", "密码"])
    public_url = "https://Public.Example:8443/signatures"
    with serving(store, api_keys=keys, public_url=public_url, **limits) as running:
        running.client.headers["Authorization"] = f"Bearer {KEY}"
        yield running


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load(model_folder())


def specimens(writer: int, count: int = 3) -> list[Image.Image]:
    return [signature(writer, specimen) for specimen in range(count)]


# -------------------------------------------------------------------------------------- verdicts


def test_verdict_is_the_verifiers(service: Service, verifier: Verifier) -> None:
    files = upload("references", *specimens(1)) + upload("questioned", signature(1, 7))

    answer = service.client.post("/verify", files=files, params={"threshold": "fmr=0.1"}).json()

    expected = verifier.compare(specimens(1), signature(1, 7), "fmr=0.1").to_dict()
    assert answer.pop("explanation") is None
    assert answer.pop("report") is None
    for name in ("score", "llr", "distances"):
        assert answer.pop(name) == pytest.approx(expected.pop(name), abs=1e-3)
    assert answer == expected


def test_explanation_shows_images_map_and_distributions(service: Service) -> None:
    files = upload("references", *specimens(1)) + upload("questioned", signature(2, 0))

    answer = service.client.post("/verify", files=files, params={"explain": True}).json()

    explanation = answer["explanation"]
    assert len(explanation["references"]) == 3
    assert explanation["questioned"].startswith("data:image/png;base64,")
    assert np.shape(explanation["occlusion"]) == (8, 16)
    assert np.abs(explanation["occlusion"]).max() > 0
    assert set(explanation["distributions"]) == {"score", "genuine", "skilled", "random"}


def test_service_tells_what_it_is(service: Service, verifier: Verifier) -> None:
    assert service.client.get("/health").json() == {"status": "ok"}
    assert service.client.get("/ready").json() == {"status": "ok"}
    version = service.client.get("/version").json()
    assert version["model"] == verifier.identity
    assert version["scoring"] == verifier.scoring_hash
    assert version["measured_references"] == [1, 3]
    assert version["thresholds"] == ["eer", "fmr=x", "fnmr=x", "fmr=x,fnmr=y"]
    least = version["least_rates"]
    for name in (*version["thresholds"][:1], *(f"{kind}={rate}" for kind, rate in least.items())):
        files = upload("references", signature(1)) + upload("questioned", signature(1, 7))
        asked = service.client.post("/verify", files=files, params={"threshold": name})
        assert asked.status_code == 200, asked.text


def test_faults_of_an_image_come_with_the_verdict(service: Service) -> None:
    cut = signature(1).crop((0, 0, 180, 120))
    files = upload("references", signature(1)) + upload("questioned", cut)
    warnings = service.client.post("/verify", files=files).json()["warnings"]
    assert {"the questioned signature"} == {warning["image"] for warning in warnings}


# ------------------------------------------------------------------------------------- enrolment


def test_writer_is_enrolled_judged_and_deleted(service: Service, verifier: Verifier) -> None:
    client = service.client
    added = client.post("/writers/anna/references", files=upload("references", *specimens(3)))
    more = client.post("/writers/anna/references", files=upload("references", signature(3, 5, 8)))
    judged = client.post("/writers/anna/verify", files=upload("questioned", signature(3, 8)))
    known = client.get("/writers/anna").json()

    assert (added.status_code, more.json()["added"]) == (201, 1)
    enrolled = verifier.enrol([*specimens(3), signature(3, 5, 8)])
    expected = verifier.compare(enrolled, signature(3, 8))
    assert judged.json()["score"] == pytest.approx(expected.score, abs=1e-5)
    assert len(known["references"]) == len(enrolled.embeddings) == 4
    assert known["usable"]
    assert not any(reference["has_image"] for reference in known["references"])

    assert client.delete("/writers/anna").status_code == 204
    for gone in (
        client.get("/writers/anna"),
        client.delete("/writers/anna"),
        client.post("/writers/anna/verify", files=upload("questioned", signature(3, 8))),
    ):
        assert gone.status_code == 404


def test_coarse_references_are_as_coarse_when_they_are_enrolled(service: Service) -> None:
    own, other = (synthetic.draw_writer(505, writer, 3, 0).genuine for writer in (5, 11))
    few = [Image.fromarray(coarse(image, 64)) for image in own]
    stranger = Image.fromarray(other[0])
    url = "/writers/coarse"
    service.client.post(f"{url}/references", files=upload("references", *few))

    kept = service.client.post(f"{url}/verify", files=upload("questioned", stranger)).json()
    both = [*upload("references", *few), *upload("questioned", stranger)]
    sent = service.client.post("/verify", files=both).json()

    for answer in (kept, sent):
        assert (answer["decision"], answer["llr"]) == ("referred", None)
        assert "too_coarse" in {warning["code"] for warning in answer["warnings"]}


def test_a_copy_names_the_reference_it_is_a_copy_of(service: Service) -> None:
    url = "/writers/copied"
    service.client.post("/writers/before/references", files=upload("references", signature(9)))
    first = service.client.post(f"{url}/references", files=upload("references", *specimens(3)))
    second = first.json()["references"][1]["id"]
    sent = upload("references", signature(3, 1), signature(3, 5, 8), signature(3, 5, 8))

    more = service.client.post(f"{url}/references", files=sent).json()
    judged = service.client.post(f"{url}/verify", files=upload("questioned", signature(3, 1)))

    told = {w["image"]: w["message"] for w in more["warnings"] if w["code"].startswith("copy")}
    assert f"a copy of enrolled reference {second}:" in told.pop("uploaded reference 1")
    assert "a copy of uploaded reference 2:" in told.pop("uploaded reference 3")
    assert told == {}
    assert judged.json()["copy_of"]["reference"] == f"enrolled reference {second}"


def test_images_are_kept_only_if_asked(service: Service) -> None:
    image = png(signature(4))
    url = "/writers/bela/references"
    service.client.post(url, files=upload("references", signature(4, 5)))
    answer = service.client.post(
        url, files=upload("references", image), params={"keep_images": True}
    )
    first, second = answer.json()["references"]

    kept = service.client.get(f"{url}/{second['id']}/image")

    assert (first["has_image"], second["has_image"]) == (False, True)
    assert kept.content == image
    assert kept.headers["content-type"] == "image/png"
    assert service.client.get(f"{url}/{first['id']}/image").status_code == 404
    assert service.client.get(f"/writers/anna/references/{second['id']}/image").status_code == 404


def test_an_enrolment_is_whole_or_not_there(service: Service) -> None:
    files = upload("references", signature(5), b"no image")
    assert service.client.post("/writers/carl/references", files=files).status_code == 415
    assert service.client.get("/writers/carl").status_code == 404


def test_what_is_deleted_is_overwritten_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "enrolments.sqlite"
    store, secret = Store(file), np.random.default_rng(0).normal(size=(5, 128)).astype("<f4")
    image = np.random.default_rng(1).bytes(50_000)
    store.add("anna", "m", secret, [image] * 5, 9)
    store.add("other", "m", secret[:1] + 1, None, 9)
    assert secret[2].tobytes() in file.read_bytes()

    store.delete("anna")

    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for trace in (secret[2].tobytes()[100:140], image[20_000:20_040], b"anna"):
        assert trace not in left
    assert len(store.references("other")) == 1


def test_store_is_readable_by_its_owner_only(service: Service, tmp_path: Path) -> None:
    Store(tmp_path / "new" / "enrolments.sqlite").close()
    assert (tmp_path / "new" / "enrolments.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"text" * 300, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_store_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "e.sqlite").write_bytes(content)
    with pytest.raises(DeepSignError, match=r"e\.sqlite"):
        Store(tmp_path / "e.sqlite")
    assert (tmp_path / "e.sqlite").read_bytes() == content


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "e.sqlite") as database:
        database.execute("CREATE TABLE theirs (x)")
    with pytest.raises(DeepSignError, match="another program"):
        Store(tmp_path / "e.sqlite")


def test_embeddings_of_two_models_never_mix(tmp_path: Path) -> None:
    store, embeddings = Store(tmp_path / "e.sqlite"), np.ones((1, 4), np.float32)
    store.add("anna", "old", embeddings, None, 9)
    with pytest.raises(OtherModelError):
        store.add("anna", "new", embeddings, None, 9)
    with pytest.raises(OtherModelError):
        store.enrolled("anna", "new")


def test_writer_of_another_model_is_refused_clearly(guarded: Service) -> None:
    url = "/writers/of-another-model"
    judged = guarded.client.post(f"{url}/verify", files=upload("questioned", signature(1)))
    added = guarded.client.post(f"{url}/references", files=upload("references", signature(1)))
    assert (judged.status_code, added.status_code) == (409, 409)
    assert "another model" in judged.json()["detail"]
    assert guarded.client.get(url).json()["usable"] is False


def test_nothing_is_added_beside_references_that_were_not_looked_at(tmp_path: Path) -> None:
    store, other = (Store(tmp_path / "enrolments.sqlite") for _ in range(2))
    one = np.eye(1, 4, dtype=np.float32)
    (first,) = store.add("anna", "m", one, None, 9, beside=[])
    # given that another service has enrolled since
    with pytest.raises(ChangedMeanwhileError):
        other.add("anna", "m", one, None, 9, beside=[])
    assert len(other.add("anna", "m", one, None, 9, beside=[first.id])) == 2
    for opened in (store, other):
        opened.close()


def test_an_image_that_is_sent_many_times_at_once_is_enrolled_once(service: Service) -> None:
    with ThreadPoolExecutor(8) as clients:
        for batch in range(4):
            url = f"{service.url}/writers/twin{batch}/references"
            answers = list(
                clients.map(
                    lambda _, url=url: httpx.post(
                        url, files=upload("references", specimens(1)[0]), timeout=PATIENCE
                    ).json(),
                    range(8),
                )
            )
            assert sorted(answer["added"] for answer in answers) == [0] * 7 + [1]
            assert {len(answer["references"]) for answer in answers} == {1}


def test_enrolled_survives_kill_under_load(tmp_path: Path) -> None:
    store = tmp_path / "enrolments.sqlite"
    acknowledged: list[str] = []
    with serving(store) as service:
        files = upload("references", *(png(image) for image in specimens(1)))

        def enrol(client_number: int) -> None:
            with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:
                for number in range(1000):
                    writer = f"w{client_number}-{number}"
                    try:
                        answer = client.post(f"/writers/{writer}/references", files=files)
                    except httpx.TransportError:
                        return
                    if answer.status_code == 201:
                        acknowledged.append(writer)

        with ThreadPoolExecutor(8) as clients:
            running = [clients.submit(enrol, number) for number in range(8)]
            deadline = time.monotonic() + PATIENCE
            while len(acknowledged) < 40 and time.monotonic() < deadline:
                time.sleep(0.01)
            service.kill()
            for one in running:
                one.result()
    assert len(acknowledged) >= 40

    reopened = Store(store)  # as a restarted service opens it
    for writer in acknowledged:
        assert len(reopened.references(writer)) == 3
    attempted = {f"w{c}-{n}" for c in range(8) for n in range(1000)}
    assert {len(reopened.references(writer)) for writer in attempted} == {0, 3}
    reopened.close()
    with serving(store) as service:
        url = f"/writers/{acknowledged[-1]}/verify"
        answer = service.client.post(url, files=upload("questioned", signature(1, 8)))
        assert answer.json()["references"] == 3


# ---------------------------------------------------------------------------- keys, limits, logs


def test_without_a_right_key_nothing_is_told(guarded: Service) -> None:
    for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
        with httpx.Client(base_url=guarded.url, headers=sent) as client:
            for method, path in (
                ("GET", "/version"),
                ("GET", "/metrics"),
                ("GET", "/writers/of-another-model"),
                ("DELETE", "/writers/of-another-model"),
                ("POST", "/verify"),
            ):
                assert client.request(method, path).status_code == 401
            assert client.get("/ready").status_code == 200
    assert guarded.client.get("/version").status_code == 200


def test_more_than_can_be_done_is_answered_503(guarded: Service) -> None:
    files = upload("references", *specimens(1)) + upload("questioned", signature(1, 7))

    def ask(_: int) -> httpx.Response:
        return guarded.client.post("/verify", files=files, params={"explain": True})

    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(ask, range(32)))

    assert {answer.status_code for answer in answers} == {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert ask(0).status_code == 200


def test_limits_are_kept(service: Service, guarded: Service) -> None:
    def ask(*references: Image.Image | bytes, running: Service = guarded) -> int:
        files = upload("references", *references) + upload("questioned", signature(1))
        return running.client.post("/verify", files=files).status_code

    assert ask(*specimens(1, 20)) == 200
    assert ask(*specimens(1, 21)) == 413
    assert ask(Image.new("L", (1001, 1000), 255)) == 413  # pixels
    assert ask(Image.new("1", (8100, 8100), 1), running=service) == 413  # of any image
    assert ask(np.random.default_rng(0).bytes(600_000)) == 413  # bytes of an image
    assert ask(*[bytes(10_000_000)] * 4) == 413  # bytes of a request
    url = "/writers/dora/references"
    five = guarded.client.post(url, files=upload("references", *specimens(1, 5)))
    assert (five.status_code, guarded.client.get("/writers/dora").status_code) == (409, 404)


def test_pages_of_other_sites_are_refused(service: Service) -> None:
    for origin, status in (("https://example.org", 403), ("null", 403), (service.url, 404)):
        answer = service.client.delete("/writers/nobody", headers={"Origin": origin})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://Sign.Example", "sign.example", 404),
        ("https://sign.example", "SIGN.example:443", 404),
        ("https://sign.example:443", "sign.example", 404),  # a proxy ends TLS
        ("http://[::1]:8000", "[::1]:8000", 404),
        ("https://public.example:8443", "127.0.0.1", 404),  # as set up
        ("https://public.example", "127.0.0.1", 403),
        ("https://sign.example:8443", "sign.example", 403),
        ("http://sign.example", "sign.example:8080", 403),
        ("file://", "sign.example", 403),
        ("http://[::1", "sign.example", 400),
        ("http://sign.example:port", "sign.example", 400),
        ("http://sign.example/page", "sign.example", 400),
        ("http://sign.example", "[::1", 400),
        ("", "sign.example", 400),
    ],
)
def test_the_services_own_page_is_known_behind_a_proxy(
    guarded: Service, origin: str, host: str, status: int
) -> None:
    headers = {"Origin": origin, "Host": host}
    answer = guarded.client.delete("/writers/nobody", headers=headers)
    assert answer.status_code == status
    assert status != 403 or "DEEPSIGN_PUBLIC_URL" in answer.json()["detail"]


def test_two_origins_are_no_origin(service: Service) -> None:
    headers = [("Origin", service.url), ("Origin", "https://example.org")]
    assert service.client.delete("/writers/nobody", headers=headers).status_code == 400


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/version", "/openapi.json"])
def test_head_is_answered_as_get_without_content(service: Service, path: str) -> None:
    got, asked = service.client.get(path), service.client.head(path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize(
    ("parameters", "fields", "named"),
    [
        ([("threshold", "eer"), ("threshold", "fmr=0.1")], 1, "threshold"),
        ([], 2, "questioned"),
        ([("treshold", "fmr=0.1")], 1, "known: box, explain, page, report, threshold"),
        ([], 0, "questioned"),
    ],
)
def test_what_is_given_twice_or_read_by_nobody_is_refused(
    service: Service, parameters: list, fields: int, named: str
) -> None:
    files = upload("references", *specimens(1)) + upload("questioned", *specimens(1, fields))
    answer = service.client.post("/verify", files=files, params=parameters)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


def test_an_unknown_field_is_refused(service: Service) -> None:
    files = upload("references", signature(1)) + upload("questioned", signature(1))
    files += upload("reference", signature(1))
    answer = service.client.post("/verify", files=files)
    assert (answer.status_code, "field" in answer.json()["detail"]) == (422, True)


TEXT = {"data": {"references": "a", "questioned": "b"}}
NO_FORM = {"content": b"x", "headers": {"content-type": "multipart/form-data"}}


@pytest.mark.parametrize(
    ("method", "path", "send", "status", "told"),
    [
        ("POST", "/verify", TEXT, 422, "'questioned' is text, and no file: send the signature to"),
        ("POST", "/verify", {"json": {"a": 1}}, 422, "'references' is missing: send genuine sig"),
        ("POST", "/verify", {}, 422, "'questioned' is missing: send the signature"),
        ("POST", "/verify", NO_FORM, 400, "send multipart/form-data, as `curl -F` does"),
        ("POST", "/verify?box=1,2", None, 422, "'box' is wrong: send four whole numbers, left,"),
        ("POST", "/verify?page=0", None, 422, "'page' is wrong: send a whole number from 1"),
        ("POST", "/verify?explain=si", None, 422, "'explain' is wrong: send true or false"),
        ("POST", f"/verify?threshold={'e' * 50}", None, 422, "'threshold' is wrong: send eer"),
        ("GET", "/writers/.a", {}, 422, "'writer' is wrong: send a name of your choice, 1 to 64"),
        ("GET", "/writers/a%2Fb", {}, 404, "1 to 64 characters"),
        ("GET", "/writers/a%2Fb", {}, 404, "no slash, not even as %2F"),
        ("GET", "/writers/a/references/b/image", {}, 422, "'reference' is wrong: send a whole"),
        ("GET", "/nowhere", {}, 404, "openapi.json lists all there are"),
        ("POST", "/health", {}, 405, "openapi.json lists those it takes"),
    ],
)
def test_a_refusal_says_in_plain_words_what_to_send(
    service: Service, method: str, path: str, send: dict | None, status: int, told: str
) -> None:
    files = upload("references", signature(1)) + upload("questioned", signature(1))
    answer = service.client.request(method, path, **({"files": files} if send is None else send))
    detail = answer.json()["detail"]
    assert (answer.status_code, told in detail) == (status, True), detail
    for leaked in ("UploadFile", "Input should", "{", "^"):
        assert leaked not in detail


@pytest.mark.parametrize("field", ["references", "questioned"])
def test_what_is_no_image_is_told_what_is_taken_there(service: Service, field: str) -> None:
    files = dict.fromkeys(("references", "questioned"), png(signature(1)))
    for content, told in ((b"text", "HEIC image"), (b"%PDF-1.7 text", "is a PDF")):
        sent = files | {field: content}
        answer = service.client.post("/verify", files=[*sent.items()])
        if field == "questioned" and told == "is a PDF":
            assert answer.status_code == 422  # taken, and damaged
            continue
        assert (answer.status_code, told in answer.json()["detail"]) == (415, True)
        assert ("nor a PDF" in answer.json()["detail"]) == (field == "questioned")


def test_all_images_that_cannot_be_used_are_told_at_once(service: Service) -> None:
    blank = Image.new("L", (90, 60), 255)
    files = upload("references", b"text", signature(1), blank) + upload("questioned", b"text")
    names = ("reference 1", "reference 3", "the questioned signature")

    answer = service.client.post("/verify", files=files)

    assert answer.status_code == 415
    told = answer.json()["detail"].splitlines()
    for line, name in zip(told, names, strict=True):
        assert line.startswith(name)


def test_of_several_signatures_on_a_page_each_can_be_judged(service: Service) -> None:
    page = letter()
    pages = _saved(page, "PDF", resolution=150, save_all=True, append_images=[page])
    files = upload("references", *specimens(1)) + upload("questioned", pages)

    answer = service.client.post("/verify", files=files)

    assert answer.status_code == 422
    assert "2 signatures were found on the questioned document" in answer.json()["detail"]
    assert "with the parameters page and box" in answer.json()["detail"]
    last = answer.json()["signatures"][1]
    assert last["page"] == 2
    assert last["image"].startswith("data:image/jpeg;base64,")
    chosen = {"page": last["page"], "box": last["box"], "report": True}
    judged = service.client.post("/verify", files=files, params=chosen).json()
    assert f"page 2, box {last['box']}, as given" in judged["warnings"][0]["message"]
    assert f"--page 2 --box {last['box']}" in judged["report"]


def test_keys_may_hold_any_characters(guarded: Service) -> None:
    for sent in ("clé, à".encode(), "clé, à".encode("latin-1"), "密码".encode()):
        headers = {"Authorization": b"Bearer " + sent}
        assert guarded.client.get("/version", headers=headers).status_code == 200
    for sent in (b"cl\xc3\xa9,", b"\xff", b"cl\xe9, \xc3"):
        headers = {"Authorization": b"Bearer " + sent}
        assert guarded.client.get("/version", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "keys", ['["left open"', '[" begins with a space"]', '["two\\nlines"]', '[""]']
)
def test_keys_that_no_request_can_send_are_told(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSIGN_API_KEYS", keys)
    with pytest.raises(DeepSignError, match="DEEPSIGN_API_KEYS"):
        run({})


@pytest.mark.parametrize("keys", ["", " ", ",", " , ", "[]", " [ ] "])
def test_a_set_but_empty_list_of_keys_opens_nothing(keys: str, monkeypatch) -> None:
    monkeypatch.setenv("DEEPSIGN_API_KEYS", keys)
    with pytest.raises(DeepSignError, match="DEEPSIGN_API_KEYS is wrong: it is set and holds no"):
        run({})


@pytest.mark.parametrize(
    ("setting", "typed", "said"),
    [
        ("PUBLIC_URL", "example", "it must be an address such as https://"),
        ("PUBLIC_URL", "https://example:port", "it must be an address such as https://"),
        ("PORT", "http", "valid integer"),
        ("HOST", "", "at least 1 character"),
    ],
)
def test_a_wrong_setting_is_told_as_it_was_typed(setting, typed, said, monkeypatch) -> None:
    monkeypatch.setenv(f"DEEPSIGN_{setting}", typed)
    with pytest.raises(
        DeepSignError, match=rf"DEEPSIGN_{setting} \('{typed}'\) is wrong: .*{said}"
    ):
        run({})


def test_a_store_that_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DeepSignError, match="it is a folder, device, pipe or socket"):
            Store(place)


def test_a_taken_port_is_told_at_once(service: Service, tmp_path: Path) -> None:
    second = Service(tmp_path / "e.sqlite", port=service.port)
    assert second.process.wait(PATIENCE) == 1
    assert f"port {service.port}: Address already in use" in second.log()
    assert "--port" in second.log()
    assert "Traceback" not in second.log()
    assert "ready: model" not in second.log()  # before a model is loaded


def test_a_host_that_is_none_is_told() -> None:
    with pytest.raises(DeepSignError, match="There is no host nowhere"):
        listen("nowhere.invalid", 0)


def _photograph(megapixels: int) -> Image.Image:
    """A sheet with a signature on it, as a phone takes it: upright, its sensor's side marked."""
    width = {24: 5660, 48: 8064}[megapixels]
    return signature(1, 7).resize((width, width * 3 // 4)).rotate(90, expand=True).convert("RGB")


@pytest.mark.parametrize(
    ("megapixels", "format_", "options"),
    [
        (24, "JPEG", {"quality": 90}),
        (48, "JPEG", {"quality": 90}),
        (24, "PNG", {"compress_level": 1}),
        (24, "WEBP", {"method": 0}),
    ],
)
def test_photographs_of_phones_are_judged(
    service: Service, tmp_path_factory, megapixels: int, format_: str, options: dict
) -> None:
    turned = Image.Exif()
    turned[0x112] = 6  # to be shown turned by a quarter, as it was before
    photograph = _saved(_photograph(megapixels), format_, exif=turned, **options)
    plain = service.client.post("/verify", files=_of_writer_1(png(signature(1, 7)))).json()

    answer = service.client.post("/verify", files=_of_writer_1(photograph))

    assert answer.status_code == 200, answer.text
    assert answer.json()["score"] == pytest.approx(plain["score"], abs=0.1)


@pytest.mark.parametrize("format_", ["WEBP", "AVIF", "HEIC"])
def test_formats_of_phones_are_read(service: Service, format_: str) -> None:
    heic = Path(__file__).with_name("images") / "signature.heic"  # nothing here could write one
    content = heic.read_bytes() if format_ == "HEIC" else _saved(signature(1, 7), format_)
    plain = service.client.post("/verify", files=_of_writer_1(png(signature(1, 7)))).json()

    answer = service.client.post("/verify", files=_of_writer_1(content)).json()

    assert answer["score"] == pytest.approx(plain["score"], abs=0.1)


def _of_writer_1(questioned: bytes) -> list[tuple]:
    return upload("references", *specimens(1)) + upload("questioned", questioned)


def test_names_given_by_a_client_lead_nowhere(service: Service, tmp_path: Path) -> None:
    target = tmp_path / "written.png"
    files = [
        ("references", (f"../../../../{target}", png(signature(1)))),
        ("questioned", (str(target), png(signature(1)))),
    ]
    assert service.client.post("/verify", files=files).status_code == 200
    assert not target.exists()
    for writer in ("..%2F..%2Fetc", ".hidden", "a" * 65, "a%00b", "a'--"):
        assert service.client.get(f"/writers/{writer}").status_code in (404, 422)


def test_log_names_no_writer_and_no_file(service: Service) -> None:
    url = "/writers/secretive-writer/references"
    files = [("references", ("secret-file.png", png(signature(1))))]
    assert service.client.post(url, files=files).status_code == 201
    service.client.get("/writers/secretive-writer", params={"note": "secret"})

    log = service.log()

    assert "POST /writers/{writer}/references 201" in log
    assert "secret" not in log


def test_figures_are_there_for_prometheus(service: Service) -> None:
    files = upload("references", *specimens(1)) + upload("questioned", signature(1))
    service.client.post("/verify", files=files)
    text = service.client.get("/metrics").text
    assert 'deepsign_requests_total{method="POST",route="/verify",status="200"}' in text
    assert "deepsign_images_waiting 0.0" in text


def test_a_wrong_model_or_setting_ends_the_service_with_a_reason(tmp_path: Path) -> None:
    for settings_, named in (
        ({"model": "/nowhere"}, "/nowhere"),
        ({"max_pixels": 0}, "MAX_PIXELS"),
    ):
        service = Service(tmp_path / "e.sqlite", **settings_)
        assert service.process.wait(PATIENCE) == 1
        assert named in service.log()
        assert "Traceback" not in service.log()


# --------------------------------------------------------------------------------------- batches


def test_concurrent_submissions_share_a_pass_and_get_their_own() -> None:
    sizes: list[int] = []
    begin = threading.Event()

    def embed(canvases: np.ndarray) -> np.ndarray:
        begin.wait()
        return canvases[:, 0, :1].astype(np.float32)

    batcher = Batcher(embed, size=8, seconds=0.05, capacity=100, observe=sizes.append)
    futures = [batcher.submit(np.full((1 + n % 3, 2, 2), n, np.uint8)) for n in range(12)]
    begin.set()

    for number, future in enumerate(futures):
        assert future.result(PATIENCE).tolist() == [[number]] * (1 + number % 3)
    batcher.close()
    assert max(sizes) > 1
    assert len(sizes) < 12


def test_failure_reaches_its_callers_and_the_worker_goes_on() -> None:
    def embed(canvases: np.ndarray) -> np.ndarray:
        if canvases.max() > 9:
            raise MemoryError
        return canvases[:, 0, :1]

    batcher = Batcher(embed, size=1, seconds=0, capacity=9, observe=lambda _: None)
    with pytest.raises(MemoryError):
        batcher.submit(np.full((1, 2, 2), 10)).result(PATIENCE)
    assert batcher.submit(np.ones((1, 2, 2))).result(PATIENCE) == 1
    batcher.close()


def test_no_more_waits_than_the_capacity() -> None:
    go_on = threading.Event()

    def embed(canvases: np.ndarray) -> np.ndarray:
        go_on.wait()
        return canvases

    batcher = Batcher(embed, size=1, seconds=0, capacity=4, observe=lambda _: None)
    first = batcher.submit(np.ones((4, 2, 2)))
    with pytest.raises(OverloadedError):
        batcher.submit(np.ones((1, 2, 2)))
    go_on.set()
    first.result(PATIENCE)
    assert batcher.waiting == 0  # at once: who is answered waits no more
    batcher.submit(np.ones((1, 2, 2))).result(PATIENCE)
    batcher.close()


# ------------------------------------------------------------------------- concurrency and abuse


def test_concurrent_clients_each_get_their_own_answer(service: Service, verifier: Verifier) -> None:
    expected = {}
    for writer in range(16):
        files = upload("references", *specimens(writer))
        service.client.post(f"/writers/c{writer}/references", files=files)
        score = verifier.compare(specimens(writer), signature(writer, 9)).score
        expected[writer] = score
    assert len({round(score, 6) for score in expected.values()}) == 16

    def ask(writer: int) -> list[float]:
        files = upload("questioned", signature(writer, 9))
        with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:
            url = f"/writers/c{writer}/verify"
            return [client.post(url, files=files).json()["score"] for _ in range(10)]

    with ThreadPoolExecutor(16) as clients:
        answers = dict(zip(expected, clients.map(ask, expected), strict=True))
    for writer, scores in answers.items():
        assert scores == pytest.approx([expected[writer]] * 10, abs=1e-6)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises many pixels, with few bytes behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + data + _chunk(b"IEND", b"")


def _saved(image: Image.Image, format_: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, format_, **options)
    return content.getvalue()


def _abuses() -> list[bytes]:
    """Some 500 files that an attacker, or a broken scanner, may send."""
    drawn, rng = signature(1).resize((150, 60)), random.Random(0)
    frames = [signature(n).resize((150, 60)) for n in range(3)]
    deep = Image.fromarray(np.asarray(drawn).astype(np.uint16) * 257)
    sound = {
        "png": _saved(drawn, "PNG"),
        "jpeg": _saved(drawn.convert("RGB"), "JPEG", progressive=True),
        "cmyk": _saved(drawn.convert("CMYK"), "JPEG"),
        "tiff": _saved(drawn, "TIFF", compression="tiff_lzw"),
        "pdf": _saved(drawn, "PDF"),
        "bmp": _saved(drawn, "BMP"),
        "16 bit": _saved(deep, "PNG"),
        "16 bit tiff": _saved(deep, "TIFF"),
        "alpha": _saved(drawn.convert("LA"), "PNG"),
        "palette": _saved(drawn.convert("P"), "PNG"),
        "binary": _saved(drawn.convert("1"), "TIFF", compression="group4"),
        "animated": _saved(frames[0], "PNG", save_all=True, append_images=frames),
    }
    wrong = [_saved(drawn, kind) for kind in ("GIF", "JPEG2000", "PPM", "ICO", "TGA")]
    wrong.append(_saved(drawn, "TIFF", save_all=True, append_images=frames))  # which page?
    png_bytes = sound["png"]
    special = [
        *wrong,
        b"",
        b"\0",
        bytes(5000),
        b"\xff\xd8\xff",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a" + png_bytes,
        png_bytes + b"PK\x03\x04<script>alert(1)</script>",
        b"%PDF-1.7\n" + png_bytes,
        _bomb(50_000, 50_000),
        _bomb(2**31 - 1, 2**31 - 1),
        _bomb(1, 1_000_000),
        _bomb(0, 10),
        _bomb(900, 900),
        _saved(Image.new("L", (1, 1)), "PNG"),
        _saved(Image.new("L", (2, 3000)), "PNG"),
        _saved(Image.new("L", (900, 900), 0), "PNG"),
        sound["jpeg"][:-2] + b"\xff\xda" * 1000 + b"\xff\xd9",
        png_bytes[:33] + _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**7))) + png_bytes[33:],
    ]
    mutated = []
    for content in sound.values():
        for number in range(38):
            changed = bytearray(content)
            if number % 3 == 0:
                changed = changed[: rng.randrange(len(changed))]
            else:
                head = min(len(changed), 200 if number % 3 == 1 else len(changed))
                for _ in range(rng.choice((1, 4, 30))):
                    changed[rng.randrange(head)] = rng.randrange(256)
            mutated.append(bytes(changed))
    return [*sound.values(), *special, *mutated]


def test_hostile_uploads_are_answered_with_sense_and_in_time(service: Service) -> None:
    abuses, process = _abuses(), psutil.Process(service.process.pid)
    worked = sum(process.cpu_times()[:2])
    assert len(abuses) > 480
    reference = png(signature(1))

    def send(content: bytes) -> tuple[int, str]:
        files = upload("references", reference) + upload("questioned", content)
        answer = service.client.post("/verify", files=files)
        return answer.status_code, answer.text

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(send, abuses))

    assert {status for status, _ in answers} <= {200, 413, 415, 422}
    assert [status for status, _ in answers[:12]] == [200] * 12  # the sound ones
    assert [status for status, _ in answers[12:17]] == [415] * 5  # of types not taken
    assert answers[17][0] == 422
    assert all(json.loads(text)["detail"] for status, text in answers if status != 200)
    # Of the processor's time, not the clock's: other work on the machine does not count.
    assert sum(process.cpu_times()[:2]) - worked < 0.5 * len(abuses)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "multipart/form-data"}, b"x"),
        ({"content-type": "multipart/form-data; boundary=a"}, b"--a\r\n"),
        ({"content-type": "multipart/form-data; boundary=a"}, b"--a\r\n" * 2000),
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"references=1&questioned=2"),
        ({}, b""),
    ],
)
def test_bodies_that_are_no_upload_are_refused(
    service: Service, headers: dict, body: bytes
) -> None:
    answer = service.client.post("/verify", headers=headers, content=body)
    assert answer.status_code in (400, 422)
    assert isinstance(answer.json()["detail"], str)


def test_service_keeps_to_its_openapi_text(service: Service) -> None:
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) >= 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def answers_as_described(case: schemathesis.Case) -> None:
            # Which bytes are an image, the text cannot say.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        answers_as_described()


def test_an_answer_never_waits_for_its_first_part_to_be_acknowledged() -> None:
    with (
        listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
