"""The image as a pod runs it: nothing can be written, no capability, 128 MB, a user that nobody knows."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.image.asking import PATIENCE, ask
from tests.image.podman import RESTRICTED, ROOT, TAG, container, podman, until
from tests.image.sidecar import Running, configuration, running
from tests.webhook_harness import SERVICE, pki
from tests.webhook_pods import settings

pytestmark = pytest.mark.image

FROM_SOURCE = re.compile(r"^# code object from (/.*\.py)$", re.MULTILINE)
FROM_BYTECODE = re.compile(r"^# code object from '(/.*\.pyc)'$", re.MULTILINE)
# Neither is there to be started: /bin/sh is the first one.
NO_SHELL = ("--volume=/dev/null:/usr/bin/dash:ro", "--volume=/dev/null:/usr/bin/bash:ro")
PORTAL = "/knowledge/portalmgr/v4/portals/PROD-1000"


def once(*command: str, folder: Path | None = None) -> tuple[int, str, str]:
    """One command in a container of its own: exit code, standard output, standard error."""
    mount = [f"--volume={folder}:/etc/auth-sidecar:ro"] if folder else []
    done = podman(
        "run", "--rm", *RESTRICTED, "--network=host", "--user=1000700000:0", "--unsetenv=HOME", *NO_SHELL, *mount,
        TAG, *command, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def memory_of(pid: int) -> tuple[int, int]:
    """Bytes that its control group may have, and had at most; of version 1 or 2, whichever this machine has."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    groups = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    if "memory" in groups:
        folder, names = "memory" + groups["memory"], ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
    else:
        folder, names = groups[""], ("memory.max", "memory.peak")
    limit, peak = (int(Path("/sys/fs/cgroup/" + folder, name).read_text()) for name in names)
    return limit, peak


def echo(sidecar: Running) -> dict[str, object]:
    """Whom the API took the caller for."""
    answer = ask(sidecar.proxy, "/demo/echo")
    assert answer.status == 200, answer.text
    told = json.loads(answer.body)["servedFor"]
    assert isinstance(told, dict)
    return told


