"""The verdicts of the fault and soak runs: what is wrong is called wrong."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from typing import Any

import pytest

from benchmarks.asking import Who, agent, application, judge, judge_failure, mixed
from benchmarks.wire import Cut, Reply

WHO = Who("/agent/read", "alice", "knowledge.portalmgr.onbehalfof.read", "X-On-Behalf-Of: alice")
BODY = b"some bytes"
ASK = WHO.ask(7, body=BODY)
TOLD = {
    "n": 7,
    "method": "POST",
    "subject": "alice",
    "scopes": WHO.scopes,
    "sha256": hashlib.sha256(BODY).hexdigest(),
}
PROBLEM = {"code": "token_unavailable", "status": 503}


def answered(told: object, status: int = 200, **fields: str) -> Reply:
    headers = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    return Reply(0.0, status, headers, json.dumps(told).encode())


def refused(told: object, status: int = 503, code: str = "token_unavailable", **changes: str) -> Reply:
    fields = {"content_type": "application/problem+json", "retry_after": "2", **changes}
    return answered(told, status, x_auth_sidecar_error=code, **fields)


def test_an_answer_for_the_same_question_and_person_is_right() -> None:
    """Number, method, subject, scopes and body are those of the request."""
    assert judge(ASK, answered(TOLD)).kind == "right"


@pytest.mark.parametrize(
    ("name", "other"),
    [("n", 8), ("method", "GET"), ("subject", "bob"), ("scopes", "all"), ("sha256", "0")],
)
def test_one_thing_that_differs_is_wrong(name: str, other: object) -> None:
    """A mixed-up body, another subject or other scopes are never right."""
    verdict = judge(ASK, answered({**TOLD, name: other}))
    assert (verdict.kind, verdict.what) == ("wrong", f"another {name}")


@pytest.mark.parametrize("body", [b"", b'{"n": 7, "me', b"[]", b'{"n": 7}', b"\xff"])
def test_half_an_answer_taken_for_a_whole_one_is_wrong(body: bytes) -> None:
    """A 200 whose framing was complete and whose content is not."""
    assert judge(ASK, Reply(0.0, 200, {}, body)).kind == "wrong"


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503])
def test_a_failure_that_is_not_the_sidecars_is_wrong(status: int) -> None:
    """A 401 of the API means that it was shown no good token."""
    assert judge(ASK, answered(TOLD, status)).kind == "wrong"


def test_the_apis_own_throttling_is_passed_on_when_it_is_for_this_request() -> None:
    """429 unchanged; another request's is wrong."""
    assert judge(ASK, answered(TOLD, 429)).kind == "passed"
    assert judge(ASK, answered({**TOLD, "n": 8}, 429)).kind == "wrong"


def test_an_error_of_the_contract_is_a_refusal() -> None:
    """With its status, its code in field and body, problem+json, and Retry-After where that belongs."""
    verdict = judge(ASK, refused(PROBLEM))
    assert (verdict.kind, verdict.what) == ("refused", "503 token_unavailable")


WRONG: dict[str, Reply] = {
    "a code nobody knows": refused({"code": "oops", "status": 503}, code="oops"),
    "another status than the code's": refused({**PROBLEM, "status": 502}, 502),
    "a bug": refused({"code": "internal_error", "status": 500}, 500, "internal_error"),
    "another code in the body": refused({**PROBLEM, "code": "overloaded"}),
    "no Retry-After": refused(PROBLEM, retry_after=""),
    "no problem+json": refused(PROBLEM, content_type="text/html"),
    "no JSON": Reply(0.0, 503, refused(PROBLEM).headers, b"<html>"),
    "the subject": refused({**PROBLEM, "detail": "for alice"}),
}


@pytest.mark.parametrize("reply", WRONG.values(), ids=WRONG)
def test_an_error_that_is_not_as_documented_is_wrong(reply: Reply) -> None:
    """Each thing that may be missing from an error, or too much in it."""
    assert judge(ASK, reply).kind == "wrong"


def test_what_breaks_off_is_a_cut_and_what_never_ends_is_wrong() -> None:
    """Failures that a caller can see, and those it cannot."""
    assert judge_failure(Cut("5 bytes")).kind == "cut"
    assert judge_failure(ConnectionResetError()).kind == "unanswered"
    assert judge_failure(asyncio.IncompleteReadError(b"", None)).kind == "unanswered"
    assert judge_failure(TimeoutError()).kind == "wrong"
    assert judge_failure(ValueError()).kind == "wrong"


def test_requests_are_mixed_of_all_groups_and_never_twice_the_same() -> None:
    """Application and subjects in turn, numbered, with bodies and newcomers."""
    groups = (application("me"), agent("alice") + agent("bob"))
    asks = list(itertools.islice(mixed(groups, newcomers=0.1, bodies=0.2), 1000))
    assert [ask.number for ask in asks] == list(range(1, 1001))
    kinds: dict[str, Any] = {}
    for ask in asks:
        kinds.setdefault(ask.subject.rstrip("0123456789"), []).append(ask)
    assert {name: len(found) > 50 for name, found in kinds.items()} == dict.fromkeys(
        ("me", "alice", "bob", "newcomer"), True
    )
    assert 100 < sum(ask.method == "POST" for ask in asks) < 300
