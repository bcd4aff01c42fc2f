"""The webhook's settings: what is passed on as it stands, what is relied on, and every problem with its line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from sidecar.config.values import TcpAddress
from sidecar.errors import ConfigError
from sidecar.webhook.settings import Settings, load
from tests.commands import call
from tests.webhook_harness import Pki, pki
from tests.webhook_pods import INJECTED, settings, template


@pytest.fixture
def made(tmp_path: Path) -> Pki:
    return pki(tmp_path)


def written(made: Pki, text: str = INJECTED, **more: Any) -> Path:
    return settings(made.folder, made.certificate, made.key, text, **more)


def problems(path: Path) -> list[str]:
    """What is wrong, without the file's name; the line first."""
    with pytest.raises(ConfigError) as raised:
        load(path)
    return [str(problem).removeprefix(f"{path}:") for problem in raised.value.problems]


def line_of(path: Path, text: str) -> int:
    """Where this stands, once."""
    (number,) = (n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)
    return number


def test_container_and_volumes_are_passed_on_as_kubectl_would_read_them(made: Pki) -> None:
    """Numbers, octal ones too, flags, null and text that looks like any of these; keys nobody here knows."""
    extra = (
        "container:\n  future: {a: 017, b: '017', c: \"true\", d: false, e: -1.5, f: null, g: 1e3, h: ${HOME}x,\n"
        "    i: '${HOME}', j: [on, 0, 00, 1_000], k: {}}\n"
    )
    found = load(written(made, INJECTED.replace("container:\n", extra.replace("${HOME}x", '"${HOME}x"'))))
    assert found.container["future"] == {
        "a": 15, "b": "017", "c": "true", "d": False, "e": -1.5, "f": None, "g": 1000.0, "h": "${HOME}x",
        "i": "${HOME}", "j": ["on", 0, 0, "1_000"], "k": {},
    }  # fmt: skip
    assert found.volumes[1]["secret"]["defaultMode"] == 0o444
    assert found.container["env"][2] == {"name": "EGAIN_TENANT", "value": "0123"}
    assert json.loads(json.dumps(found.container)) == found.container


def test_example_of_the_documentation_loads(made: Pki) -> None:
    """Word for word, but for where the certificate is; its defaults are the defaults."""
    page = (Path(__file__).parent.parent / "docs" / "commands.md").read_text()
    (example,) = re.findall(r"^```yaml\n(listen: .*?)^```$", page, re.MULTILINE | re.DOTALL)
    path = made.folder / "settings.yaml"
    path.write_text(example.replace("/etc/auth-sidecar-webhook/tls", str(made.folder)))
    found = load(path)
    for name in ("listen", "base_url_env", "drain"):
        assert getattr(found, name) == Settings.model_fields[name].default
    assert found.template().secret == "egain-client"


def test_defaults(made: Pki) -> None:
    """What the chart need not write."""
    path = written(made)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    found = load(path)
    assert (str(found.listen), found.base_url_env, found.drain) == ("0.0.0.0:8443", "EGAIN_BASE_URL", 5.0)


def test_files_of_the_certificate_are_relative_to_the_settings(made: Pki) -> None:
    """As in a configuration."""
    found = load(settings(made.folder, Path("tls.crt"), Path("tls.key")))
    assert found.tls.certificate == made.certificate


def test_ports_come_from_the_container(made: Pki) -> None:
    """And are the sidecar's own defaults where it does not say."""
    text = INJECTED.replace("127.0.0.1:8080", "[::1]:7000")
    assert template(written(made, text)).listen == TcpAddress("::1", 7000)
    cut = INJECTED.replace("AUTH_SIDECAR_LISTEN", "X").replace("AUTH_SIDECAR_ADMIN", "Y")
    found = template(written(made, cut))
    assert (found.listen, found.admin) == (TcpAddress("127.0.0.1", 8080), TcpAddress("0.0.0.0", 8081))


