from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from extproc.settings.address import (
    IpPort,
    ListenAddress,
    OtlpEndpoint,
    canonical_ip_port,
    is_ip,
    is_unix,
    split_host_port,
)

IP_PORT = TypeAdapter[str](IpPort)
LISTEN = TypeAdapter[str](ListenAddress)
OTLP = TypeAdapter[str](OtlpEndpoint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:65535", ("::1", 65535)),
        ("jaeger:4317", ("jaeger", 4317)),
    ],
)
def test_a_host_and_a_port_are_split(text: str, expected: tuple[str, int]) -> None:
    """Brackets belong to the address, not to the host."""
    assert expected == split_host_port(text)


@pytest.mark.parametrize(
    "text", ["", ":80", "10.0.0.1", "10.0.0.1:", "h:0", "h:65536", "h:-1", "h:8o", "::1:80", "h:²"]
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    """A missing host, a missing port and a port out of range are told."""
    with pytest.raises(ValueError, match=r"."):
        split_host_port(text)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_canonical_addresses_stay_as_they_are(ip: object, port: int) -> None:
    """Writing an address canonically twice changes nothing more, for IPv4 and IPv6."""
    once = canonical_ip_port(f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}")

    assert once == canonical_ip_port(once)
    assert (port, True) == (split_host_port(once)[1], is_ip(split_host_port(once)[0]))


def test_ipv6_is_written_as_envoy_writes_it() -> None:
    """Addresses are compared as text, so one address has one spelling."""
    assert "[fd00::5]:80" == canonical_ip_port("[FD00:0:0::0005]:80")


def test_a_listen_address_may_be_a_unix_socket() -> None:
    """A socket is given by its absolute path, which fits the kernel's limit."""
    assert "unix:/run/a.sock" == LISTEN.validate_python("unix:/run/a.sock")
    assert is_unix("unix:/run/a.sock")
    for bad in ("unix:", "unix:run/a.sock", "unix:/" + "a" * 107):
        with pytest.raises(ValidationError):
            LISTEN.validate_python(bad)


@pytest.mark.parametrize(
    "text", ["self", "jaeger:4317", "otel.example-1.net:4317", "10.0.0.1:4317", "[::1]:4317"]
)
def test_spans_may_go_to_a_name(text: str) -> None:
    """Names are resolved by DNS, unlike those of instances."""
    assert text == OTLP.validate_python(text)


@pytest.mark.parametrize("text", ["jaeger", "-x:1", "a_b:1", "999.1.1.1:1", "http://a:1"])
def test_what_is_no_name_is_refused_for_spans(text: str) -> None:
    """URLs and malformed names are told before Envoy chokes on them."""
    with pytest.raises(ValidationError):
        OTLP.validate_python(text)


def test_an_instance_needs_an_ip_address() -> None:
    """Envoy's EDS resolves no names."""
    with pytest.raises(ValidationError):
        IP_PORT.validate_python("localhost:80")
