from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from splitfer.cloud_server.admission.access import Access, Identity
from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.errors import AuthError, ConfigError, Forbidden, Overloaded

ONE = CallerLimits(concurrent=1)
DOOR, YARD = new_token(), new_token()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.yaml"
    path.write_text(token_line("door", DOOR, [Scope.INFER]) + "\n")
    return path


def access(**settings: Any) -> Access:
    return Access(CloudConfig(**settings), clock=lambda: 0.0)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def full(identity: Identity) -> bool:
    """Whether it may ask nothing more now."""
    try:
        with identity.allowance.request():
            return False
    except Overloaded:
        return True


@pytest.mark.parametrize(
    "header",
    [
        "Bearer passw0rd-of-this-test",
        "bearer  passw0rd-of-this-test ",
        "BEARER passw0rd-of-this-test",
    ],
)
def test_the_one_token_may_ask_and_not_govern(header: str) -> None:
    here = access(token=SecretStr("passw0rd-of-this-test"))
    caller = here.authenticate(header)
    assert caller.name == "token"
    assert caller.scopes == {Scope.INFER, Scope.IMAGE, Scope.METRICS}
    with pytest.raises(Forbidden, match="'token' lacks the scope 'admin'"):
        here.authenticate(header, Scope.ADMIN)


@pytest.mark.parametrize(
    "header",
    [None, "", "passw0rd-of-this-test", "Basic passw0rd-of-this-test", "Bearer ", "Bearer x"],
)
def test_a_missing_or_wrong_token(header: str | None, file: Path) -> None:
    with pytest.raises(AuthError) as raised:
        access(token=SecretStr("passw0rd-of-this-test"), tokens=file).authenticate(header)
    assert not isinstance(raised.value, Forbidden)
    assert "passw0rd-of-this-test" not in str(raised.value)


def test_a_token_of_the_file_may_do_what_its_scopes_say(file: Path) -> None:
    here = access(tokens=file, token=SecretStr("s3cret-of-this-test"))
    assert here.authenticate(bearer(DOOR)).name == "door"
    assert here.authenticate(bearer(DOOR), Scope.INFER).name == "door"
    for scope in (Scope.IMAGE, Scope.ADMIN):
        with pytest.raises(Forbidden, match=f"'door' lacks the scope '{scope}'") as raised:
            here.authenticate(bearer(DOOR), scope)
        assert DOOR not in str(raised.value)
    assert here.authenticate(bearer("s3cret-of-this-test"), Scope.IMAGE).name == "token"


def test_a_hash_is_no_token(file: Path) -> None:
    digest = file.read_text().split('"')[3]
    with pytest.raises(AuthError):
        access(tokens=file).authenticate(bearer(digest))


def test_a_file_without_tokens_lets_nobody_in_and_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = tmp_path / "tokens.yaml"
    empty.write_text("# none yet\n")
    for header in (None, bearer(DOOR)):
        with pytest.raises(AuthError):
            access(tokens=empty).authenticate(header)
    assert "tokens.yaml holds no token: nobody may ask" in caplog.text


def test_without_tokens_everybody_may_ask_and_nobody_administers() -> None:
    here = access(caller_limits=ONE)
    assert here.authenticate(None, Scope.INFER).name == "anonymous"
    assert here.authenticate("Bearer x", Scope.IMAGE).name == "anonymous"
    with pytest.raises(Forbidden, match="this server has none"):
        here.authenticate(None, Scope.ADMIN)
    with here.authenticate(None, peer="10.0.0.1").allowance.request():
        assert not full(here.authenticate(None, peer="10.0.0.1"))


def test_each_token_has_its_own_allowance(file: Path) -> None:
    with file.open("a") as more:
        line = token_line("yard", YARD, [Scope.INFER])
        more.write(line.replace("}", ", limits: {concurrent: 2}}") + "\n")
    here = access(tokens=file, caller_limits=ONE)
    with here.authenticate(bearer(DOOR)).allowance.request():
        assert full(here.authenticate(bearer(DOOR)))
        with here.authenticate(bearer(YARD)).allowance.request():
            assert not full(here.authenticate(bearer(YARD)))


