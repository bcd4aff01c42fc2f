"""What the dashboard shows: every panel with its queries, and the choices above them.

Owns the PromQL. Knows nothing of Grafana's JSON. Everything sums over pods and works with the labels of
Prometheus Operator (namespace, pod) and without them.
"""

from __future__ import annotations

from monitoring.grafana import Panel, Query, Row, Variable

_PODS = 'namespace=~"$namespace", job=~"$job", pod=~"$pod"'
_ROUTES = f'{_PODS}, route=~"$route"'
_CREDENTIALS = f'{_PODS}, credential=~"$credential"'
_EACH = "{{pod}} {{instance}}"
_REQUESTS = f"sum(rate(auth_sidecar_requests_total{{{_ROUTES}}}[$__rate_interval]))"
_WITHOUT_TOKEN = f'{_ROUTES}, code=~"token_unavailable|token_refused"'
_BUSY = {0.01: "orange", 0.05: "red"}

VARIABLES = [
    # not build_info: the webhook has that, too
    Variable("namespace", "auth_sidecar_requests_in_flight"),
    Variable("job", 'auth_sidecar_requests_in_flight{namespace=~"$namespace"}'),
    Variable("pod", 'auth_sidecar_requests_in_flight{namespace=~"$namespace", job=~"$job"}'),
    Variable("route", f"auth_sidecar_requests_total{{{_PODS}}}"),
    Variable("credential", f"auth_sidecar_tokens_cached{{{_PODS}}}"),
]


