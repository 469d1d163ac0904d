"""What a peer says takes one line of a log, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from splitfer.shared.peer_words import LONGEST, peer_words


@given(st.text())
def test_it_is_one_printable_line_of_bounded_length(text: str) -> None:
    shown = peer_words(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST


@given(st.text(alphabet="abc: ", max_size=LONGEST))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert peer_words(text) == text


def test_what_could_forge_a_line_is_escaped() -> None:
    assert peer_words("no\n2026 ERROR \x1b[31mall lost\x00") == (
        r"no\n2026 ERROR \x1b[31mall lost\x00"
    )


@given(st.text(max_size=2 * LONGEST), st.text(max_size=LONGEST))
def test_a_secret_is_masked_also_where_the_cut_goes_through_it(before: str, after: str) -> None:
    assert "sesame" not in peer_words(f"{before}sesame-open{after}", "sesame-open")
