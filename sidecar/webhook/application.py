"""The webhook's URLs: the review, and the pages that the kubelet and Prometheus look at.

Owns the HTTP of it: methods, status codes, headers, and the log line of a review. Errors are Kubernetes' Status, whose
message an API server shows. A page is made from memory.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from sidecar import logs
from sidecar.webhook import review
from sidecar.webhook.decision import decide
from sidecar.webhook.intake import Intake, NotTaken
from sidecar.webhook.numbers import Numbers
from sidecar.webhook.pod import name_of
from sidecar.webhook.reading import Malformed, mapping
from sidecar.webhook.review import Decision, Review
from sidecar.webhook.template import Template

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Webhook:
    """Answers reviews by one template."""

    def __init__(self, template: Template, numbers: Numbers) -> None:
        self._template = template
        self._numbers = numbers
        self._intake = Intake()
        self._log = logs.get("webhook")
        self.address = ""  # where it listens
        self.draining = False

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_post("/inject", self._inject)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.on_response_prepare.append(self._finish)
        return app

    async def _inject(self, request: web.Request) -> web.Response:
        raw = await self._intake.read(request)
        asked = review.read(raw)
        decision = decide(self._template, asked)
        self._numbers.reviewed(decision.outcome)
        self._tell(asked, decision)
        return _json(review.answer(asked.uid, decision))

    def _tell(self, asked: Review, decision: Decision) -> None:
        """One line for what was changed or refused; of the pod its name only: its environment may be secret."""
        if decision.outcome == "untouched" or asked.pod is None:
            return
        refused = decision.outcome == "refused"
        (self._log.warning if refused else self._log.info)(
            "review",
            outcome=decision.outcome,
            namespace=asked.namespace,
            name=name_of(mapping(asked.pod, "metadata", "")),
            dry_run=asked.dry_run,
            **decision.facts,
            **({"reasons": decision.reasons} if decision.reasons else {}),
            **({"warnings": decision.warnings} if decision.warnings else {}),
        )

    async def _healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        return _json(["draining"], 503) if self.draining else _json([])

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._numbers.render(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every refusal and failure in one shape; while draining, the next review goes to somebody who stays."""
        answer = await self._answer(request, handler)
        if self.draining:
            answer.force_close()
        return answer

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Malformed as error:
            return self._malformed(400, "BadRequest", str(error))
        except NotTaken as error:
            answer = self._malformed(error.status, error.reason, error.message)
            answer.force_close()  # nobody reads the rest of the body
            return answer
        except web.HTTPMethodNotAllowed as error:
            answer = _failure(405, "MethodNotAllowed", "the method is not allowed here")
            answer.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
            return answer
        except web.HTTPException:  # aiohttp's way of saying that no route matched
            return _failure(404, "NotFound", "there are /inject, /healthz, /readyz and /metrics")
        except Exception:
            self._log.exception("review_failed")
            return _failure(500, "InternalError", "the webhook failed; its log says where")

    def _malformed(self, code: int, reason: str, message: str) -> web.Response:
        self._numbers.reviewed("malformed")
        self._log.warning("review", outcome="malformed", status=code, reason=message)
        return _failure(code, reason, message)

    async def _finish(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.pop(hdrs.SERVER, None)  # aiohttp would tell its version and Python's


def _failure(code: int, reason: str, message: str) -> web.Response:
    return _json(review.status(code, reason, message), code)


def _json(value: object, code: int = 200) -> web.Response:
    return web.Response(status=code, body=f"{json.dumps(value)}\n".encode(), content_type="application/json")