def _rate(metric: str, of: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate(auth_sidecar_{metric}{{{of}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, of: str, *by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', of, *by, 'le')})"


EVENTS = {
    "configuration read": Query(
        f"sum by (outcome) (increase(auth_sidecar_config_reloads_total{{{_PODS}}}[$__rate_interval])) > 0",
        "{{outcome}}",
    )
}

_OVERVIEW = Row("Overview", [
    Panel("Sidecars", "That answered the last scrape.",
          [Query(f"count(auth_sidecar_requests_in_flight{{{_PODS}}})")], "none", "stat", 4),
    Panel("Requests", "Answered, whatever the status.", [Query(_REQUESTS)], "reqps", "stat", 4),
    Panel("Errors of the sidecar", "Share of requests that it answered itself, with X-Auth-Sidecar-Error.",
          [Query(f"sum(rate(auth_sidecar_errors_total{{{_ROUTES}}}[$__rate_interval])) / {_REQUESTS}")],
          "percentunit", "stat", 4, steps=_BUSY),
    Panel("Latency, 95th percentile", "Request head read to last byte answered, API included.",
          [Query(_quantile(0.95, "request_duration_seconds", _ROUTES))], "s", "stat", 4),
    Panel("Least time left", "Of all tokens in use; below 0 one is over and has no successor.",
          [Query(f"min(auth_sidecar_token_expires_in_seconds{{{_CREDENTIALS}}})")],
          "s", "stat", 4, lowest=None, base="red", steps={0: "orange", 60: "green"}),
    Panel("Configuration not taken", "Sidecars whose file is wrong; the one before it is in force.",
          [Query(f"count(auth_sidecar_config_last_reload_successful{{{_PODS}}} == 0) or vector(0)")],
          "none", "stat", 4, steps={1: "red"}),
])  # fmt: skip

_TRAFFIC = Row("Traffic", [
    Panel("Requests by route", "(unmapped): no route covers the path.",
          [Query(_rate("requests_total", _ROUTES, "route"), "{{route}}")], "reqps", stacked=True),
    Panel("Requests by status", "As sent to the caller. 499: the caller left before an answer had begun.",
          [Query(_rate("requests_total", _ROUTES, "status"), "{{status}}")], "reqps", stacked=True),
    Panel("Requests in flight", "Compare with limits.max_in_flight.",
          [Query(f"sum by (pod, instance) (auth_sidecar_requests_in_flight{{{_PODS}}})", _EACH)], "none"),
])  # fmt: skip

_LATENCY = Row("Latency", [
    Panel("Latency", "Requests by duration. A long stream counts with its whole length.",
          [Query(f"sum by (le) (increase(auth_sidecar_request_duration_seconds_bucket{{{_ROUTES}}}[$__rate_interval]))",
                 "{{le}}")], "s", "heatmap"),
    Panel("Latency, percentiles", "Over all routes that are chosen.",
          [Query(_quantile(share, "request_duration_seconds", _ROUTES), f"{share:.0%}") for share in (0.5, 0.95, 0.99)],
          "s"),
    Panel("Latency by route, 95th percentile", "The slowest are the API's to explain.",
          [Query(_quantile(0.95, "request_duration_seconds", _ROUTES, "route"), "{{route}}")], "s"),
])  # fmt: skip

_ERRORS = Row("Errors of the sidecar", [
    Panel("By code", "What X-Auth-Sidecar-Error said: docs/errors.md.",
          [Query(_rate("errors_total", _ROUTES, "code"), "{{code}}")], "reqps", stacked=True),
    Panel("By route", "All codes.",
          [Query(_rate("errors_total", _ROUTES, "route"), "{{route}}")], "reqps", stacked=True),
    Panel("Share without a token", "Requests that failed for want of one; AuthSidecarRequestsWithoutToken looks at it.",
          [Query(f'{_rate("errors_total", _WITHOUT_TOKEN, "code")} / on () group_left {_REQUESTS}', "{{code}}")],
          "percentunit", steps=_BUSY),
])  # fmt: skip

_TOKENS = Row("Tokens", [
    Panel("Time left", "Of the token in use that ends soonest. One that is renewed stays above 0.4 of its lifetime.",
          [Query(f"min by (credential) (auth_sidecar_token_expires_in_seconds{{{_CREDENTIALS}}})", "{{credential}}")],
          "s", lowest=None),
    Panel("Time left, as a share of the lifetime", "Below a quarter, refreshing has been failing for long.",
          [Query(f"min by (credential) (auth_sidecar_token_expires_in_seconds{{{_CREDENTIALS}}} "
                 f"/ auth_sidecar_token_lifetime_seconds{{{_CREDENTIALS}}})", "{{credential}}")],
          "percentunit", lowest=None, base="red", steps={0.25: "green"}),
    Panel("Lifetime", "That the last token was issued with.",
          [Query(f"max by (credential) (auth_sidecar_token_lifetime_seconds{{{_CREDENTIALS}}})", "{{credential}}")],
          "s"),
    Panel("Since the last token", "Time since one was last obtained.",
          [Query("time() - max by (credential) "
                 f"(auth_sidecar_token_last_success_timestamp_seconds{{{_CREDENTIALS}}} > 0)", "{{credential}}")], "s"),
    Panel("Token requests", "Why they were made, and what came of it.",
          [Query(f'{_rate("token_requests_total", _CREDENTIALS, "trigger", "outcome")} > 0',
                 "{{trigger}}: {{outcome}}")], "reqps", stacked=True),
    Panel("Failures", "By reason: docs/tokens.md.",
          [Query(f'{_rate("token_failures_total", _CREDENTIALS, "credential", "reason")} > 0',
                 "{{credential}}: {{reason}}")], "reqps", stacked=True),
    Panel("Token requests, 95th percentile", "How long the authorization server takes.",
          [Query(_quantile(0.95, "token_request_duration_seconds", _CREDENTIALS, "credential"), "{{credential}}")],
          "s"),
    Panel("Requests that waited", "For a token: none while refreshing ahead works, but for a subject's first.",
          [Query(_rate("token_wait_seconds_count", _CREDENTIALS, "credential"), "{{credential}}")], "reqps"),
    Panel("Waiting, 95th percentile", "How long those waited.",
          [Query(_quantile(0.95, "token_wait_seconds", _CREDENTIALS, "credential"), "{{credential}}")], "s"),
    Panel("Tokens held", "Compare with tokens.max_cached.",
          [Query(f"sum by (credential) (auth_sidecar_tokens_cached{{{_CREDENTIALS}}})", "{{credential}}")],
          "none", width=12, stacked=True),
    Panel("Tokens dropped", "capacity: tokens.max_cached is too small; rejected: the API said 401.",
          [Query(_rate("tokens_dropped_total", _CREDENTIALS, "reason"), "{{reason}}")],
          "cps", width=12, stacked=True),
])  # fmt: skip

_UPSTREAM = Row("API", [
    Panel("Rejections", "Each 401 and 403, also those the caller never saw.",
          [Query(_rate("upstream_rejections_total", _ROUTES, "status"), "{{status}}")], "reqps", stacked=True),
    Panel("Sent again after a 401", "ok: nobody noticed; rejected_again, not_replayable: the caller got the 401.",
          [Query(_rate("replays_total", _ROUTES, "outcome"), "{{outcome}}")], "reqps", stacked=True),
    Panel("Connections", "Compare with upstream.max_connections.",
          [Query(f"sum by (state) (auth_sidecar_upstream_connections{{{_PODS}}})", "{{state}}")], "none", stacked=True),
    Panel("Gaps of the route map", "What the API said a route's token lacks, in the time shown. Empty is good.",
          [Query(f"sum by (route, lacks) (increase(auth_sidecar_route_map_gaps_total{{{_ROUTES}}}[$__range])) > 0")],
          "none", "table", 24),
])  # fmt: skip

_PEOPLE = Row("People who sign in", [
    Panel("Sessions", "Of people who have signed in, held in memory. Compare with sessions.max_sessions.",
          [Query(f"sum by (credential) (auth_sidecar_sessions{{{_CREDENTIALS}}})", "{{credential}}")],
          "none", width=12, stacked=True),
    Panel("Sign-ins", "By how they ended: docs/sign-in.md says what each means.",
          [Query(_rate("logins_total", _CREDENTIALS, "outcome"), "{{outcome}}")],
          "cps", width=12, stacked=True),
    Panel("Refreshes of sessions", "taken_over: another process was faster; refused: the person has to sign in again.",
          [Query(_rate("session_refreshes_total", _CREDENTIALS, "outcome"), "{{outcome}}")],
          "cps", width=12, stacked=True),
    Panel("Sessions ended", "interrupted: a refresh's answer was lost; capacity: sessions.max_sessions is too small.",
          [Query(_rate("sessions_ended_total", _CREDENTIALS, "reason"), "{{reason}}")],
          "cps", width=12, stacked=True),
], collapsed=True)  # fmt: skip

_PROCESS = Row("Process", [
    Panel("Builds", "Which version runs how often.",
          [Query(f"count by (version, python) (auth_sidecar_build_info{{{_PODS}}})")], "none", "table"),
    Panel("Configuration in force", "1: the one in the file; 0: the one before it.",
          [Query(f"min by (pod, instance) (auth_sidecar_config_last_reload_successful{{{_PODS}}})", _EACH)], "none"),
    Panel("Configuration read", "After a change or SIGHUP.",
          [Query(f"sum by (outcome) (increase(auth_sidecar_config_reloads_total{{{_PODS}}}[$__rate_interval]))",
                 "{{outcome}}")], "none"),
    Panel("Memory", "Working set of the containers called auth-sidecar, as the kubelet tells.",
          [Query('sum by (pod) (container_memory_working_set_bytes{namespace=~"$namespace", pod=~"$pod", '
                 'container="auth-sidecar"})', "{{pod}}")], "bytes", width=12),
    Panel("Processor", "Cores that these containers use.",
          [Query('sum by (pod) (rate(container_cpu_usage_seconds_total{namespace=~"$namespace", pod=~"$pod", '
                 'container="auth-sidecar"}[$__rate_interval]))', "{{pod}}")], "none", width=12),
])  # fmt: skip

_INJECTOR = Row("Injector", [
    Panel("Reviews", "Pods that the webhook was asked about, and what it did.",
          [Query("sum by (outcome) (rate(auth_sidecar_webhook_reviews_total[$__rate_interval]))", "{{outcome}}")],
          "reqps", stacked=True),
    Panel("Certificate", "Time until it runs out.",
          [Query("min(auth_sidecar_webhook_certificate_not_after_timestamp_seconds) - time()", "certificate")],
          "s", lowest=None, base="red", steps={604800: "green"}),
    Panel("Certificate in force", "1: the one in the files; 0: the one before it. And how often new ones were read.",
          [Query("min(auth_sidecar_webhook_certificate_last_reload_successful)", "in force"),
           Query("sum by (outcome) (increase(auth_sidecar_webhook_certificate_reloads_total[$__rate_interval]))",
                 "{{outcome}}")], "none"),
], collapsed=True)  # fmt: skip

ROWS = [_OVERVIEW, _TRAFFIC, _LATENCY, _ERRORS, _TOKENS, _PEOPLE, _UPSTREAM, _PROCESS, _INJECTOR]
