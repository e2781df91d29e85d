"""Lanes between real processes: small TCP proxies that can stall, delay and reset. Shell.

Every pair of hosts has a proxy of its own, so it is known who connects to whom. What comes from
one side waits in a queue while its lane is blocked, as bytes do with TCP when packets are
lost; nothing is thrown away. A reset ends both halves at once (with SO_LINGER 0).

Departure from a real partition: the connecting side sees its connection accepted by the proxy,
so a connect succeeds and is then silent, where a real one would hang in SYN.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.sim.real import RealNetwork

_CHUNK_BYTES = 1 << 16
_BUFFER_MAX_BYTES = 1 << 30
_LINGER_NOT = struct.pack("ii", 1, 0)


class RealLane:
    """One way between two hosts."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    @property
    def blocked(self) -> bool:
        """Whether nothing gets through."""
        return not self.open.is_set()


class Proxy:
    """The way from ``source`` to the port of ``target``, and back."""

    def __init__(self, network: RealNetwork, source: str, target: str, port: int) -> None:
        self.port = 0
        self._network = network
        self._source = source
        self._target = target
        self._target_port = port
        self._server: asyncio.Server | None = None
        self._links: dict[int, Link] = {}
        self._number = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.reset()

    def reset(self) -> int:
        """Reset all connections; returns how many there were."""
        links, self._links = self._links, {}
        for link in links.values():
            link.reset()
        return len(links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._number += 1
        number = self._number
        network = self._network
        name = f"{self._source}-{self._target}#{number}"
        there = network.lane(self._source, self._target)
        back = network.lane(self._target, self._source)
        link = self._links[number] = Link(writer)
        try:
            await there.open.wait()
            await back.open.wait()
            try:
                far_reader, far_writer = await asyncio.open_connection(
                    "127.0.0.1", self._target_port
                )
            except OSError:
                network.note("refused", name)
                link.reset()
                return
            link.add(far_writer)
            link.limit(network.buffer_bytes)
            network.note("open", name, self._source, self._target)
            await asyncio.gather(
                self._pump(reader, far_writer, there, name, self._target),
                self._pump(far_reader, writer, back, name, self._source),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.pop(number, None)
            link.close()
            network.note("close", name, self._source)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lane: RealLane,
        name: str,
        to: str,
    ) -> None:
        """Carry bytes one way until its end."""
        network = self._network
        try:
            while data := await reader.read(_CHUNK_BYTES):
                await asyncio.sleep(network.delay_s(len(data)))
                await lane.open.wait()
                if not writer.is_closing():
                    network.note("data", name, to, data)
                    writer.write(data)
                    await writer.drain()
            await lane.open.wait()
        finally:
            if not writer.is_closing():
                writer.close()


class Link:
    """The two halves of one connection through a proxy."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]
        self._closed = False

    def add(self, writer: asyncio.StreamWriter) -> None:
        """The far half is there."""
        self._writers.append(writer)
        if self._closed:
            self.reset()

    def limit(self, size: int) -> None:
        """Have the halves hold about so many bytes each way that are not read; 0 for the usual."""
        for writer in self._writers if size else ():
            sock = writer.get_extra_info("socket")
            for way in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, way, min(size, _BUFFER_MAX_BYTES))
            writer.transport.set_write_buffer_limits(high=size)

    def reset(self) -> None:
        """End both halves without a farewell."""
        self._closed = True
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()

    def close(self) -> None:
        """End both halves."""
        for writer in self._writers:
            if not writer.is_closing():
                writer.close()
