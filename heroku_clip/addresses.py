"""Whom a request came from: the server and the application count per address.

No Django here: the server asks before the application has the request.
"""

import ipaddress


def believed_address(peer: str, forwarded: str, proxies: int) -> str:
    """The address that the outermost of so many trusted proxies saw. What a client writes itself is not believed.

    `forwarded` is X-Forwarded-For, to which each proxy appends the address that it saw.
    """
    addresses = [part.strip() for part in forwarded.split(",") if part.strip()]
    return addresses[-proxies] if proxies and len(addresses) >= proxies else peer


def network_of(address: str) -> str:
    """The address itself for IPv4; the /64 for IPv6, of which one customer has all the addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
