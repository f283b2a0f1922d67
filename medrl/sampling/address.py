"""Whether an address is this machine: patients' text must not leave it by accident."""

from __future__ import annotations

import ipaddress

import httpx


def host_of(url: str) -> str:
    """The host that an HTTP client would connect to; empty if the text is no such address."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return ""
    return address.host if address.scheme in ("http", "https") else ""


def is_this_machine(url: str) -> bool:
    """True for ``localhost`` and loopback addresses only; other names may lead anywhere."""
    host = host_of(url)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False
