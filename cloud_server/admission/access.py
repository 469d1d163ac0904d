"""Who may ask for what: bearer tokens, the identities behind them, and what each may still ask."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

from splitfer.cloud_server.admission.account import Account
from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.admission.tokens import Scope, read_tokens, token_digest
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import AuthError, ConfigError, Forbidden

log = logging.getLogger(__name__)
_SCHEME = "bearer "
# Of the digest, to find the one entry that is then compared as a whole.
_KEY_BYTES = 8
# Addresses that are kept apart; beyond, those that asked longest ago start anew.
_PEERS_MAX = 10_000
# A server without tokens answers pictures and latents, and is governed by nobody.
_ANONYMOUS_SCOPES = frozenset((Scope.INFER, Scope.IMAGE, Scope.METRICS))
# Who runs devices has that one, too: what the server serves is for tokens of the file.
_SHARED_SCOPES = frozenset(Scope) - {Scope.ADMIN}
# Between two lines of the log about tokens that were refused.
_REFUSED_EVERY_S = 10.0


@dataclass(frozen=True)
class Identity:
    """A caller: its name, what it may ask for, how much of it, and what its work is charged to."""

    name: str
    scopes: frozenset[Scope]
    allowance: RateLimiter
    account: Account


@dataclass(frozen=True)
class _Token:
    digest: bytes
    identity: Identity


_NOBODY = bytes(32)


class Access:
    """The callers that this server knows. Belongs to one event loop.

    Names keep their allowance over a reload, so that requests in flight still count.
    """

    def __init__(self, config: CloudConfig, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.version = 0  # of the tokens and limits in force
        self._allowances: dict[str, RateLimiter] = {}
        self._peers: OrderedDict[str, RateLimiter] = OrderedDict()
        self._refused, self._told_s = 0, -math.inf
        self._nobody_in_particular = RateLimiter(CallerLimits(), clock)
        self.reload(config)

    def reload(self, config: CloudConfig) -> None:
        """Put the tokens and limits of ``config`` in force.

        Raises:
            ConfigError: the tokens file is wrong; everything stays as it was.
        """
        try:
            entries = read_tokens(config.tokens) if config.tokens else {}
        except ConfigError as error:
            raise ConfigError(f"tokens: {error}") from error
        named = [
            (name, bytes.fromhex(e.sha256), e.scopes, e.limits or config.caller_limits)
            for name, e in entries.items()
        ]
        if config.token is not None:
            digest = token_digest(config.token.get_secret_value().strip())
            named.append(("token", digest, _SHARED_SCOPES, config.caller_limits))
        names = [name for name, *_ in named]
        if len({digest[:_KEY_BYTES] for _, digest, *_ in named}) < len(names):
            raise ConfigError(f"{config.tokens}: two names have the same token")
        if len(set(names)) < len(names):
            raise ConfigError(f"{config.tokens}: 'token' is the name of the setting's own")

        for name, _, _, limits in named:
            if name in self._allowances:
                self._allowances[name].change(limits)
            else:
                self._allowances[name] = RateLimiter(limits, self._clock)
        for name in self._allowances.keys() - set(names):
            self._allowances.pop(name).revoke()  # streams that are open hold it still
        for allowance in self._peers.values():
            allowance.change(config.caller_limits)
        self._tokens = {
            digest[:_KEY_BYTES]: _Token(digest, self._identity(name, scopes))
            for name, digest, scopes, _ in named
        }
        self._caller_limits = config.caller_limits
        self._limit_by_address = config.limit_by_address
        self._open = config.token is None and config.tokens is None
        if not named and not self._open:
            log.warning("%s holds no token: nobody may ask", config.tokens)
        self.version += 1

    @property
    def names(self) -> str:
        """The names of all tokens in force."""
        return ", ".join(sorted(self._allowances))

    def authenticate(
        self, header: str | None, scope: Scope | None = None, peer: str | None = None
    ) -> Identity:
        """Who sent this ``Authorization`` header, where it may ask for ``scope``; None asks only
        that it is known.

        ``peer`` is an address, ``203.0.113.7``, or gRPC's ``ipv4:203.0.113.7:5000``. What
        the identity asks is counted by ``Admission``.

        Raises:
            AuthError: tokens are in force and the header holds none of them.
            Forbidden: the caller lacks ``scope``.
        """
        try:
            identity = self._anonymous(peer) if self._open else self._known(header)
        except AuthError:
            self._tell_refusal(header is not None, peer)
            raise
        if scope is not None and scope not in identity.scopes:
            if self._open:
                raise Forbidden(f"scope '{scope}' is for tokens, and this server has none")
            raise Forbidden(f"the token of '{identity.name}' lacks the scope '{scope}'")
        return identity

    def key_of(self, header: str | None, peer: str | None) -> str:
        """What tells the sender of this header from others, whatever it asks: the key of its
        account where it has a token, else its address."""
        try:
            return self._known(header).account.key
        except AuthError:
            return address_of(peer) if peer else ""

    def _tell_refusal(self, sent: bool, peer: str | None) -> None:
        """In the log, and seldom, since a stranger can have any number; never a token."""
        self._refused += 1
        now_s = self._clock()
        if now_s - self._told_s >= _REFUSED_EVERY_S:
            log.warning(
                "refused %d request(s) since the last such line; the latest came from %s, with %s",
                self._refused,
                peer and address_of(peer),
                "a token that is not known" if sent else "no token",
            )
            self._refused, self._told_s = 0, now_s

    def _known(self, header: str | None) -> Identity:
        if header is None or header[: len(_SCHEME)].lower() != _SCHEME:
            raise AuthError("send the header 'Authorization: Bearer <token>'")
        digest = token_digest(header[len(_SCHEME) :].strip())
        # Looking up by a part of the hash tells nothing: who cannot choose the hash of a guess
        # learns nothing from how far it agrees.
        token = self._tokens.get(digest[:_KEY_BYTES])
        same = hmac.compare_digest(digest, token.digest if token else _NOBODY)
        if token is None or not same:
            raise AuthError("the token is not one that this server knows")
        return token.identity

    def _identity(self, name: str, scopes: frozenset[Scope]) -> Identity:
        allowance = self._allowances[name]
        return Identity(name, scopes, allowance, Account(name, allowance))

    def _anonymous(self, peer: str | None) -> Identity:
        # Strangers are limited where that is wanted; they take turns by address in any case.
        address, allowance = address_of(peer) if peer else "", self._nobody_in_particular
        if self._limit_by_address and peer:
            allowance = self._peer_allowance(address)
        return Identity("anonymous", _ANONYMOUS_SCOPES, allowance, Account(address, allowance))

    def _peer_allowance(self, address: str) -> RateLimiter:
        allowance = self._peers.get(address)
        if allowance is None:
            allowance = self._peers[address] = RateLimiter(self._caller_limits, self._clock)
            if len(self._peers) > _PEERS_MAX:
                self._peers.popitem(last=False)
        self._peers.move_to_end(address)
        return allowance


@lru_cache(_PEERS_MAX)
def address_of(peer: str) -> str:
    """The address alone; of IPv6 the first half, since a subscriber has all of the second."""
    if peer.startswith(("ipv4:", "ipv6:")):
        peer = peer[len("ipv4:") :].rpartition(":")[0].replace("%5B", "").replace("%5D", "")
        peer = peer.strip("[]").split("%25")[0]
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer  # such as unix:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