def test_request_gets_its_token_with_everything_taken_away(image: str, egain: str, tmp_path: Path) -> None:
    """Any user, no HOME, no capability, no new privilege, nothing writable, no shell; within its memory."""
    with running(configuration(tmp_path / "etc", egain), *NO_SHELL) as sidecar:
        assert echo(sidecar)["scope"] == "app.knowledge.portalmgr.read"
        as_alice = ask(sidecar.proxy, "/demo/echo/agent", X_On_Behalf_Of="alice")
        assert json.loads(as_alice.body)["servedFor"]["subject"] == "alice"
        for _ in range(300):
            assert ask(sidecar.proxy, PORTAL, Accept_Language="en-US").status == 200
        pid = sidecar.container.pid
        process = status_of(pid)
        assert process["Uid"].split() == [str(sidecar.uid)] * 4
        assert {process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert process["NoNewPrivs"] == "1"
        assert process["Threads"]
        root = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        assert [line.split()[5].split(",")[0] for line in root if line.split()[4] == "/"] == ["ro"]
        limit, peak = memory_of(pid)
        assert limit == 128 << 20
        print(
            f"\n128 MB: {peak / 1e6:.0f} MB at most, {int(process['VmHWM'].split()[0]) / 1e3:.0f} MB resident"
        )
        assert peak < limit // 2, "half of it is for traffic"


def test_memory_limit_is_real_on_this_machine(image: str) -> None:
    """A process that takes 200 MB is killed, and is not with more: what the others ran within is no declaration."""
    hungry = ("-c", "held = bytearray(200_000_000); print(len(held))")
    for limit, code in (("128m", 137), ("512m", 0)):
        memory = (f"--memory={limit}", f"--memory-swap={limit}")
        with container(*memory, "--entrypoint=/opt/auth-sidecar/bin/python", command=hungry) as made:
            assert made.wait() == code
            assert ("200000000" in made.log) is (code == 0)


def test_no_module_is_compiled_at_run_time(image: str, egain: str, tmp_path: Path) -> None:
    """Python says where it took each module's code from, from the start to the end of a process that served."""
    folder = configuration(tmp_path / "etc", egain)
    with running(folder, environment={"PYTHONVERBOSE": "1"}) as sidecar:
        for path in ("/demo/echo", "/demo/echo/anonymous", PORTAL, "/no/such/route"):
            ask(sidecar.proxy, path)
        for path in ("/metrics", "/status", "/status.json", "/config", "/healthz"):
            assert ask(sidecar.admin, path).status == 200
        sidecar.container.signal("TERM")
        assert sidecar.container.wait() == 0
        said = sidecar.container.log
    assert FROM_SOURCE.findall(said) == []
    assert len(FROM_BYTECODE.findall(said)) > 400
    elsewhere = {"PYTHONVERBOSE": "1", "PYTHONPYCACHEPREFIX": "/nowhere"}
    with running(folder, environment=elsewhere) as sidecar:
        assert len(FROM_SOURCE.findall(sidecar.container.log)) > 200, "a missing one would have been seen"


@pytest.mark.parametrize("command", ["schema", "check", "explain", "doctor", "token", "routes"])
def test_command_works_without_anything_to_write(
    command: str, image: str, egain: str, tmp_path: Path
) -> None:
    """Each of them once, with the same configuration, and its own sign of success."""
    folder = configuration(tmp_path / "etc", egain)
    (folder / "portal.yaml").write_bytes((ROOT / "tests" / "specs" / "portal.yaml").read_bytes())
    file = "/etc/auth-sidecar/sidecar.yaml"
    words, sign = {
        "schema": (("schema",), '"auth-sidecar configuration"'),
        "check": (("check", file), "is fine: 33 routes"),
        "explain": (("explain", file, "GET", "/demo/echo"), "client_credentials"),
        "doctor": (("doctor", file), "ok"),
        "token": (("token", file, "app"), "app.knowledge.portalmgr.read"),
        "routes": (("routes", "--credential", "app=app", "/etc/auth-sidecar/portal.yaml"), "credential: app"),
    }[command]
    code, out, err = once(*words, folder=folder)
    assert code == 0, out + err
    assert sign in out + err


def test_version_is_the_labels(image: str) -> None:
    """`--version` and the image's label cannot differ."""
    code, out, _ = once("--version")
    label = podman(
        "image", "inspect", "--format", '{{index .Labels "org.opencontainers.image.version"}}', image
    )
    assert (code, out) == (0, f"auth-sidecar {label.stdout}")


def test_demo_and_stand_in_run_from_the_same_image(image: str) -> None:
    """Both write nothing but the demo's configuration, into /dev/shm; both end when told to."""
    with container(*RESTRICTED, "--user=1000700001:0", command=("demo", "--port=0")) as made:
        until(lambda: "\ncurl " in made.log or not made.pid, "the demo's curl lines")
        assert made.log.count("\ncurl ") == 5, made.log
        made.signal("TERM")
        assert made.wait() == 0
    python = "--entrypoint=/opt/auth-sidecar/bin/python"
    with container(*RESTRICTED, python, command=("-m", "sidecar.demo", "--port=9000")) as made:
        until(lambda: "http://127.0.0.1:9000" in made.log or not made.pid, "the stand-in's address")
        made.signal("TERM")
        assert made.wait() == 0


def test_webhook_serves_from_the_same_image(image: str, tmp_path: Path) -> None:
    """Restricted in the same way: it reads its settings and its certificate, and answers over TLS."""
    folder = tmp_path / "etc"
    folder.mkdir()
    certificates = pki(folder)
    inside = Path("/etc/auth-sidecar-webhook")
    settings(folder, inside / "tls.crt", inside / "tls.key", drain="500ms")
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o444)
    with container(
        *RESTRICTED, "--network=host", "--user=1000700002:0", "--unsetenv=HOME", f"--volume={folder}:{inside}:ro",
        command=("webhook", f"{inside}/settings.yaml"),
    ) as made:  # fmt: skip
        until(lambda: made.events("listening") or not made.pid, "listening")
        assert made.events("listening"), made.log
        port = int(made.events("listening")[0]["webhook"].rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            certificates.client().wrap_socket(plain, server_hostname=SERVICE) as tls,
        ):
            tls.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.0 200 ")
        made.signal("TERM")
        assert made.wait() == 0
