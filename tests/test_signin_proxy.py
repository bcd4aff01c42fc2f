"""Requests of people who have signed in, over a running sidecar: their tokens, their cookies, who is kept out."""

from __future__ import annotations

from sidecar.proxy.headers import RequestFields, RequestHead
from sidecar.signin import cookies

FETCH = [(b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Dest", b"document"), (b"Cookie", b"a=b")]


def test_what_only_people_need_is_looked_at_only_where_they_sign_in() -> None:
    """Every browser sends these fields with every request: elsewhere they cross without a look."""
    fields = RequestFields()
    assert RequestHead(fields, FETCH).fetch_mode is None
    assert set(fields.known.values()) == {0}
    assert RequestHead(RequestFields((), cookies.without_ours), FETCH).navigates
