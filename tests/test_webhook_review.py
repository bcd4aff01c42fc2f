"""Requests that are no reviews, or hostile ones: a short answer, never a traceback, and the next one is served."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sidecar import logs
from sidecar.webhook import intake
from tests.harness import until
from tests.log_state import _restored_logging  # noqa: F401 - a fixture
from tests.webhook_harness import SERVICE, Asked, patch_of, webhook
from tests.webhook_pods import Object, asking, container, review

SECRET = "CANARY"  # stands in for what must not be repeated


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(stream=stream)
    return stream


@pytest.fixture
async def asked(tmp_path: Path, lines: io.StringIO) -> AsyncIterator[Asked]:
    async with webhook(tmp_path) as found:
        yield found


def changed(**changes: object) -> bytes:
    return json.dumps({**review(asking()), **changes}).encode()


def request(**changes: object) -> bytes:
    return json.dumps(review(asking(), **changes)).encode()


def spec(**changes: object) -> bytes:
    return json.dumps(review(asking(**changes))).encode()


def annotated(annotations: object) -> bytes:
    pod = asking()
    pod["metadata"]["annotations"] = annotations
    return json.dumps(review(pod)).encode()


MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not JSON"),
    "text": (b"CANARY", "is not JSON"),
    "cut off": (request()[:-5], "is not JSON"),
    "not UTF-8": (b'{"kind": "\xff"}', "is not JSON"),
    "nested without end": (b'{"request":' + b"[" * 200_000, "is not JSON"),
    "more parts than a pod has": (b'{"a": [' + b'{"":[]},' * 500_000 + b"{}]}", "has more parts"),
    "nested deep in a review": (
        request().replace(b'"status": {}', b'"status": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "is not JSON",
    ),
    "a number too long": (b'{"kind": ' + b"1" * 5000 + b"}", "is not JSON"),
    "a list": (b"[]", "is not a JSON object"),
    "another kind": (changed(kind="CANARY"), "no AdmissionReview"),
    "v1beta1": (changed(apiVersion="admission.k8s.io/v1beta1"), "write admissionReviewVersions: [v1]"),
    "v2": (changed(apiVersion="admission.k8s.io/v2"), "apiVersion is not admission.k8s.io/v1"),
    "no version": (changed(apiVersion=None), "apiVersion is not admission.k8s.io/v1"),
    "no request": (changed(request=None), "request.uid is missing"),
    "request of another kind": (changed(request=["CANARY"]), "the review.request is not an object"),
    "no uid": (request(uid=""), "request.uid is missing"),
    "uid too long": (request(uid="u" * 257), "request.uid is missing or too long"),
    "uid of another kind": (request(uid=7), "request.uid is not a string"),
    "operation of another kind": (request(operation={}), "request.operation is not a string"),
    "kind of another kind": (request(kind="Pod"), "request.kind is not an object"),
    "no pod": (request(object=None), "request.object is missing"),
    "pod of another kind": (request(object="CANARY"), "request.object is not an object"),
    "dry run of another kind": (request(dryRun="yes"), "request.dryRun is neither"),
    "annotations of another kind": (annotated(["CANARY"]), "annotations is not an object"),
    "annotation of another kind": (annotated({"auth-sidecar/inject": 1}), "a value that is not a string"),
    "containers of another kind": (spec(containers="CANARY"), "spec.containers is not a list of objects"),
    "container of another kind": (spec(containers=["CANARY"]), "spec.containers is not a list of objects"),
    "ports of another kind": (spec(containers=[{"ports": {"CANARY": 1}}]), "containers[0].ports is not a list"),
    "port of another kind": (
        spec(containers=[{"ports": [{"containerPort": "8080"}]}]), "containerPort is not a whole number",
    ),
    "env of another kind": (spec(initContainers=[{"env": [1]}]), "initContainers[0].env is not a list"),
    "more containers than a pod has": (spec(containers=[{}] * 1001), "has more than 1000 items"),
    "flag of another kind": (spec(hostNetwork="true"), "spec.hostNetwork is neither"),
    "time of another kind": (spec(terminationGracePeriodSeconds=1.5), "is not a whole number"),
    "volumes of another kind": (spec(volumes={"a": 1}), "spec.volumes is not a list"),
    "volume's name of another kind": (spec(volumes=[{"name": 1}]), "volumes.name is not a string"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_no_review_is_answered_400_and_told_why(
    asked: Asked, lines: io.StringIO, body: bytes, said: str
) -> None:
    """As Kubernetes' Status, whose message an API server shows. Nothing of the request is repeated."""
    status, answer = await asked.post(body)
    assert (status, answer["kind"], answer["status"], answer["code"]) == (400, "Status", "Failure", 400)
    assert said in answer["message"]
    assert len(answer["message"]) < 200
    assert SECRET not in json.dumps(answer) + lines.getvalue()
    assert "Traceback" not in lines.getvalue()
    assert "exception_type" not in lines.getvalue()
    assert (await asked.numbers())["reviews_total malformed"] == 1
    assert patch_of(await asked.ask(asking()))


