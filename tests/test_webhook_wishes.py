"""Annotations: what may stand in them, and what is said when something else does."""

from __future__ import annotations

import pytest

from sidecar.webhook.wishes import asked, wishes

ASKING = {"auth-sidecar/inject": "orders"}
LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 characters


@pytest.mark.parametrize("name", ["a", "0", "orders-sidecar", "a.b-c.d", "kube-root-ca.crt", LONGEST])
def test_name_of_a_configmap_or_secret_is_taken(name: str) -> None:
    """RFC 1123 subdomains, up to 253 characters."""
    found = wishes({"auth-sidecar/inject": name, "auth-sidecar/secret": name})
    assert (found.configmap, found.secret, found.problems) == (name, name, [])


@pytest.mark.parametrize(
    "name", ["", " ", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a b", "a\n", "ä", "a/b", "x" + LONGEST]
)
def test_what_is_no_name_is_said_for_each_annotation(name: str) -> None:
    """And not repeated."""
    found = wishes({"auth-sidecar/inject": name, "auth-sidecar/secret": name})
    configmap, secret = found.problems
    assert configmap.startswith("annotation auth-sidecar/inject names no ConfigMap; write the name")
    assert secret.startswith("annotation auth-sidecar/secret names no Secret; write the name")


@pytest.mark.parametrize(
    ("annotations", "asks"),
    [
        ({}, False),
        ({"auth-sidecar/inject": "false"}, False),
        ({"auth-sidecar/inject": "False"}, True),  # is refused
        ({"auth-sidecar/inject": ""}, True),
        ({"auth-sidecar/injection": "orders"}, False),
        (ASKING, True),
    ],
)
def test_who_asks(annotations: dict[str, str], asks: bool) -> None:
    """Whoever has the annotation, unless it says false."""
    assert asked(annotations) is asks


@pytest.mark.parametrize("port", [1024, 8180, 65535])
def test_port_is_taken(port: int) -> None:
    """Those that need no privilege."""
    found = wishes({**ASKING, "auth-sidecar/port": str(port), "auth-sidecar/admin-port": str(port)})
    assert (found.port, found.admin_port, found.problems) == (port, port, [])


@pytest.mark.parametrize(
    "port", ["", "0", "80", "1023", "65536", "99999", "08180", "8180 ", "+8180", "8e3", "٨١٨٠"]
)
def test_what_is_no_port_is_said(port: str) -> None:
    """With how to write one."""
    found = wishes({**ASKING, "auth-sidecar/port": port})
    (said,) = found.problems
    assert (
        said == 'annotation auth-sidecar/port is not a port from 1024 to 65535; write one, in quotes: "8180"'
    )


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"requests": {}},
        {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "0.5Gi"}},
        {"limits": {"cpu": 1, "memory": 134217728, "ephemeral-storage": "1e3", "hugepages-2Mi": "4Mi"}},
        {"limits": {"example.com/device": "1", "cpu": 0.25}},
    ],
)
def test_resources_are_taken_as_they_are(resources: dict[str, object]) -> None:
    """As in a container."""
    import json

    found = wishes({**ASKING, "auth-sidecar/resources": json.dumps(resources)})
    assert (found.resources, found.problems) == (resources, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 4000, "is not JSON"),
        ('{"limits": {"cpu": "' + "1" * 5000 + '"}}', "is not JSON of at most 4096 characters"),
        ("cpu: 50m", "is not JSON"),
        ("[]", "is not an object of limits and requests"),
        ("null", "is not an object of limits and requests"),
        ('{"limit": {}}', "is not an object of limits and requests"),
        ('{"claims": []}', "is not an object of limits and requests"),
        ('{"limits": null}', "has limits or requests that are no object"),
        ('{"limits": {"mem": "1Mi"}}', "names a resource that containers do not have"),
        ('{"limits": {"memory": "1 Mi"}}', 'has an amount of "memory" that is no quantity'),
        ('{"limits": {"memory": "1MB"}}', 'has an amount of "memory" that is no quantity'),
        ('{"limits": {"cpu": "-1"}}', 'has an amount of "cpu" that is no quantity'),
        ('{"limits": {"cpu": -1}}', 'has an amount of "cpu" that is no quantity'),
        ('{"limits": {"cpu": true}}', 'has an amount of "cpu" that is no quantity'),
        ('{"limits": {"cpu": NaN}}', 'has an amount of "cpu" that is no quantity'),
        ('{"limits": {"cpu": 1e999}}', 'has an amount of "cpu" that is no quantity'),
        ('{"limits": {"cpu": "."}}', 'has an amount of "cpu" that is no quantity'),
        ('{"limits": {"cpu": []}}', 'has an amount of "cpu" that is no quantity'),
    ],
)
def test_what_are_no_resources_is_said(text: str, said: str) -> None:
    """An API server would refuse the pod with words about a container its owner never wrote."""
    (problem,) = wishes({**ASKING, "auth-sidecar/resources": text}).problems
    assert problem.startswith(f"annotation auth-sidecar/resources {said}")
    assert "; write " in problem


def test_unknown_annotations_are_told_the_nearest_known_ones() -> None:
    """Three of them; of other prefixes none."""
    strange = {f"auth-sidecar/{name}": "" for name in ("prot", "secrets", "resource", "four", "five")}
    found = wishes({**ASKING, **strange, "auth-sidecar": "", "my.auth-sidecar/port": "1"})
    assert [said.partition("; ")[2] for said in found.warnings] == [
        "did you mean auth-sidecar/port?",
        "did you mean auth-sidecar/secret?",
        "did you mean auth-sidecar/resources?",
    ]
