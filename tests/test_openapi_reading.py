"""Documents are read within bounds: YAML and JSON, and what is refused of either with the line it stands in."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar.openapi.building import MAX_DEPTH, DocumentError, Entry
from sidecar.openapi.reading import MAX_BYTES, read

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (BOMB, 7, "aliases count in full"),
        ("a: b\nc: !!python/object/apply:os.system [id]\n", 2, "has a tag"),
        ("a: !secret x\n", 1, "has a tag"),
        ("a: b\n  c: d\n", 2, "is not valid YAML"),
        ("a: *nowhere\n", 1, "alias"),
        ("a: &a [*a]\n", 1, "alias"),
        ("? [a]\n: b\n", 1, "key that is not text"),
        ("a: 1\n---\nb: 2\n", 2, "second YAML document"),
        ("a: \x01\n", 1, "character that YAML forbids"),
        ("- a\n", 1, "is not a mapping"),
        ("", 1, "is not a mapping"),
        ("[" * 5000, 1, "levels deep"),
        ('{"a":' * 5000, 1, "levels deep"),
        ('{"a":' + "[" * 200 + "]" * 200 + "}", 1, "levels deep"),
        ("a:\n  $ref: other.yaml#/x\n", 2, "leads out of the document"),
        ('{"a": {"$ref": "https://example.com/x"}}', 1, "leads out of the document"),
        ("a:\n  $ref: file:///etc/passwd\n", 2, "leads out of the document"),
    ],
    ids=[
        "alias bomb", "python tag", "unknown tag", "no YAML", "unknown alias", "alias of itself", "list as key",
        "two documents", "control character", "list", "nothing", "deep YAML", "deep broken JSON", "deep JSON",
        "file reference", "URL reference", "file URL",
    ],
)  # fmt: skip
def test_hostile_document_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    """In words, and before it costs anything."""
    with pytest.raises(DocumentError, match=said) as caught:
        read(text.encode())
    assert caught.value.line == line


def test_large_document_is_refused_unread() -> None:
    """Whatever is in it."""
    with pytest.raises(DocumentError, match="larger than 8 MiB"):
        read(b"\x00" * (MAX_BYTES + 1))


def test_other_encodings_are_refused_with_the_line() -> None:
    """UTF-8 is what JSON and OpenAPI want."""
    with pytest.raises(DocumentError, match="not UTF-8") as caught:
        read(b"a: b\nc: \xff\n")
    assert caught.value.line == 2


def test_depth_up_to_the_bound_is_read() -> None:
    """At the bound and one above it."""
    nested = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert isinstance(read(nested.encode()).tree["a"], list)
    with pytest.raises(DocumentError, match="levels deep"):
        read(nested.replace("[]", "[[]]").encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: true", True), ("a: 'true'", "true"), ("a: yes", "yes"), ("a: null", None), ("a:", None),
        ("a: 017", "017"), ("a: 1e9", "1e9"), ("a: !!str true", True), ("a: 2024-01-01", "2024-01-01"),
        ('{"a": 12}', "12"), ('{"a": true}', True), ('{"a": NaN}', "NaN"), ('{"a": null}', None),
        ("{a: x}", "x"),
    ],
)  # fmt: skip
def test_scalars_are_text_true_false_or_nothing(text: str, value: object) -> None:
    """No number, date or octal is made of what somebody wrote."""
    assert read(text.encode()).tree["a"] == value


def test_number_of_a_million_digits_costs_nothing() -> None:
    """It stays text."""
    assert len(str(read(b'{"a": ' + b"9" * 1_000_000 + b"}").tree["a"])) == 1_000_000


def test_key_given_twice_is_reported_and_the_last_one_counts() -> None:
    """As every other reader has it, but not in silence."""
    found = read(b"a: 1\nb: 2\na: 3\n")
    assert found.tree["a"] == "3"
    assert [(flaw.line, flaw.message.partition(";")[0]) for flaw in found.flaws] == [
        (3, "a is given twice in one mapping")
    ]
    assert len(read(b'{"a": 1, "a": 2}').flaws) == 1


def test_aliases_and_merge_keys_are_followed() -> None:
    """What YAML's other readers do with them; a member of one's own comes first."""
    tree = read(b"x: &x {a: 1, b: 2}\ny: *x\nz: {<<: *x, b: 3}\nw: {<<: [*x], c: 4}\n").tree
    assert tree["y"] == {"a": "1", "b": "2"}
    assert tree["z"] == {"a": "1", "b": "3"}
    assert tree["w"] == {"a": "1", "b": "2", "c": "4"}


def test_mappings_know_their_line() -> None:
    """What complaints name."""
    inner = read(b"a:\n  b:\n    c: d\n").tree["a"]
    assert isinstance(inner, Entry)
    assert inner.line == 2


def test_byte_order_mark_is_no_part_of_it() -> None:
    """Windows' editors write one."""
    assert read(b"\xef\xbb\xbfa: b\n").tree == {"a": "b"}
    assert read(b'\xef\xbb\xbf{"a": "b"}').tree == {"a": "b"}


def test_digest_is_the_files() -> None:
    """As sha256sum prints it."""
    assert read(b"a: b\n").sha256 == hashlib.sha256(b"a: b\n").hexdigest()


def test_progress_never_runs_back_and_ends_with_everything() -> None:
    """What a progress bar is drawn from."""
    shares: list[float] = []
    read("".join(f"k{n}: [a, b]\n" for n in range(5000)).encode(), shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 5
    assert shares[-1] == 1.0


def refusal(raw: bytes) -> DocumentError | None:
    try:
        read(raw)
    except DocumentError as error:
        return error
    return None


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSONS = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=20,
)


@UNHURRIED
@given(st.dictionaries(st.text(max_size=8).filter(lambda key: key != "$ref"), JSONS, max_size=4))
def test_json_is_read_whatever_is_in_it(mapping: dict[str, object]) -> None:
    """Every JSON object is a document's bytes; a reference out of it is the only thing refused."""
    refused = refusal(json.dumps(mapping).encode())
    assert refused is None or "leads out" in refused.message


@UNHURRIED
@given(
    st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#?,%@ \n\t<0", max_size=60).map(str.encode)
)
@example(b"%YAML 9.9\n---\na: b\n")
@example(b"{")
@example(b"a: |\n\tb")
def test_no_bytes_make_it_crash(raw: bytes) -> None:
    """A tree, or one error in words."""
    refused = refusal(raw)
    assert refused is None or (refused.line >= 1 and refused.message.isprintable())
