"""Refusals that a person meets who has opened a page: words for people, and problem documents for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, RawUpstream, configuration, sidecar

PEOPLE: dict[str, Any] = {
    "client": {"id": "app", "auth": "none"},
    "credentials": {
        "user": {
            "grant": "authorization_code",
            "authorization_url": "https://as.invalid/-U/authorize",
            "token_url": "https://as.invalid/-U/token",
            "redirect_url": "http://127.0.0.1:8080/.auth/callback",
        }
    },
    "routes": [{"path": "/api/**", "credential": "user", "scopes": ["knowledge.portalmgr.read"]}],
}
OPENS = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
FROM_ELSEWHERE = ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site")


async def ask(folder: Path, target: str, *headers: str, method: str = "GET", people: bool = True) -> Answer:
    async with RawUpstream().running() as upstream:
        changes = PEOPLE if people else {}
        async with sidecar(configuration(upstream.url, **changes), folder) as running:
            answer = await running.ask(target, *headers, method=method)
        assert upstream.requests == []
        return answer


def shown(answer: Answer) -> bool:
    """Whether it is a page, complete with what keeps it to itself; else it must be a problem document."""
    (kind,) = answer.all("Content-Type")
    if kind == "application/problem+json":
        return False
    assert kind == "text/html; charset=utf-8"
    assert answer.all("X-Frame-Options") == ["DENY"]
    assert answer.all("Cache-Control") == ["no-store"]
    assert b"<h1>" in answer.body
    return True


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "code"),
    [
        ("POST", "/.auth/logout", FROM_ELSEWHERE, 403, "origin_not_allowed"),
        ("POST", "/api/x", FROM_ELSEWHERE, 403, "origin_not_allowed"),
        ("GET", "/.auth/logout", (), 405, "method_not_allowed"),
        ("GET", "/.auth/nothing", (), 403, "route_not_mapped"),
    ],
)
async def test_who_opens_a_page_reads_words(
    tmp_path: Path, method: str, target: str, headers: tuple[str, ...], status: int, code: str
) -> None:
    """With the status and the header that programs go by; a program gets the problem document."""
    for opens in (OPENS, ("Accept: text/html,*/*",)):
        answer = await ask(tmp_path, target, *headers, *opens, method=method)
        assert (answer.status, answer.error, shown(answer)) == (status, code, True)
    for script in (("Sec-Fetch-Mode: cors", "Accept: text/html"), ("Accept: application/json",), ()):
        answer = await ask(tmp_path, target, *headers, *script, method=method)
        assert (answer.status, answer.error, shown(answer)) == (status, code, False)


async def test_page_says_which_methods_there_are(tmp_path: Path) -> None:
    """RFC 9110 section 15.5.6: a 405 has Allow, whatever its body is."""
    assert (await ask(tmp_path, "/.auth/logout", *OPENS)).all("Allow") == ["POST"]


async def test_page_in_a_frame_stays_a_problem_document(tmp_path: Path) -> None:
    """It is no page that somebody has opened."""
    frame = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", *FROM_ELSEWHERE)
    assert not shown(await ask(tmp_path, "/api/x", *frame))


async def test_refusals_of_the_map_stay_problem_documents(tmp_path: Path) -> None:
    """Who opens an API address that is not mapped is somebody who develops."""
    answer = await ask(tmp_path, "/other", *OPENS)
    assert (answer.error, shown(answer)) == ("route_not_mapped", False)


async def test_where_nobody_signs_in_nothing_is_a_page(tmp_path: Path) -> None:
    """A sidecar without people has no pages."""
    answer = await ask(tmp_path, "/x", *OPENS, *FROM_ELSEWHERE, method="POST", people=False)
    assert (answer.error, shown(answer)) == ("origin_not_allowed", False)
