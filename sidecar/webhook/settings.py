"""The webhook's settings: one YAML file, all of its problems at once, each with file and line.

Owns its keys. The container and the volumes in it are Kubernetes' own words (verbatim.py), checked for what is relied
on (template.py). Nothing is taken from the environment: a `${...}` in them belongs to whoever reads it in the pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError

from sidecar.config.draft import Draft
from sidecar.config.model import Model
from sidecar.config.scalars import text
from sidecar.config.values import Address, DurationFromZero, FilePath, TcpAddress
from sidecar.config.wording import Complaint, complaints
from sidecar.errors import ConfigError
from sidecar.webhook import template
from sidecar.webhook.certificate import Unusable, load_pair
from sidecar.webhook.template import Template
from sidecar.webhook.verbatim import KubernetesObject, KubernetesObjects, verbatim

_PAGE = "docs/commands.md"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _env_name(value: object) -> str:
    found = text(value)
    if not _ENV_NAME.fullmatch(found):
        raise ValueError("is not the name of an environment variable; write something like EGAIN_BASE_URL")
    return found


class Tls(Model):
    """The server's certificate; looked at again once a second."""

    certificate: FilePath = Field(description="PEM file: the certificate and its chain.")
    key: FilePath = Field(description="PEM file: its private key, without a passphrase.")


class Settings(Model):
    """The whole file."""

    listen: Address = Field(default=TcpAddress("0.0.0.0", 8443), description="HOST:PORT.")  # noqa: S104
    tls: Tls = Field(description="The server's certificate.")
    container: KubernetesObject = Field(description="A native sidecar container, as it is put into a pod.")
    volumes: KubernetesObjects = Field(description="Its volumes; names are filled in for each pod.")
    base_url_env: Annotated[str, PlainValidator(_env_name)] = Field(
        default="EGAIN_BASE_URL", description="What other containers find the sidecar's URL in."
    )
    drain: DurationFromZero = Field(
        default=5.0, description="SIGTERM: serve on for so long, while others learn of it."
    )

    def template(self) -> Template:
        return Template.of(self.container, self.volumes, self.base_url_env)


def load(path: Path) -> Settings:
    """Raises ConfigError with every problem found."""
    draft = Draft(expand=lambda scalar: scalar)
    if not draft.read(path):
        raise ConfigError(draft.in_order(draft.problems), draft.stamps)
    flawed = draft.flawed()
    settings, found = _convert(draft.data, {"base": path.absolute().parent})
    problems = [*draft.problems, *(draft.problem(one) for one in found if one.loc not in flawed)]
    if problems or settings is None:
        raise ConfigError(draft.in_order(problems), draft.stamps)
    return settings


def _convert(data: dict[str, Any], context: dict[str, Any]) -> tuple[Settings | None, list[Complaint]]:
    """The settings, and everything that is wrong: one wrong key does not hide what another one holds."""
    settings: Settings | None = None
    found: list[Complaint] = []
    try:
        settings = Settings.model_validate(data, context=context)
    except ValidationError as error:
        found = complaints(error, Settings, _PAGE)
    wrong = {one.loc[0] for one in found}
    if not wrong & {"container", "volumes"}:
        found += template.flaws(verbatim(data["container"]), verbatim(data["volumes"]))
    if "tls" not in wrong:
        found += _certificate(Tls.model_validate(data["tls"], context=context))
    return settings, found


def _certificate(tls: Tls) -> Iterator[Complaint]:
    try:
        load_pair(tls.certificate, tls.key)
    except Unusable as error:
        yield Complaint(("tls", error.part), error.reason)
