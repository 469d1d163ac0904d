from __future__ import annotations

from collections.abc import Iterator

from splitfer.shared import errors
from splitfer.shared.errors import SplitFerError


def _tree(root: type[SplitFerError]) -> Iterator[type[SplitFerError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def test_every_error_is_drawn_in_the_docstring_and_has_a_code() -> None:
    for kind in _tree(SplitFerError):
        if kind.__module__ == errors.__name__:
            assert kind.__name__ in (errors.__doc__ or "")
            assert kind.code
            assert isinstance(kind.retryable, bool)


def test_what_may_pass_may_be_tried_again() -> None:
    retryable = {kind.__name__ for kind in _tree(SplitFerError) if kind.retryable}
    assert {"Overloaded", "NotReady", "LinkError"} <= retryable
    assert not {"MalformedPayload", "ModelMismatch", "AuthError", "ImageError"} & retryable
