"""The proxy listener: a `CallerConnection` per connection, an `Exchange` per request.

Owns how aiohttp's low-level server is set up, how many callers there may be, and the sweep over connections whose
request head is overdue.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from sidecar import descriptors, logs
from sidecar.clock import now
from sidecar.proxy.caller import CallerConnection
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.serving import Proxy

_COMPLAIN_EVERY = 10.0  # seconds


class Listener(web.Server):
    """aiohttp's server for this proxy."""

    def __init__(self, proxy: Proxy, header_timeout: float) -> None:
        super().__init__(
            self._serve,  # type: ignore[arg-type]  # an Exchange is its own response
            request_factory=self._exchange,  # type: ignore[arg-type]
            handler_cancellation=True,
        )
        self.proxy = proxy
        self.header_timeout = header_timeout
        self.callers = 0  # connections
        self._complained = -_COMPLAIN_EVERY

    def __call__(self) -> CallerConnection:
        return CallerConnection(self, self.proxy, loop=self._loop)

    @staticmethod
    def _exchange(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: CallerConnection,
        writer: object,
        task: object,
    ) -> Exchange:
        return protocol.exchange_for(message, payload)

    @staticmethod
    async def _serve(exchange: Exchange) -> Exchange:
        return await exchange.run()

    def turn_away(self) -> bool:
        """Is the newest caller one too many? Said in the log, but not each time."""
        most = descriptors.for_callers()
        if self.callers <= most:
            return False
        if (moment := now()) - self._complained >= _COMPLAIN_EVERY:
            self._complained = moment
            logs.get("proxy").warning("callers_turned_away", callers=self.callers - 1, at_most=most)
        return True

    @property
    def unsent(self) -> int:
        """Bytes of answers that callers have not taken yet."""
        return sum(c.unsent for c in self.connections if isinstance(c, CallerConnection))

    async def sweep(self) -> None:
        """Look after incomplete heads for ever; cancelled by the owner."""
        while True:
            await asyncio.sleep(min(1.0, max(0.02, self.header_timeout / 8)))
            moment = now()
            for connection in self.connections:
                if isinstance(connection, CallerConnection):
                    connection.check_head_deadline(moment, self.header_timeout)
