"""Whom a connection counts for, before anybody has shown a credential on it."""

import ipaddress
import socket

from fedstate.unix_sockets import peer_user


def peer_of(sock: socket.socket, address: object) -> str:
    """Return whom a connection counts for.

    Parameters
    ----------
    sock : socket.socket
        The connection. Of a Unix socket the kernel says which user has opened it.
    address : object
        What `accept` has returned with it. An IPv6 host has all addresses of a /64.
    """
    if sock.family == socket.AF_UNIX:
        return f"user {peer_user(sock)}"
    return network_of(str(address[0]))  # type: ignore[index]


def network_of(host: str) -> str:
    """Return whom an address counts for: an IPv6 host has all addresses of a /64."""
    if ":" not in host:
        return host
    parsed = ipaddress.IPv6Address(host.partition("%")[0])
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False).network_address)
