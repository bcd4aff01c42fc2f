"""Token answers and key sets as strangers may bend them: never anything but a usable token or a failure.

Owns what "usable" means, said again (the contract's section 6).
"""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

from sidecar.config.schema import Tokens
from sidecar.oauth.answer import OAUTH_ERRORS, Failure, Issued, Reply, read
from sidecar.oauth.hint import times
from sidecar.oauth.keyset import KEY_OF, read_keys
from tests.fuzz.mutation import bounded, mutated

_SECRET, _WALL = "s3cr3t-canary", 1_800_000_000.0
_TOKENS = Tokens()
_GOOD = [
    b'{"access_token":"abc","token_type":"Bearer","expires_in":3600,"scope":"a b"}',
    b'{"access_token":"eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDM2MDAsImlhdCI6MTgwMDAwMDAwMH0.c2ln"}',
    b'{"error":"invalid_grant","error_description":"no s3cr3t-canary\\u2028 \\u001b[31m here"}',
    b'{"error":{"code":1},"message":"x","developerMessage":"s3cr3t-canary"}',
    b"\xef\xbb\xbf" + b'{"access_token":"a","expires_in":"12.5"}',
]
_WORDS = [
    b"1e400", b"NaN", b"-1", b"true", b"null", b"[]", b"{}", b'"', b"\\", b"\\ud800", b"\\u0000", b"\xff", b",", b":",
    b'"access_token"', b'"expires_in"', b'"token_type"', b'"mac"', b"0.0000000001", b"[" * 2000, b"9" * 5000, b"\r\n",
    b"s3cr3t-canary", b"1" + b"0" * 99, b"\xc2\xa0",
]  # fmt: skip
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(_SECRET)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["access_token", "token_type", "expires_in", "scope", "error", "error_description", "message", "code"]
)
_NUMBERS = st.sampled_from(
    [0, -1, 1, 3600, 0.5, 1e-9, 1e18, 10**25, True, "3600", "-1", "0", "1e3", "", " 60", "inf", None]
)
_TOKENS_GIVEN = st.fixed_dictionaries(
    {"access_token": st.sampled_from(["abc", "a b", "", "é", "x\r\n", "Bearer x", "a.e30.c"])},
    optional={"expires_in": _NUMBERS, "token_type": st.sampled_from(["bearer", "BEARER", "mac", "", None, 1]),
              "scope": st.sampled_from(["a b", "", None, 7])},
)  # fmt: skip
BODIES = st.one_of(
    _TOKENS_GIVEN.map(lambda found: json.dumps(found).encode()),
    mutated(_GOOD, _WORDS),
    st.dictionaries(_NAMES, _JSON, max_size=5).map(lambda found: json.dumps(found).encode()),
    st.binary(max_size=60),
)
STATUSES = st.sampled_from(
    [100, 200, 200, 200, 201, 204, 301, 307, 400, 401, 403, 408, 418, 429, 500, 503, 599, 999]
)
RETRY_AFTER = st.one_of(
    st.none(),
    st.sampled_from(
        ["0", "7", "-1", "1e9", "9" * 12, "9" * 400, "١", "Fri, 31 Dec 9999 23:59:59 GMT",
         "Thu, 01 Jan 1970 00:00:00 GMT",
         "Mon, 99 Foo 2027 99:99:99 GMT", "Fri, 15 Jan 2027 08:00:07 GMT", "Fri, 15 Jan 2027 08:00:07 +99999999"]
    ),
    st.text(max_size=20),
)  # fmt: skip


def check_answer(status: int, body: bytes, retry_after: str | None) -> None:
    """A token of visible ASCII with a bounded life, or a failure whose words are bounded and give nothing away."""
    with bounded(2.0):
        result = read(Reply(status, body, retry_after), wall=_WALL, tokens=_TOKENS, hide=[_SECRET])
    if isinstance(result, Issued):
        assert status < 300
        assert re.fullmatch(r"[!-~]+", result.value), "a token that is not visible ASCII"
        assert 0 < result.lifetime <= _TOKENS.max_lifetime
        assert result.value == json.loads(body)["access_token"], "a token that was not in the answer"
    else:
        assert isinstance(result, Failure)
        assert result.outcome in ("refused", "throttled", "unavailable", "malformed")
        assert result.reason in OAUTH_ERRORS | {"malformed", "http_429", "http_4xx", "http_5xx"}
        assert result.oauth_error is None or result.oauth_error in OAUTH_ERRORS
        assert result.retry_after is None or 0 <= result.retry_after <= 3600
        assert result.detail.isprintable()
        assert len(result.detail) < 300
        assert _SECRET not in result.detail, "a secret in a failure's words"


# -- what is read of JWTs and key sets -------------------------------------------------------------------------

_KEYS = [
    b'{"keys":[{"kty":"RSA","kid":"1","n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95'
    b"GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_Nxs"
    b"iIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC"
    b'2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw","e":"AQAB"}]}',
    b'{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",'
    b'"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","alg":"ES256","use":"sig"}]}',
    b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
    b'{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMko"}]}',
]
KEY_SETS = mutated(
    _KEYS, [*_WORDS, b'"kty"', b'"oct"', b'"crv"', b"P-521", b"AA", b"", b'"alg":"none"', b'"use":"enc"']
)


def check_key_set(raw: bytes) -> None:
    """Keys, or ValueError; symmetric ones are never among them. The same text as a JWT's claims: times, or none."""
    with bounded(5.0):
        try:
            found = read_keys(raw)
        except ValueError:
            found = None
    for key in found or ():
        assert not isinstance(key.public, bytes | str), "a symmetric key"
        assert not hasattr(key.public, "private_numbers"), "a private key"
        assert sum(key.verifies(name, key.kid) for name in KEY_OF) <= 6, "a key for algorithms of two kinds"
    said = times(f"x.{raw.decode('latin-1')}.y")
    assert said.exp is None or 0 < said.exp < 1e12