WRONG: dict[str, tuple[str, str, str, str]] = {
    "another name": (
        "  name: auth-sidecar\n", "  name: sidecar\n", "  name: sidecar", "container.name: is not auth-sidecar",
    ),
    "no native sidecar": (
        "restartPolicy: Always", "restartPolicy: Never", "restartPolicy", "container.restartPolicy: is not Always",
    ),
    "no admin port": (
        "{name: admin,", "{name: metrics,", "  ports:", "container.ports: needs one port named admin",
    ),
    "another admin port": (
        "containerPort: 8081", "containerPort: 8082", "  ports:", "container.ports: needs one port named admin",
    ),
    "open to other pods": (
        "127.0.0.1:8080", "0.0.0.0:8080", "  env:", "container.env: AUTH_SIDECAR_LISTEN is not a loopback address",
    ),
    "unix socket": (
        "127.0.0.1:8080", "unix:/run/x", "  env:", "container.env: AUTH_SIDECAR_LISTEN is a unix socket",
    ),
    "no address": (
        '"0.0.0.0:8081"', '"nowhere"', "  env:", "container.env: AUTH_SIDECAR_ADMIN needs a host",
    ),
    "env as a mapping": (
        "  args:", "  env: {A: b}\n  args:", "container:", "container: has env or ports that are no lists",
    ),
    "configuration's volume": (
        "- name: auth-sidecar-config\n    configMap", "- name: config\n    configMap", "volumes:",
        "volumes: needs one volume auth-sidecar-config, of kind configMap",
    ),
    "secret's volume": (
        "  - name: auth-sidecar-secret\n    secret", "  - name: auth-sidecar-secret\n    csi",
        "- name: auth-sidecar-secret", "volumes[1]: is not of kind secret",
    ),
    "volume without a name": (
        "volumes:\n", "volumes:\n  - {emptyDir: {}}\n", "- {emptyDir", "volumes[0].name: is missing",
    ),
    "unknown key": (
        "container:\n", "containr: {}\ncontainer:\n", "containr", "containr: unknown key; did you mean container?",
    ),
    "routes": (
        "container:\n", "routes: [{include: /etc/passwd}]\ncontainer:\n", "routes", "routes: unknown key",
    ),
    "container of another kind": (
        "container:\n", "container: [a]\nx:\n", "container: [a]", "container: is not a mapping; write the object",
    ),
    "volumes of another kind": (
        "volumes:\n", "volumes: all\nx:\n", "volumes: all", "volumes: is not a list of mappings",
    ),
    "variable's name": (
        "container:\n", "base_url_env: EGAIN-URL\ncontainer:\n", "base_url_env",
        "base_url_env: is not the name of an environment variable",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_settings_are_told_with_their_line(made: Pki, old: str, new: str, at: str, said: str) -> None:
    """`FILE:LINE: key: what is wrong; what to do`."""
    if old == "  args:":
        text = INJECTED.replace("  env:\n", "  envv:\n").replace(old, new)
    else:
        text = INJECTED.replace(old, new, 1)
    path = written(made, text)
    found = [one for one in problems(path) if said in one]
    assert len(found) == 1, problems(path)
    assert found[0].startswith(f"{line_of(path, at)}: {said}")
    assert "; " in found[0]


def test_all_problems_at_once(made: Pki) -> None:
    """One start, one list."""
    path = written(made, INJECTED.replace("Always", "Never").replace("name: admin,", "name: x,"), drain="5")
    made.key.unlink()
    assert [one.split(": ")[1] for one in problems(path)] == [
        "drain",
        "tls.key",
        "container.restartPolicy",
        "container.ports",
    ]


def test_missing_keys_are_told(made: Pki) -> None:
    """Each by its name."""
    path = made.folder / "settings.yaml"
    path.write_text("listen: 127.0.0.1:0\n")
    assert problems(path) == [f"1: {key}: is missing; add it" for key in ("tls", "container", "volumes")]
    path.write_text("tls: here\ncontainer: {}\nvolumes: []\n")
    first, *others = problems(path)
    assert first == "1: tls: is not a mapping; write KEY: VALUE lines below it, see docs/commands.md"
    assert [one.split(": ")[1] for one in others] == [
        "container.name",
        "container.restartPolicy",
        "container.ports",
        "volumes",
        "volumes",
    ]


def test_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """Exit 2, like any other."""
    assert problems(tmp_path / "none.yaml") == ["1: (file): does not exist; correct the path"]


def encrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("certificate", None, "does not exist"),
        ("certificate", b"", "has no certificate that can be read"),
        (
            "certificate",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "has no certificate",
        ),
        ("certificate", b"\xff\x00", "has no certificate that can be read"),
        ("key", None, "does not exist"),
        ("key", b"", "is not the certificate's private key"),
        ("key", trustme.CA().issue_cert("x").private_key_pem.bytes(), "is not the certificate's private key"),
        ("key", encrypted(), "without a passphrase"),
    ],
)
def test_certificate_that_cannot_be_served_with_is_a_problem(
    made: Pki, part: str, content: bytes | None, said: str
) -> None:
    """Of the key whose file is wrong; a passphrase is not asked for at the terminal."""
    file = getattr(made, part)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    path = written(made)
    (found,) = problems(path)
    assert found.startswith(f"{line_of(path, f'  {part}:')}: tls.{part}: ")
    assert said in found


def test_directory_instead_of_a_file_is_named(made: Pki) -> None:
    """Not OpenSSL's words."""
    made.key.unlink()
    made.key.mkdir()
    (found,) = problems(written(made))
    assert "tls.key: is a directory; name a file" in found
    shutil.rmtree(made.key)


def test_command_prints_every_problem_and_exits_2(made: Pki) -> None:
    """Nothing is listened on."""
    path = written(made, INJECTED.replace("Always", "Never"))
    made.key.write_text("")
    result = call("webhook", path)
    assert (result.exit_code, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{path}:")
    assert "tls.key" in first
    assert "container.restartPolicy" in second
