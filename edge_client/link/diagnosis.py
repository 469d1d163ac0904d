"""A look of one's own at a server that gRPC cannot use, where gRPC does not say why.

    name -> address -> TCP -> TLS, where certificates are named -> the first frame of HTTP/2

It asks nothing of the server and sends no token.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from typing import Any

from splitfer.edge_client.address import Address
from splitfer.shared.cause import Cause, cause_of_error
from splitfer.shared.certificates import Certificates

# A person reads the words; a frame never waits for them.
TIMEOUT_S = 2.0
# The client's preface and its empty SETTINGS, which a server answers with SETTINGS.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEAD_BYTES, _SETTINGS = 9, 4
_TLS_RECORDS = (0x15, 0x16)  # alert, handshake


def diagnose(
    address: Address, certificates: Certificates, timeout_s: float = TIMEOUT_S
) -> Cause | None:
    """Why ``address`` cannot be used, over TLS where ``certificates`` has some to trust; None where
    nothing is found. Takes ``timeout_s`` at most."""
    end_s = time.monotonic() + timeout_s
    try:
        places = _resolve(address, timeout_s)
        if not places:
            return Cause.NAME_SERVER
        if certificates.ca is None:
            return _look_in_plain(places, end_s)
        return _look_over_tls(places, address.host, certificates, end_s)
    except OSError as error:  # of the name and the connection: what comes later is caught there
        return cause_of_error(error)


# The family of an IP address, and the address with its port as sockets take it.
Places = list[tuple[socket.AddressFamily, Any]]


def _resolve(address: Address, seconds: float) -> Places:
    """The IP addresses; none where the DNS does not answer in ``seconds``.

    Raises:
        OSError: the name is not known.
    """
    found: queue.SimpleQueue[Places | OSError] = queue.SimpleQueue()

    def look_up() -> None:  # no call of the system's looks up with a bound
        try:
            all_of_it = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            found.put([(one[0], one[4]) for one in all_of_it])
        except OSError as error:
            found.put(error)
        except UnicodeError:
            found.put(socket.gaierror(socket.EAI_NONAME, "no name of a host"))

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        places = found.get(timeout=seconds)
    except queue.Empty:
        return []
    if isinstance(places, OSError):
        raise places
    return places


def _look_in_plain(places: Places, end_s: float) -> Cause | None:
    with _connected(places, end_s) as peer:
        try:
            peer.sendall(_PREFACE)
            first = _receive(peer, end_s)
        except TimeoutError:
            return Cause.SILENT
        except ConnectionError:
            first = b""
    if _is_settings(first):
        return None
    if first[:1] and first[0] in _TLS_RECORDS:
        return Cause.TLS_SERVER
    if _speaks_tls(places, end_s):
        return Cause.TLS_SERVER
    return Cause.OTHER_PROTOCOL if first else Cause.CLOSED


def _look_over_tls(
    places: Places, host: str, certificates: Certificates, end_s: float
) -> Cause | None:
    context = certificates.context()
    context.set_alpn_protocols(["h2"])
    with _connected(places, end_s) as peer:
        try:
            peer.settimeout(_left_s(end_s))
            with context.wrap_socket(peer, server_hostname=host) as tls:
                try:
                    tls.sendall(_PREFACE)
                    first = _receive(tls, end_s)
                except ssl.SSLError as error:
                    return cause_of_error(error)
                except ConnectionError:
                    first = b""
                if _is_settings(first):
                    return None
                if first:
                    return Cause.OTHER_PROTOCOL
        except TimeoutError:
            return Cause.SILENT
        except ssl.SSLError as error:
            cause = cause_of_error(error)
            if cause is not Cause.PLAIN_SERVER:
                return cause
            return _other_than_tls(places, end_s)
    # Version 1.3 of TLS lets the client finish before the server looks at its certificate.
    return Cause.CERTIFICATE_REFUSED if certificates.cert else Cause.CERTIFICATE_WANTED


def _other_than_tls(places: Places, end_s: float) -> Cause:
    """What speaks plain text there: our gRPC, or something else."""
    try:
        with _connected(places, end_s) as peer:
            peer.sendall(_PREFACE)
            first = _receive(peer, end_s)
    except OSError:
        return Cause.PLAIN_SERVER
    return Cause.PLAIN_SERVER if _is_settings(first) or not first else Cause.OTHER_PROTOCOL


def _speaks_tls(places: Places, end_s: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Only whether it answers in TLS is asked; nothing is sent to whom this does not verify.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connected(places, end_s) as peer:
            peer.settimeout(_left_s(end_s))
            with context.wrap_socket(peer):
                return True
    except ssl.SSLError as error:
        # An alert is an answer in TLS as well.
        return "ALERT" in str(error.reason)
    except OSError:
        return False


def _connected(places: Places, end_s: float) -> socket.socket:
    """A connection to the first place that takes one.

    Raises:
        OSError: of the last place.
    """
    for family, place in places:
        peer = socket.socket(family, socket.SOCK_STREAM)
        try:
            peer.settimeout(_left_s(end_s))
            peer.connect(place)
        except OSError as error:
            peer.close()
            failure = error
        else:
            return peer
    raise failure


def _left_s(end_s: float) -> float:
    return max(0.05, end_s - time.monotonic())


def _receive(peer: socket.socket, end_s: float) -> bytes:
    """What comes first, at least the head of a frame where the peer sends so much."""
    data = b""
    while len(data) < _FRAME_HEAD_BYTES:
        peer.settimeout(_left_s(end_s))
        if not (more := peer.recv(64)):
            break
        data += more
    return data


def _is_settings(data: bytes) -> bool:
    return len(data) >= _FRAME_HEAD_BYTES and data[3] == _SETTINGS
