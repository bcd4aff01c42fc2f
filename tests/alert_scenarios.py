"""What happens to sidecars, and which alerts that is worth: none at all for most of it.

Owns the list. Times are minutes; a scenario names every alert that fires in it, so that each one also shows that
the other rules keep quiet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.alert_pods import END, HOUR, Pod, always, at, during

# Nothing is wrong before this minute. The application's tokens, obtained at 0, are refreshed at 29 and run out at 60.
T = 20
EVER = range(T, END)
_AGENT_503 = 'errors_total{route="mine",code="token_unavailable"}'
_AGENT_502 = 'errors_total{route="mine",code="token_refused"}'
_OVERLOADED = 'errors_total{route="search",code="overloaded"}'
_GAPS = 'route_map_gaps_total{route="search",lacks="scope"}'
_RELOADED = "config_last_reload_successful"
_CERTIFICATE = "webhook_certificate_not_after_timestamp_seconds"


@dataclass(frozen=True)
class Fires:
    """Not yet at `quiet_at`; without a break from `firing_at` to `until`; over at `over_at`, if it ends."""

    quiet_at: int
    firing_at: int
    until: int = END - 1
    over_at: int | None = None
    series: int = 1  # as many pages


@dataclass(frozen=True)
class Scenario:
    name: str
    pods: list[Pod]
    fires: dict[str, Fires] = field(default_factory=dict)


def _replays(outcome: str) -> str:
    return f'replays_total{{route="search",outcome="{outcome}"}}'


def _failures(credential: str, reason: str) -> str:
    return f'token_failures_total{{credential="{credential}",reason="{reason}"}}'


def _requests(credential: str, trigger: str, outcome: str) -> str:
    return f'token_requests_total{{credential="{credential}",trigger="{trigger}",outcome="{outcome}"}}'


_ONCE = at([T])
_UNLUCKY = {  # one of everything that is counted when something goes wrong, in the same minute
    **{_replays(outcome): _ONCE for outcome in ("ok", "rejected_again", "not_replayable")},
    **{
        _failures(name, reason): _ONCE
        for name in ("app", "agent", "okta")
        for reason in ("invalid_client", "invalid_grant", "invalid_scope", "http_4xx", "http_429", "timeout")
    },
    **{
        _requests("app", trigger, outcome): _ONCE
        for trigger in ("ahead", "rejected", "startup")
        for outcome in ("refused", "throttled", "unavailable", "malformed")
    },
    'errors_total{route="search",code="token_unavailable"}': _ONCE,
    'errors_total{route="search",code="token_refused"}': _ONCE,
    _OVERLOADED: _ONCE,
    _GAPS: _ONCE,
    'route_map_gaps_total{route="search",lacks="persona"}': _ONCE,
}

_TIMEOUT = "unavailable timeout"
_WRONG_SECRET = "refused invalid_client"
_TWO = ("app-1", "app-2")
# A user was deleted: the refresh of their token is refused, it runs out, and callers go on asking in their name.
_DELETED = {
    _requests("agent", "ahead", "refused"): at(range(T, T + 15), 2),
    _requests("agent", "demand", "refused"): at(range(T + 15, END), 2),
    _failures("agent", "invalid_grant"): at(EVER, 2),
    _AGENT_502: at(range(T + 15, END), 20),
}
_ROLLING = [
    Pod(
        f"app-{number}",
        up=range(10 * number, 10 * number + 15),
        # the first try of each new pod is throttled, and its first requests come before the second
        grows={
            _requests("app", "startup", "throttled"): at([10 * number, 10 * number + 1]),
            _failures("app", "http_429"): at([10 * number, 10 * number + 1]),
            _AGENT_503: at([10 * number + 1], 20),
        },
    )
    for number in range(END // 10)
]

QUIET = [
    Scenario("nothing happens", [Pod(name) for name in _TWO]),
    Scenario("idle: nobody asks anything", [Pod(traffic=0)]),
    Scenario("one unlucky request of each kind", [Pod(grows=_UNLUCKY)]),
    Scenario("one unlucky request of each kind in an idle pod", [Pod(traffic=_ONCE, grows=_UNLUCKY)]),
    Scenario("unlucky just before and after a restart", [Pod(restarts=[T + 1], grows=_UNLUCKY)]),
    Scenario("a restart", [Pod(restarts=[T])]),
    Scenario("restarts every four minutes", [Pod(restarts=range(T, END, 4))]),
    Scenario("a rolling deployment, each new pod throttled at first", _ROLLING),
    Scenario("scrapes fail for ten minutes", [Pod(gaps=range(T, T + 10))]),
    Scenario("every other scrape fails", [Pod(gaps=range(T, END, 2))]),
    Scenario("a restart that no scrape saw", [Pod(gaps=range(T, T + 8), restarts=[T + 4])]),
    Scenario("the pod is deleted", [Pod(up=range(T)), Pod("app-2")]),
    Scenario("the token endpoint is down for twenty minutes", [Pod(server=during(range(T, T + 20), _TIMEOUT))]),
    Scenario(
        "the token endpoint is down for two minutes at the start",
        [Pod(name, up=range(T, END), server=during(range(T, T + 2), _TIMEOUT)) for name in _TWO],
    ),
    Scenario(
        "the secret is rotated, and the pod has the new one three minutes later",
        [Pod(name, lifetime=600, server=during(range(T, T + 3), _WRONG_SECRET)) for name in _TWO],
    ),
    Scenario("a deleted user is still asked for", [Pod(grows=_DELETED, shows={
        'token_expires_in_seconds{credential="agent"}': lambda m: 1700 - 60.0 * max(m - T, 0) % 3600,
    })]),
    Scenario("somebody tries one wrong bearer token after another", [Pod(grows={
        _requests("okta", "demand", "refused"): at(EVER, 40),
        _failures("okta", "invalid_request"): at(EVER, 40),
        _AGENT_502: at(EVER, 40),
    })]),
    Scenario("exchanged tokens end as they should, and some exchanges time out", [Pod(grows={
        _requests("okta", "demand", "unavailable"): at(range(T, END, 10)),
        _failures("okta", "timeout"): at(range(T, END, 10)),
    })]),
    Scenario("of many tokens of ten minutes one is always half over, and one refresh fails", [Pod(
        lifetime=600,
        grows={_requests("app", "ahead", "unavailable"): _ONCE},
        shows={'token_expires_in_seconds{credential="app"}': lambda m: 330},
    )]),
    Scenario("a trickle of failures, one in six hundred", [Pod(grows={
        _AGENT_503: 1,
        _replays("ok"): 1,
        _replays("rejected_again"): at(range(T, END, 8)),
    })]),
    Scenario("two requests in ten minutes, each rejected at first", [Pod(
        traffic=at(range(T, END, 5)), grows={_replays("ok"): at(range(T, END, 5))},
    )]),
    Scenario("every token was revoked at once", [Pod(grows={_replays("ok"): at(range(T, T + 5), 100)})]),
    Scenario(
        "the API rejects everything for eight minutes",
        [Pod(grows={_replays("rejected_again"): at(range(T, T + 8), 600)})],
    ),
    Scenario("a burst of three minutes", [Pod(grows={_OVERLOADED: at(range(T, T + 3), 500)})]),
    Scenario(
        "a wrong configuration is mended after three minutes",
        [Pod(shows={_RELOADED: lambda m: float(m not in range(T, T + 3))})],
    ),
    Scenario(
        "the webhook's certificate is renewed a week and a day ahead",
        [Pod(shows={_CERTIFICATE: lambda m: 60.0 * m + 8 * 86400})],
    ),
]  # fmt: skip

FIRING = [
    Scenario(
        "the token endpoint is down until tokens run out",
        [Pod(name, server=during(range(T, 90), _TIMEOUT)) for name in _TWO],
        {
            "AuthSidecarTokenNotRenewed": Fires(47, 49, until=89, over_at=92),
            "AuthSidecarTokenRunsOut": Fires(52, 54, until=89, over_at=92),
            "AuthSidecarRequestsWithoutToken": Fires(60, 67, until=89, over_at=95),
        },
    ),
    Scenario(
        "the same, and scrapes fail now and then",
        [Pod(server=during(EVER, _TIMEOUT), gaps=(*range(49, 52), 55, 63, 72, 73))],
        {
            "AuthSidecarTokenNotRenewed": Fires(47, 49),
            "AuthSidecarTokenRunsOut": Fires(52, 56),
            "AuthSidecarRequestsWithoutToken": Fires(60, 68),
        },
    ),
    Scenario(
        "the token endpoint wants to be left alone for an hour",
        [Pod(server=during(EVER, "throttled http_429"), patience=60)],
        {
            "AuthSidecarTokenNotRenewed": Fires(47, 49),
            "AuthSidecarTokenRunsOut": Fires(52, 54),
            "AuthSidecarRequestsWithoutToken": Fires(60, 67),
        },
    ),
    Scenario(
        "tokens of eight hours: the first alert comes two hours ahead",
        [Pod(
            lifetime=8 * HOUR,
            grows={_requests("app", "ahead", "unavailable"): 2},
            shows={'token_expires_in_seconds{credential="app"}': lambda m: 8 * HOUR - 60.0 * (340 + m)},
        )],
        {"AuthSidecarTokenNotRenewed": Fires(22, 24), "AuthSidecarTokenRunsOut": Fires(132, 134)},
    ),
    Scenario(
        "one of two pods cannot reach the token endpoint",
        [Pod(), Pod("app-2", server=during(EVER, "malformed malformed"))],
        {
            "AuthSidecarTokenNotRenewed": Fires(47, 49),
            "AuthSidecarTokenRunsOut": Fires(52, 54),
            "AuthSidecarRequestsWithoutToken": Fires(60, 67),
        },
    ),
    Scenario(
        "no token at the start",
        [Pod(name, up=range(T, END), traffic=0, server=during(range(70), _TIMEOUT)) for name in _TWO],
        {"AuthSidecarNoFirstToken": Fires(25, 28, until=69, over_at=74, series=2)},
    ),
    Scenario(
        "no token at the start, the server wants to be left alone, and scrapes fail",
        [Pod(up=range(T, END), gaps=[T + 3, 90], traffic=0, server=always("throttled http_429"), patience=60)],
        {"AuthSidecarNoFirstToken": Fires(25, 28)},
    ),
    Scenario(
        "no token at the start, and the kubelet restarts the container every three minutes",
        [Pod(up=range(T, END), restarts=range(T, END, 3), traffic=0, server=always(_TIMEOUT))],
        {"AuthSidecarNoFirstToken": Fires(25, 28)},
    ),
    Scenario(
        "one of two start-up tokens is missing",
        [Pod(up=range(T, END), traffic=0, grows={_requests("app", "startup", "unavailable"): 2})],
        {"AuthSidecarNoFirstToken": Fires(25, 29)},
    ),
    Scenario(
        "the secret is wrong from now on",
        [Pod(name, server=during(EVER, _WRONG_SECRET)) for name in _TWO],
        # it is used at the next refresh
        {"AuthSidecarCredentialRefused": Fires(38, 41), "AuthSidecarRequestsWithoutToken": Fires(60, 67)},
    ),
    Scenario(
        "refused without an OAuth code, where no subject is concerned",
        [Pod(server=during(range(T, 55), "refused http_4xx"))],
        {"AuthSidecarCredentialRefused": Fires(38, 41, until=54, over_at=61)},
    ),
    Scenario(
        "a scope is refused, in pods that come and go",
        [
            Pod(f"app-{n}", up=range(8 * n, 8 * n + 12), grows={_failures("app", "invalid_scope"): 2})
            for n in range(END // 8)
        ],
        {"AuthSidecarCredentialRefused": Fires(10, 13)},
    ),
    Scenario(
        "one request in fifty has no token",
        [Pod(restarts=[50, 80], gaps=[61], grows={_AGENT_503: at(range(T, 100), 12)})],
        {"AuthSidecarRequestsWithoutToken": Fires(25, 28, until=99, over_at=104)},
    ),
    Scenario(
        "one request in five is refused a token",
        [Pod(grows={_AGENT_502: at(EVER, 120), _failures("agent", "invalid_grant"): at(EVER, 2)})],
        {"AuthSidecarRequestsWithoutToken": Fires(25, 28)},
    ),
    Scenario(
        "one request in fifty is rejected at first",
        [Pod(name, grows={_replays("ok"): at(range(T, 100), 12)}) for name in _TWO],
        {"AuthSidecarReplaysRising": Fires(40, 47, until=99, over_at=108)},
    ),
    Scenario(
        "the API rejects fresh tokens",
        [Pod(name, grows={_replays("rejected_again"): at(range(T, 100), 1)}) for name in _TWO],
        {"AuthSidecarFreshTokenRejected": Fires(40, 44, until=99, over_at=112)},
    ),
    Scenario(
        "a scope is missing in the route map, on a route that is asked for every five minutes",
        [Pod(name, grows={_GAPS: at(range(T, 100, 10))}) for name in _TWO],
        {"AuthSidecarRouteMapGap": Fires(34, 37, until=99, over_at=125)},
    ),
    Scenario(
        "a wrong configuration stays, and a scrape fails",
        [Pod(name, gaps=[T + 3], shows={_RELOADED: lambda m: float(m not in range(T, 100))}) for name in _TWO],
        {"AuthSidecarReloadFailed": Fires(24, 26, until=99, over_at=101)},
    ),
    Scenario(
        "too many requests",
        [Pod(name, grows={_OVERLOADED: at(range(T, 100), 30)}) for name in _TWO],
        {"AuthSidecarOverloaded": Fires(30, 33, until=99, over_at=106)},
    ),
    Scenario(
        "the webhook's certificate has six days left",
        [Pod(name, shows={_CERTIFICATE: lambda m: 60.0 * m + 6 * 86400}) for name in _TWO],
        {"AuthSidecarWebhookCertificateExpires": Fires(58, 62)},
    ),
]  # fmt: skip
