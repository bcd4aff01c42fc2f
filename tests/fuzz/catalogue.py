"""All targets, in the order in which they run."""

from __future__ import annotations

from tests.fuzz import documents, exposition, fields, live, paths, rawhttp, tokenanswers
from tests.fuzz.keeper import KeeperMachine
from tests.fuzz.running import Target
from tests.fuzz.upstream import UpstreamMachine
from tests.test_openapi_generated import PLAN

TARGETS: tuple[Target, ...] = (
    Target(
        "keeper", "tokens: time, answers, faults, requests, 401s, reloads", machine=KeeperMachine, share=6
    ),
    Target(
        "raw-http",
        "raw requests through a running sidecar, against h11",
        (rawhttp.STREAMS, rawhttp.CUTS),
        rawhttp.check_stream,
        ready=live.running,
        share=6,
    ),
    Target(
        "upstream",
        "an upstream that answers in every way",
        machine=UpstreamMachine,
        ready=live.running,
        share=6,
    ),
    Target("targets", "request targets against an oracle", (paths.TARGETS,), paths.check_target),
    Target("routes", "route tables against an oracle", (paths.PATTERNS, paths.PATHS), paths.check_routes),
    Target("fields", "request fields against an oracle", (fields.FIELDS,), fields.check_fields),
    Target("subjects", "subjects and bearer tokens", (fields.SUBJECTS,), fields.check_subject),
    Target(
        "token-answers",
        "token endpoints' answers",
        (tokenanswers.STATUSES, tokenanswers.BODIES, tokenanswers.RETRY_AFTER),
        tokenanswers.check_answer,
    ),
    Target("key-sets", "key sets, and JWTs' times", (tokenanswers.KEY_SETS,), tokenanswers.check_key_set),
    Target(
        "configs",
        "configuration files",
        (documents.CONFIGS, documents.INCLUDED),
        documents.check_config,
        ready=documents.folder,
        share=3,
    ),
    Target(
        "specs",
        "OpenAPI documents",
        (documents.SPECS, PLAN),
        documents.check_spec,
        ready=documents.folder,
        share=2,
    ),
    Target("maps", "route files read back", (documents.MAPS,), documents.check_map, ready=documents.folder),
    Target(
        "metadata",
        "tenants' metadata",
        (documents.METADATA,),
        documents.check_metadata,
        ready=documents.folder,
    ),
    Target("exposition", "metrics with hostile labels", (exposition.LABELS,), exposition.check_exposition),
)
