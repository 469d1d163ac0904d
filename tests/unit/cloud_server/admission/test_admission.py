"""A caller that a connection keeps is judged anew as soon as tokens change."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.admission import Admission, Caller
from splitfer.cloud_server.admission.health import Health, Phase
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.errors import AuthError, Forbidden, NotReady, OverQuota, SplitFerError

TOKEN = "a-word-that-is-long-enough"


def tokens(folder: Path, token: str, *scopes: Scope) -> CloudConfig:
    file = folder / "tokens.yaml"
    file.write_text(token_line("camera", token, scopes))
    return CloudConfig(tokens=file)


@pytest.fixture
def admission(tmp_path: Path) -> Admission:
    made = Admission(Access(tokens(tmp_path, TOKEN, Scope.INFER, Scope.IMAGE)), Health())
    made.health.phase = Phase.SERVING
    return made


def camera(admission: Admission) -> Caller:
    return admission.caller(f"Bearer {TOKEN}", Scope.INFER, "192.0.2.1")


@pytest.mark.parametrize(
    ("token", "scope", "error"),
    [
        ("another-word-that-is-long", Scope.INFER, AuthError),
        (TOKEN, Scope.IMAGE, Forbidden),
        (TOKEN, Scope.INFER, None),
    ],
    ids=["rotated", "scope taken away", "the same"],
)
def test_a_kept_caller_is_judged_by_the_tokens_of_now(
    admission: Admission,
    tmp_path: Path,
    token: str,
    scope: Scope,
    error: type[SplitFerError] | None,
) -> None:
    caller = camera(admission)
    running = caller.request()
    admission.access.reload(tokens(tmp_path, token, scope))
    if error is None:
        caller.request().leave()
    else:
        for ask in (caller.judge_anew, caller.request):
            with pytest.raises(error):
                ask()
    assert admission.health.in_flight == 1, "what was let in before still counts, and no more"
    running.leave()
    assert admission.health.is_empty


def test_what_is_refused_is_not_counted() -> None:
    config = CloudConfig(limit_by_address=True, caller_limits=CallerLimits(concurrent=1))
    admission = Admission(Access(config), Health())
    caller = admission.caller(None, Scope.INFER, "192.0.2.1")
    with pytest.raises(NotReady):
        caller.request()
    admission.health.phase = Phase.SERVING
    with caller.request():
        with pytest.raises(OverQuota):
            caller.request()
        assert admission.health.in_flight == 1
    assert admission.health.is_empty
    caller.request().leave()
