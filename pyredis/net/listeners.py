"""Listening sockets: TCP on several addresses, TLS, Unix. Shell."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass


class ListenError(Exception):
    """An address cannot be listened on; the text is for the log."""


@dataclass(slots=True)
class Listener:
    """A socket that clients connect to."""

    sock: socket.socket
    tls: bool = False
    path: str = ""  # of a Unix socket


def _bind(host: str, port: int, backlog: int, mark: int) -> socket.socket:
    wildcard = {"*": "0.0.0.0", "::*": "::"}
    host = wildcard.get(host, host)
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_tcp(
    hosts: tuple[str, ...], port: int, backlog: int, tls: bool = False, mark: int = 0
) -> list[Listener]:
    """Listen on every host. One with a leading ``-`` may be missing on this machine.

    ``mark`` is for the routing and packet filters of Linux; setting one takes a privilege.

    All or nothing: raises ListenError, with the sockets opened so far closed again.
    """
    found: list[Listener] = []
    missing = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENOENT)
    for host in hosts:
        optional = host.startswith("-")
        name = host[1:] if optional else host
        try:
            found.append(Listener(_bind(name, port, backlog, mark), tls))
        except OSError as error:
            no_such = error.errno in missing or isinstance(error, socket.gaierror)
            if optional and no_such:
                continue
            for listener in found:
                listener.sock.close()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise ListenError(
                f"Could not create server TCP listening socket {name}:{port}: bind: {reason}"
            ) from error
    return found


def listen_unix(path: str, permissions: int, backlog: int) -> Listener:
    """Listen on a Unix socket; a socket file left behind by an earlier process goes."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        sock.bind(path)
        if permissions:
            os.chmod(path, permissions)
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(f"Failed opening Unix socket: bind: {error.strerror}") from error
    return Listener(sock, path=path)
