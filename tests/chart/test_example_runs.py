"""The example's pod, played on this machine: its three containers' commands, its configuration, and `helm test`.

What a pod would add is not here: images, probes by a kubelet, mounts (paths are redirected to a folder).
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helms import Rendered, one

pytestmark = pytest.mark.chart

Render = Callable[[dict[str, Any]], Rendered]
Rewrite = Callable[[str], str]


def free_port() -> str:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def started(container: dict[str, Any], rewrite: Rewrite, log: Path) -> Iterator[subprocess.Popen[str]]:
    """A container's program, its output in a file; ended with SIGTERM, as the kubelet would."""
    command = container.get("command") or ["auth-sidecar"]
    programs = {"python": [sys.executable], "auth-sidecar": [sys.executable, "-m", "sidecar"]}
    arguments = [rewrite(argument) for argument in [*command[1:], *container.get("args", [])]]
    env = {entry["name"]: rewrite(entry["value"]) for entry in container.get("env", [])}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*programs[command[0]], *arguments],
            env=env | {"PATH": ""},
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=40)


def wait_for(process: subprocess.Popen[str], log: Path, text: str) -> None:
    """Until a text is in a program's output; fails with that output when the program ends first, or after a minute."""
    deadline = time.monotonic() + 60
    while text not in log.read_text():
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, log.read_text()
        else:
            assert text in log.read_text(), log.read_text()


def test_the_example_works_with_no_account(render: Render, tmp_path: Path) -> None:
    """Stand-in, sidecar and app, started as in the pod: the app gets its answers, and `helm test`'s program passes."""
    rendered = render({"example": {"enabled": True}})
    spec = one(rendered, "Deployment", "-example")["spec"]["template"]["spec"]
    stand_in, sidecar = spec["initContainers"]
    (app,) = spec["containers"]
    ports = {number: free_port() for number in ("9000", "8080", "8081")}

    def rewrite(text: str) -> str:
        for number, free in ports.items():
            text = free if text == number else text.replace(f":{number}", f":{free}")
        text = text.replace("0.0.0.0:", "127.0.0.1:").replace("/etc/auth-sidecar", str(tmp_path))
        return text.replace("/var/run/secrets/egain", str(tmp_path))

    for kind in ("ConfigMap", "Secret"):
        made = one(rendered, kind, "-example")
        for name, text in (made.get("data") or made["stringData"]).items():
            (tmp_path / name).write_text(rewrite(text) if kind == "ConfigMap" else text)
    logs = {name: tmp_path / f"{name}.log" for name in ("stand-in", "sidecar", "app")}
    with ExitStack() as pod:
        first = pod.enter_context(started(stand_in, rewrite, logs["stand-in"]))
        wait_for(first, logs["stand-in"], "eGain stand-in")
        probe = stand_in["startupProbe"]["exec"]["command"]
        program = probe[2].replace("9000", ports["9000"])
        subprocess.run([sys.executable, probe[1], program], check=True, timeout=30)
        second = pod.enter_context(started(sidecar, rewrite, logs["sidecar"]))
        wait_for(second, logs["sidecar"], "token_obtained")
        third = pod.enter_context(started(app, rewrite, logs["app"]))
        wait_for(third, logs["app"], "PROD-1000 200")
        (test,) = one(rendered, "Pod", "-example-test")["spec"]["containers"]
        env = {"EXAMPLE_URL": f"http://127.0.0.1:{ports['8081']}"}
        assert [entry["name"] for entry in test["env"]] == list(env)
        command = [sys.executable, *test["command"][1:], *test["args"]]
        said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert said.stdout.startswith("requests answered with 200: "), said.stderr
    assert (second.returncode, third.returncode) == (0, 0)