async def test_uid_is_given_back_whatever_is_in_it(asked: Asked) -> None:
    """An API server checks that it is the same."""
    for uid in ("x", "705ab4f5-6393-11e8-b7cc-42010a800002", 'a"\\\n\ud800é', "u" * 256):
        assert (await asked.ask(asking(), uid=uid))["uid"] == uid


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/json", 415),
        ("application/vnd.kubernetes.protobuf", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_content_type_is_json(asked: Asked, content_type: str, status: int) -> None:
    """What an API server sends."""
    found, _ = await asked.post(request(), content_type)
    assert found == status


async def test_compressed_body_is_not_taken(asked: Asked) -> None:
    """No API server compresses reviews, and a few bytes could become very many."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    bomb = io.BytesIO(gzip.compress(b" " * (64 << 20)))
    answer, _ = await asked.fetch("POST", "/inject", data=bomb, headers=headers)
    assert answer.status == 415


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_not_allowed(asked: Asked, method: str) -> None:
    """With what is."""
    answer, body = await asked.fetch(method, "/inject")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert method == "HEAD" or json.loads(body)["code"] == 405


async def test_large_review_is_answered(asked: Asked) -> None:
    """Just below 4 MiB, most of it in a variable."""
    large = "x" * (intake.MAX_BODY - 10_000)
    before = asking(containers=[container(env=[{"name": "LARGE", "value": large}])])
    assert patch_of(await asked.ask(before))


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size >> 16):
        yield b" " * (1 << 16)


@pytest.mark.parametrize(
    "body",
    [lambda: io.BytesIO(b" " * (intake.MAX_BODY + 1)), lambda: chunks(intake.MAX_BODY + (1 << 20))],
    ids=["by its length", "chunked"],
)
async def test_larger_one_is_413(asked: Asked, body: Callable[[], object]) -> None:
    """Before it has been read to its end; the connection is closed."""
    answer, found = await asked.fetch(
        "POST", "/inject", data=body(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    assert json.loads(found)["message"] == "the body is larger than 4 MiB"


HEAD = (
    f"POST /inject HTTP/1.1\r\nHost: {SERVICE}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
).encode()


async def connected(asked: Asked) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", asked.port, ssl=asked.pki.client(), server_hostname=SERVICE
    )


async def test_body_that_does_not_come_is_given_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """408, and the connection is closed."""
    monkeypatch.setattr(intake, "_MAX_SECONDS", 0.05)
    reader, writer = await connected(asked)
    writer.write(HEAD + b"{")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"took too long" in answer
    writer.close()


async def test_caller_that_leaves_in_the_middle_is_no_event(asked: Asked, lines: io.StringIO) -> None:
    """Neither a bug in the log nor bytes that stay accounted for."""
    held = asked.webhook._intake
    _, writer = await connected(asked)
    writer.write(HEAD + b" " * 1000)
    await until(lambda: held.held == 1000)
    writer.transport.abort()
    await until(lambda: held.held == 0)
    assert patch_of(await asked.ask(asking()))
    assert "exception_type" not in lines.getvalue()
    assert '"error"' not in lines.getvalue()


async def test_bodies_together_are_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is too much is told to come again; who was there before is not hurt."""
    monkeypatch.setattr(intake, "_MAX_HELD", 150_000)
    body = request().ljust(100_000)
    reader, writer = await connected(asked)
    writer.write(HEAD + body[:-1])
    held = asked.webhook._intake
    await until(lambda: held.held == len(body) - 1)
    status, answer = await asked.post(body)
    assert (status, answer["message"]) == (503, "too many requests at once")
    writer.write(body[-1:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await until(lambda: held.held == 0)


async def test_malformed_http_is_400_and_closed(asked: Asked, lines: io.StringIO) -> None:
    """Without aiohttp's version, without a word of it."""
    reader, writer = await connected(asked)
    writer.write(b"POST /inject HTTP/1.1\r\nHost: a\r\nCANARY : x\r\n\r\n")
    answer = await reader.read()
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"CANARY" not in answer
    assert b"\r\nServer:" not in answer
    assert SECRET not in lines.getvalue()
    writer.close()


async def test_each_review_that_changes_or_refuses_something_is_one_line(
    asked: Asked, lines: io.StringIO
) -> None:
    """Whose pod, and what became of it; never a variable's value. What was left alone is not told."""
    lines.truncate(0)
    lines.seek(0)
    secret = [container(env=[{"name": "PASSWORD", "value": SECRET}])]
    await asked.ask(asking(containers=secret), dryRun=True)
    await asked.ask(asking(containers=secret, hostNetwork=True))
    named: Object = asking(containers=secret)
    named["metadata"]["name"] = "one"
    await asked.ask(named)
    await asked.ask(asking("false", containers=secret))
    injected, refused, third = map(json.loads, lines.getvalue().splitlines())
    assert injected.items() >= {
        "level": "info", "event": "review", "logger": "webhook", "outcome": "injected", "namespace": "shop",
        "name": "orders-5d8f9c7b6d-", "dry_run": True, "configmap": "orders-sidecar", "secret": "egain-client",
    }.items()  # fmt: skip
    assert (refused["level"], refused["outcome"], refused["dry_run"]) == ("warning", "refused", False)
    assert "hostNetwork" in refused["reasons"][0]
    assert (third["outcome"], third["name"]) == ("injected", "one")
    assert SECRET not in lines.getvalue()


async def test_bug_is_500_and_one_line_without_what_it_held(
    asked: Asked, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort."""

    def fail(*arguments: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr("sidecar.webhook.application.decide", fail)
    status, answer = await asked.post(request())
    assert (status, answer["code"]) == (500, 500)
    said = json.loads(lines.getvalue().splitlines()[-1])
    assert (said["event"], said["exception_type"]) == ("review_failed", "KeyError")
    assert SECRET not in lines.getvalue() + json.dumps(answer)


def test_tls_of_these_tests_verifies(tmp_path: Path) -> None:
    """Else none of them would show that the certificate is served."""
    from tests.webhook_harness import pki

    assert pki(tmp_path).client().verify_mode == ssl.CERT_REQUIRED
