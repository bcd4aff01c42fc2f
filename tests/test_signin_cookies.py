"""Cookies of the sidecar's own: found, taken out, set. And what is sealed into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.secret import Secret
from sidecar.signin import cookies
from sidecar.signin.seal import Seal

SECURE = "__Host-auth-sidecar-session-user"
PLAIN = "auth-sidecar-session-user"


def test_names_say_whose_they_are() -> None:
    """`__Host-` where the browser can keep its promise."""
    assert cookies.session_name("user", secure=True) == SECURE
    assert cookies.session_name("user", secure=False) == PLAIN
    assert cookies.login_name("abc", secure=True) == "__Host-auth-sidecar-login-abc"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"auth-sidecar-session-user=v"], "v"),
        ([b"a=b; auth-sidecar-session-user=v;c=d"], "v"),
        ([b"a=b", b"auth-sidecar-session-user=v=w"], "v=w"),
        ([b"auth-sidecar-session-user="], ""),
        ([b"auth-sidecar-session-user"], None),
        ([b"auth-sidecar-session-user2=v; xauth-sidecar-session-user=v"], None),
        ([b"Auth-Sidecar-Session-User=v"], None),
        ([b"auth-sidecar-session-user=v; auth-sidecar-session-user=w"], None),
        ([b"auth-sidecar-session-user=v", b"auth-sidecar-session-user=v"], None),
        ([b""], None),
        ([], None),
    ],
)
def test_one_cookie_of_a_name_is_found_and_two_are_none(values: list[bytes], found: str | None) -> None:
    """A neighbouring host can plant a second one; then neither is believed."""
    assert cookies.value_of(values, PLAIN) == found


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=b", b"a=b"),
        (b"a=b; c=d", b"a=b; c=d"),
        (b"auth-sidecar-session-user=v", b""),
        (b"__Host-auth-sidecar-session-user=v; a=b", b"a=b"),
        (b"a=b; __Host-auth-sidecar-login-x=v; c=d", b"a=b; c=d"),
        (b"a=b;auth-sidecar-login-x=v;c=d", b"a=b;c=d"),
        (b"a=auth-sidecar-session-user", b"a=auth-sidecar-session-user"),
        (b"x-auth-sidecar-a=b", b"x-auth-sidecar-a=b"),
        (b"auth-sidecar-session-user", b""),
    ],
)
def test_the_upstream_sees_none_of_them(value: bytes, left: bytes) -> None:
    """All others cross, byte for byte."""
    assert cookies.without_ours(value) == left


def test_a_cookie_is_set_for_this_host_alone() -> None:
    """HttpOnly, SameSite=Lax, the whole site, no domain; Secure where the name says so."""
    name, value = cookies.set_cookie(SECURE, "v", secure=True)
    assert (name, value) == ("Set-Cookie", f"{SECURE}=v; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert cookies.set_cookie(PLAIN, "v", secure=False, max_age=5)[1] == (
        f"{PLAIN}=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=5"
    )
    assert cookies.clear_cookie(PLAIN, secure=False)[1].endswith("Max-Age=0")


def test_attempts_of_a_browser_are_listed_with_their_size_as_they_were_sent() -> None:
    """Only those that could be ours: a name from the network is put into an answer again."""
    sent = [
        b"__Host-auth-sidecar-login-b=1; x=y",
        b"__Host-auth-sidecar-login-a=2",
        b"auth-sidecar-login-c=3",
    ]
    assert cookies.logins(sent, secure=True) == [
        ("__Host-auth-sidecar-login-b", 28),
        ("__Host-auth-sidecar-login-a", 28),
    ]
    assert cookies.logins([b"auth-sidecar-login-\xff=1; auth-sidecar-login-a b=1"], secure=False) == []


# -- sealing -------------------------------------------------------------------------------------------------------

KEY = Secret("k" * 32)


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_what_is_sealed_opens_again(plain: bytes, purpose: bytes) -> None:
    """By the same key, for the same purpose; also in another process."""
    assert Seal(KEY).open_text(purpose, Seal(KEY).seal_text(purpose, plain)) == plain
    assert Seal(KEY).open(purpose, Seal(KEY).seal(purpose, plain)) == plain


def test_it_opens_for_nothing_else() -> None:
    """Another purpose, another key, another bit: None, never an exception."""
    sealed = Seal(KEY).seal(b"login a", b"plain")
    assert Seal(KEY).open(b"login b", sealed) is None
    assert Seal(Secret("q" * 32)).open(b"login a", sealed) is None
    assert Seal(None).open(b"login a", sealed) is None
    for at in range(len(sealed)):
        assert Seal(KEY).open(b"login a", sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None
        assert Seal(KEY).open(b"login a", sealed[:at]) is None


def test_a_text_that_is_nearly_it_opens_nothing() -> None:
    """Base64 as Python reads it skips what it does not know, and the last character's spare bits."""
    sealed = Seal(KEY).seal_text(b"p", b"plain")
    changed = {sealed + "=", sealed + "!", sealed[:5] + " " + sealed[5:], sealed + "\n"}
    changed |= {
        sealed[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    }
    for text in changed - {sealed}:
        assert Seal(KEY).open_text(b"p", text) is None


@given(st.text(max_size=80))
def test_no_text_of_the_network_raises(text: str) -> None:
    """A cookie is whatever somebody sends."""
    assert Seal(None).open_text(b"login", text) is None


def test_the_same_text_is_sealed_differently_each_time() -> None:
    """Else a cookie would tell that two people came from the same page."""
    assert Seal(KEY).seal(b"p", b"x") != Seal(KEY).seal(b"p", b"x")
