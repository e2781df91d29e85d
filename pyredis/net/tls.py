"""The TLS settings as an ``ssl.SSLContext``, for each end. Shell: reads certificate files."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyredis.config import Config

_VERSIONS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}


class TLSError(Exception):
    """The TLS settings cannot be used; the text says why."""


_CA_MISSING = (
    "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, "
    "tls-replication or tls-auth-clients are enabled!"
)


def server_context(config: Config) -> ssl.SSLContext:
    """The context for ``tls-port``. Raises TLSError naming the setting that is at fault."""
    if not config.tls_cert_file:
        raise TLSError("No tls-cert-file configured!")
    asks_clients = config.tls_auth_clients != "no"
    if asks_clients and not (config.tls_ca_cert_file or config.tls_ca_cert_dir):
        raise TLSError(_CA_MISSING)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _blaming(config):
        context.load_cert_chain(
            config.tls_cert_file, config.tls_key_file or None, config.tls_key_file_pass or None
        )
        if asks_clients:
            context.load_verify_locations(
                config.tls_ca_cert_file or None, config.tls_ca_cert_dir or None
            )
            required = config.tls_auth_clients == "yes"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        if config.tls_prefer_server_ciphers:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        if not config.tls_session_caching:
            context.options |= ssl.OP_NO_TICKET
        if config.tls_dh_params_file:
            context.load_dh_params(config.tls_dh_params_file)
        _restrict(context, config)
    return context


def client_context(config: Config) -> ssl.SSLContext:
    """The context for links to other nodes. Raises TLSError naming the setting at fault.

    The other side must have a certificate of our authority; what name stands in it is not
    looked at, for nodes are addressed by whatever address they have at the moment. We show
    the client certificate if there is one, otherwise that of the server.
    """
    if not (config.tls_ca_cert_file or config.tls_ca_cert_dir):
        raise TLSError(_CA_MISSING)
    certificate, key, password = (
        (config.tls_client_cert_file, config.tls_client_key_file, config.tls_client_key_file_pass)
        if config.tls_client_cert_file
        else (config.tls_cert_file, config.tls_key_file, config.tls_key_file_pass)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with _blaming(config):
        context.load_verify_locations(
            config.tls_ca_cert_file or None, config.tls_ca_cert_dir or None
        )
        if certificate:
            context.load_cert_chain(certificate, key or None, password or None)
        _restrict(context, config)
    return context


def _restrict(context: ssl.SSLContext, config: Config) -> None:
    """Only the versions and ciphers that are wanted."""
    wanted = config.tls_protocols.lower().split() or ["tlsv1.2", "tlsv1.3"]
    if any(word not in _VERSIONS for word in wanted):
        raise TLSError(f"Invalid tls-protocols specified: {config.tls_protocols}")
    versions = [_VERSIONS[word] for word in wanted]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    if config.tls_ciphers:
        context.set_ciphers(config.tls_ciphers)
    if config.tls_ciphersuites:
        set_ciphersuites = getattr(context, "set_ciphersuites", None)  # since Python 3.15
        if set_ciphersuites is None:
            raise TLSError("tls-ciphersuites cannot be set with this version of Python")
        set_ciphersuites(config.tls_ciphersuites)


@contextlib.contextmanager
def _blaming(config: Config) -> Iterator[None]:
    """Turn what OpenSSL raises into a TLSError that names a missing file."""
    try:
        yield
    except (OSError, ssl.SSLError, ValueError) as error:
        names = [
            config.tls_cert_file,
            config.tls_key_file,
            config.tls_client_cert_file,
            config.tls_client_key_file,
            config.tls_ca_cert_file,
        ]
        lost = next((name for name in names if name and not Path(name).exists()), "")
        raise TLSError(f"Failed to configure TLS: {lost or error}") from error
