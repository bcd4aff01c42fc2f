"""What sidecar/proxy/feeding.py and caller.py rely on in aiohttp. When one fails, read the former's header first."""

from __future__ import annotations

import asyncio
import inspect

import aiohttp.http_parser
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo


def test_c_parser_is_there() -> None:
    """The pure Python one is slower and another parser altogether."""
    assert HttpRequestParser is aiohttp.http_parser.HttpRequestParserC


def test_handler_has_the_state_that_is_used() -> None:
    """Names, as slots of the handler and of its base."""
    used = {
        "_messages", "_request_count", "_upgraded", "_message_tail", "_waiter", "_force_close", "_close",
        "_reading_paused", "_buffer_paused", "_parser", "_loop", "_max_msg_queue_size", "transport",
        "_next_keepalive_close_time", "_task_handler",
    }  # fmt: skip
    assert used <= {*RequestHandler.__slots__, *BaseProtocol.__slots__}


def test_handler_has_the_hooks_that_are_overridden() -> None:
    """Names and parameters."""
    for name, parameters in {
        "data_received": ["self", "data"],
        "finish_response": ["self", "request", "resp", "start_time"],
        "_make_error_handler": ["self", "err_info"],
        "handle_error": ["self", "request", "status", "exc", "message"],
        "_resume_reading_for_buffer": ["self"],
        "_pause_transport_reading": ["self"],
        "_resume_transport_reading": ["self"],
    }.items():
        assert list(inspect.signature(getattr(RequestHandler, name)).parameters) == parameters
    assert [a.name for a in _ErrInfo.__attrs_attrs__] == ["status", "exc", "message"]


def test_stream_reader_has_what_is_read() -> None:
    """A body's progress, without taking anything from it."""
    reader = StreamReader.__new__(StreamReader)
    for name in ("is_eof", "at_eof", "exception", "set_exception", "readany", "read_nowait"):
        assert callable(getattr(reader, name))
    assert "total_bytes" in StreamReader.__slots__
    assert EMPTY_PAYLOAD.is_eof()


def test_parser_counts_the_messages_that_are_consumed() -> None:
    """The queue is bounded by the parser, which has to be told."""
    assert callable(HttpRequestParser.message_consumed)


async def test_task_sleeps_while_its_waiter_is_taken_away() -> None:
    """A message that arrives meanwhile wakes nobody; the waiter, given back and set, does."""
    seen: list[object] = []

    async def handler(request: object) -> web.StreamResponse:
        seen.append(request)
        return web.Response()

    server = web.Server(handler)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname()[:2])
    while not (server.connections and server.connections[0]._waiter):
        await asyncio.sleep(0)
    connection = server.connections[0]
    waiter, connection._waiter = connection._waiter, None
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while not connection._messages:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not seen
    assert waiter is not None
    waiter.set_result(None)
    while not seen:
        await asyncio.sleep(0)
    writer.close()
    listening.close()
    await server.shutdown(0.1)


async def test_server_hands_requests_to_the_factory_and_responses_back() -> None:
    """`request_factory` makes what `request_handler` gets, which may be its own response."""
    called: list[str] = []

    class Both:
        _task = None
        keep_alive = False

        def _cancel(self, exc: BaseException) -> None:
            called.append("_cancel")

        def _finish(self) -> None:
            called.append("_finish")

        async def prepare(self, request: object) -> None:
            called.append("prepare")

        async def write_eof(self) -> None:
            called.append("write_eof")

    async def handler(request: object) -> object:
        called.append("handler")
        return request

    server = web.Server(handler, request_factory=lambda *args: Both())  # type: ignore[arg-type]
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname()[:2])
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    listening.close()
    await server.shutdown(0.1)
    assert called == ["handler", "_finish", "prepare", "write_eof"]
