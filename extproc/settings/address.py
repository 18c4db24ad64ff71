"""Network addresses as the fleet file writes them: `ip:port`, `[ipv6]:port`, `host:port`, `unix:/path`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_UNIX_PATH_BYTES = 107
"""Longest path that fits `sockaddr_un.sun_path` on Linux, its closing NUL left out."""

SELF = "self"
"""Value of `telemetry.otlp_endpoint`: the service's own receiver."""


def split_host_port(address: str) -> tuple[str, int]:
    """Split `host:port` or `[ipv6]:port`, without the brackets.

    Raises:
        ValueError: There is more than host and port, or no host, or the port is not within 1 to 65535.
    """
    if is_unix(address):
        raise ValueError("a Unix socket cannot stand here")
    scheme, is_url, _ = address.partition("://")
    if is_url:
        raise ValueError(f"leave out '{scheme}://'")
    bare, has_path, path = address.partition("/")
    if has_path and bare:
        raise ValueError(f"leave out '/{path}'")
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    if not colon or not host:
        raise ValueError("the port is missing")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("the port is not within 1 to 65535")
    return host, int(port)


def canonical_ip_port(address: str) -> str:
    """Write an `ip:port` in the one form that Envoy reports back, so that both sides compare equal as text.

    Raises:
        ValueError: The host is not an IP address, or the port is not within 1 to 65535.
    """
    host, port = split_host_port(address)
    ip = ipaddress.ip_address(host)
    return f"[{ip.compressed}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def is_unix(address: str) -> bool:
    """Tell whether the address is a Unix socket (`unix:/path`)."""
    return address.startswith("unix:")


def is_ip(host: str) -> bool:
    """Tell whether the host, without brackets, is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ip_port_or_unix(address: str) -> str:
    if not is_unix(address):
        return canonical_ip_port(address)
    path = address.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError("the socket's path is not absolute")
    if len(path.encode()) > _UNIX_PATH_BYTES:
        raise ValueError(f"the socket's path is longer than {_UNIX_PATH_BYTES} bytes")
    return address


def _host_port_or_self(address: str) -> str:
    if address == SELF:
        return address
    host, port = split_host_port(address)
    if is_ip(host):
        return canonical_ip_port(address)
    if not _HOST.fullmatch(host) or host.replace(".", "").isdigit():
        raise ValueError("the host is not a valid name")
    return f"{host}:{port}"


IpPort = Annotated[
    str,
    AfterValidator(canonical_ip_port),
    WithJsonSchema({"type": "string", "x-expected": "ip:port, such as 10.0.0.5:8000 or [fd00::5]:8000"}),
]
ListenAddress = Annotated[
    str,
    AfterValidator(_ip_port_or_unix),
    WithJsonSchema({"type": "string", "x-expected": "ip:port, or unix:/absolute/path"}),
]
OtlpEndpoint = Annotated[
    str,
    AfterValidator(_host_port_or_self),
    WithJsonSchema({"type": "string", "x-expected": "host:port of an OTLP/gRPC receiver, or self"}),
]