@pytest.mark.parametrize(
    ("peer", "same", "other"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.1:6000", "ipv4:10.0.0.2:5000"),
        ("ipv4:10.0.0.1:5000", "10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.1", "ipv4:10.0.0.1:5000", "10.0.0.2"),
        ("ipv6:%5B2001:db8::1%5D:5000", "2001:db8::2", "2001:db8:0:1::1"),
        ("unix:", "unix:", "10.0.0.2"),
    ],
)
def test_addresses_are_held_apart_where_asked(peer: str, same: str, other: str) -> None:
    here = access(caller_limits=ONE, limit_by_address=True)
    with here.authenticate(None, peer=peer).allowance.request():
        assert full(here.authenticate(None, peer=same))
        assert not full(here.authenticate(None, peer=other))


def test_many_addresses_do_not_pile_up() -> None:
    here = access(caller_limits=ONE, limit_by_address=True)
    for n in range(10_005):
        here.authenticate(None, peer=f"10.0.{n // 256}.{n % 256}")
    assert len(here._peers) == 10_000


def test_a_reload_changes_what_is_in_force(file: Path) -> None:
    here = access(tokens=file, caller_limits=ONE)
    before = here.authenticate(bearer(DOOR))
    with before.allowance.request():
        file.write_text(token_line("door", YARD, [Scope.IMAGE]) + "\n")
        here.reload(CloudConfig(tokens=file, caller_limits=ONE))
        with pytest.raises(AuthError):
            here.authenticate(bearer(DOOR))
        after = here.authenticate(bearer(YARD), Scope.IMAGE)
        assert full(after)  # the request from before the reload is still in flight
        here.reload(CloudConfig(tokens=file, caller_limits=CallerLimits(concurrent=2)))
        assert not full(after)
        file.write_text("")
        here.reload(CloudConfig(tokens=file))
    with pytest.raises(AuthError):
        here.authenticate(bearer(YARD))
    with pytest.raises(AuthError):  # on a stream that is still open
        after.allowance.enter()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda line: "door: {", "tokens.yaml, line"),
        (lambda line: "- door\n", "keys and values"),
        (lambda line: f"door: {DOOR}\n", "door: Input should be"),
        (lambda line: line.replace("infer", "infra"), "door.scopes"),
        (lambda line: line.replace('"infer"', ""), "door.scopes"),
        (lambda line: line.replace("sha256", "sha1"), "door.sha"),
        (lambda line: line.replace(', scopes: ["infer"]', ""), "door.scopes"),
        (lambda line: f'door: {{sha256: "{DOOR}", scopes: [infer]}}', "door.sha256"),
        (lambda line: line.replace("}", ", limits: {concurrent: 0}}"), "door.limits.concurrent"),
        (lambda line: f'"{DOOR} ": {{}}\n', "a token's name is"),
        (lambda line: line + line.replace("door", "yard"), "two names have the same token"),
        (lambda line: line.replace("door", "token"), "'token' is the name"),
    ],
)
def test_a_broken_file_leaves_the_old_one_in_force(
    file: Path, broken: Callable[[str], str], message: str
) -> None:
    config = CloudConfig(tokens=file, token=SecretStr("s3cret-of-this-test"))
    here = Access(config)
    file.write_text(broken(file.read_text()))
    for load in (here.reload, Access):
        with pytest.raises(ConfigError, match=message) as raised:
            load(config)
        assert "\n" not in str(raised.value)
        assert DOOR not in str(raised.value)
    assert here.authenticate(bearer(DOOR), Scope.INFER).name == "door"


def test_refusals_are_logged_seldom_and_without_the_token(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    guarded = Access(CloudConfig(tokens=file), clock=lambda: now_s)

    def refuse(header: str | None) -> None:
        with pytest.raises(AuthError):
            guarded.authenticate(header, Scope.INFER, "ipv4:203.0.113.7:5000")

    for _ in range(50):
        refuse(bearer(YARD))
    assert len(caplog.records) == 1
    now_s = 10.0
    refuse(None)
    (_, second) = [record.getMessage() for record in caplog.records]
    assert second.startswith("refused 50 request(s)")
    assert second.endswith("came from 203.0.113.7, with no token")
    assert YARD not in caplog.text
    with pytest.raises(Forbidden):  # known: no refusal of a token
        guarded.authenticate(bearer(DOOR), Scope.METRICS)
    assert len(caplog.records) == 2
