from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.labels import LABELS
from tests.unit.training.faces import made_faces, members, write_csv, write_zip
from training.data import votes_report
from training.data.datasets import DataError, Faces, load_fer2013
from training.data.votes import COLUMNS, CONTEMPT, VOTES_VARIABLE, Votes, load_votes, votes_path

FACES = made_faces(120, first_id=5)


def votes(*rows: dict[str, int]) -> Votes:
    return Votes(np.array([[row.get(name, 0) for name in COLUMNS] for row in rows], np.uint16))


def made_counts(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(10, np.full(10, 0.1), n)


def write_votes(path: Path, names: list[str], counts: np.ndarray) -> Path:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("name", *COLUMNS))
        out.writerows((name, *row) for name, row in zip(names, counts.tolist(), strict=True))
    return path


def names_of(faces: Faces, usage: str = "Training") -> list[str]:
    return [f"{usage}_{number}" for number in faces.ids]


def index(label: str) -> int:
    return LABELS.index(label)


def test_columns_become_our_labels() -> None:
    same = {
        "anger": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "happiness": "happy",
        "neutral": "neutral",
        "sadness": "sad",
        "surprise": "surprise",
    }
    for column, label in same.items():
        one = votes({column: 10})
        assert one.distribution[0].tolist() == [float(name == label) for name in LABELS]
        assert one.protocol()[0].tolist() == one.plurality()[0].tolist() == [index(label)]


def test_contempt_unknown_and_nf_are_no_part_of_the_distribution() -> None:
    found = votes(
        {"happiness": 3, "fear": 1, "contempt": 2, "unknown": 3, "NF": 1}, {"contempt": 10}, {}
    )
    assert found.distribution.dtype == np.float32
    expected = [0.75 if name == "happy" else 0.25 if name == "fear" else 0 for name in LABELS]
    assert found.distribution.tolist() == [expected, [0] * 7, [0] * 7]
    assert found.of_the_seven.tolist() == [4, 0, 0]
    assert found.missing == 1


def test_what_can_be_learnt_from() -> None:
    found = votes(
        {"happiness": 10},
        {"happiness": 4, "NF": 6},
        {"happiness": 5, "NF": 5},  # no first choice: not NF's
        {"happiness": 1, "unknown": 9},
        {"unknown": 10},
        {},
    )
    assert found.usable.tolist() == [True, False, True, True, False, False]
    labels, chosen = found.plurality()
    assert chosen.tolist() == found.usable.tolist()
    assert labels.tolist() == [3, -1, 3, 3, -1, -1]


def test_of_equal_votes_the_first_column_is_the_first_choice() -> None:
    found = votes({"fear": 5, "surprise": 5}, {"happiness": 4, "neutral": 4, "contempt": 2})
    assert found.plurality()[0].tolist() == [index("surprise"), index("neutral")]


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"happiness": 6, "neutral": 4}, index("happy")),
        ({"happiness": 5, "neutral": 5}, -1),  # half is not more than half
        # Single votes go first: 4 of 7 are left, where 4 of 10 would have been no majority.
        ({"happiness": 4, "neutral": 3, "fear": 1, "anger": 1, "disgust": 1}, index("happy")),
        ({"happiness": 4, "neutral": 2, "sadness": 2, "fear": 1, "anger": 1}, -1),
        ({"sadness": 2, **dict.fromkeys(("fear", "anger", "NF", "unknown"), 1)}, index("sad")),
        (dict.fromkeys(COLUMNS, 1), -1),
        ({"contempt": 6, "neutral": 4}, CONTEMPT),
        ({"unknown": 6, "neutral": 4}, -1),
        ({"NF": 6, "neutral": 4}, -1),
        # Unknown counts as one that the majority has to outvote.
        ({"neutral": 5, "unknown": 3, "NF": 2}, -1),
        # Of a picture that is there twice the votes are added; a single vote is still one.
        ({"neutral": 11, "sadness": 8, "fear": 1}, index("neutral")),
        ({}, -1),
    ],
)  # fmt: skip
def test_the_protocol_by_hand(row: dict[str, int], label: int) -> None:
    labels, chosen = votes(row).protocol()
    assert labels.tolist() == [label]
    assert chosen.tolist() == [label != -1]
    assert CONTEMPT not in range(len(LABELS))


def test_how_far_people_agree() -> None:
    found = votes(
        {"happiness": 10},
        {"happiness": 6, "unknown": 4},
        {"contempt": 8, "neutral": 2},
        {"anger": 5, "sadness": 5},  # not in the protocol
        {"NF": 10},  # not usable
    )
    assert found.agreement() == pytest.approx((1 + 0.6 + 0.8) / 3)
    np.testing.assert_allclose(found.entropy, [0, 0, 0, math.log(2), 0])
    assert not np.signbit(found.entropy).any()
    assert found.cross_entropy_floor() == pytest.approx(math.log(2) / 4)
    prior = found.prior()
    assert prior.sum() == pytest.approx(1)
    assert prior[index("happy")] == pytest.approx(0.5)
    assert prior[index("angry")] == pytest.approx(0.125)


def test_nobody_to_agree() -> None:
    nothing = votes({"NF": 10})
    assert math.isnan(nothing.agreement())
    assert math.isnan(nothing.cross_entropy_floor())
    with pytest.raises(DataError, match="no picture has votes"):
        nothing.prior()


def test_a_subset() -> None:
    found = votes({"happiness": 10}, {"anger": 9, "NF": 1}).subset(np.array([False, True]))
    assert len(found) == 1
    assert found.plurality()[0].tolist() == [index("angry")]


def test_votes_by_name_come_in_the_order_of_the_faces(tmp_path: Path) -> None:
    counts = made_counts(len(FACES))
    order = np.random.default_rng(3).permutation(len(FACES))
    names = [names_of(FACES)[place] for place in order]
    # Other parts have rows too, with the same numbers.
    others = names_of(FACES, "PublicTest")
    path = write_votes(
        tmp_path / "v.csv", others + names, np.concatenate((np.zeros_like(counts), counts[order]))
    )
    np.testing.assert_array_equal(load_votes(path, FACES, "Training").counts, counts)
    part = np.arange(len(FACES)) % 7 == 2
    np.testing.assert_array_equal(
        load_votes(path, FACES.subset(part), "Training").counts, counts[part]
    )
    assert len(load_votes(path, FACES.subset(part & ~part), "Training")) == 0


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    swapped = (*COLUMNS[1:], "more", COLUMNS[0], "name")
    path = tmp_path / "v.csv"
    # A byte order mark, as Excel writes.
    text = ",".join(swapped) + "\n" + "0," * 9 + "x,10,Training_5\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    one = FACES.subset(FACES.ids == 5)
    assert load_votes(path, one, "Training").plurality()[0].tolist() == [index("neutral")]


def test_microsofts_rows_beside_kaggles(tmp_path: Path) -> None:
    parts = {"Training": made_faces(12), "PublicTest": made_faces(7, 1, first_id=12)}
    write_csv(tmp_path / "fer2013.csv", parts)
    counts = made_counts(19)
    path = tmp_path / "fer2013new.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("Usage", "Image name", *COLUMNS))
        for number, row in enumerate(counts.tolist()):
            # Pictures that are no face have no name.
            name = "" if number % 3 == 0 else f"fer{number:07}.png"
            out.writerow(("Training" if number < 12 else "PublicTest", name, *row))
    for usage, expected in (("Training", counts[:12]), ("PublicTest", counts[12:])):
        faces = load_fer2013(tmp_path / "fer2013.csv", usage)
        np.testing.assert_array_equal(load_votes(path, faces, usage).counts, expected)
    with pytest.raises(DataError, match=r"Kaggle's fer2013\.csv: row 12 .* Training, that is of P"):
        load_votes(path, made_faces(1, first_id=12), "Training")
    with pytest.raises(DataError, match="row 1206 should be of Training, there is none"):
        load_votes(path, made_faces(1, first_id=1206), "Training")


def test_a_few_pictures_may_have_no_row(tmp_path: Path) -> None:
    names, counts = names_of(FACES), made_counts(len(FACES))
    found = load_votes(write_votes(tmp_path / "v.csv", names[2:], counts[2:]), FACES, "Training")
    assert found.missing == 2
    assert not found.usable[:2].any()
    np.testing.assert_array_equal(found.counts[2:], counts[2:])
    path = write_votes(tmp_path / "w.csv", names[3:], counts[3:])
    with pytest.raises(DataError, match=r"3 of 120 pictures of Training have no row.*Training_5;"):
        load_votes(path, FACES, "Training")


def test_of_a_few_pictures_of_a_part_two_may_have_no_row(tmp_path: Path) -> None:
    few = FACES.subset(np.arange(len(FACES)) < 20)
    names = names_of(few)
    path = write_votes(tmp_path / "votes.csv", names[2:], made_counts(18))
    assert load_votes(path, few, "Training").missing == 2
    path = write_votes(tmp_path / "votes.csv", names[3:], made_counts(17))
    with pytest.raises(DataError, match="3 of 20 pictures"):
        load_votes(path, few, "Training")
    with pytest.raises(DataError, match="2 of 2 pictures"):
        load_votes(path, few.subset(np.arange(20) < 2), "Training")


def test_votes_of_another_data_set(tmp_path: Path) -> None:
    path = write_votes(tmp_path / "v.csv", names_of(FACES, "Test"), made_counts(len(FACES)))
    with pytest.raises(DataError, match="120 of 120 pictures of Training have no row"):
        load_votes(path, FACES, "Training")


def test_a_name_that_is_there_twice_tells_nothing(tmp_path: Path) -> None:
    names, counts = names_of(FACES), made_counts(len(FACES))
    twice = write_votes(
        tmp_path / "v.csv", [*names, names[7]], np.concatenate((counts, counts[:1]))
    )
    found = load_votes(twice, FACES, "Training")
    assert found.counts[7].sum() == 0
    assert found.missing == 1
    # One row, and two pictures that bear its name.
    ids = FACES.ids.copy()
    ids[8] = ids[9]
    shared = Faces(FACES.pictures, FACES.labels, ids)
    once = write_votes(
        tmp_path / "w.csv", [*names[:8], *names[9:]], np.concatenate((counts[:8], counts[9:]))
    )
    found = load_votes(once, shared, "Training")
    assert found.counts[8:10].sum() == 0
    assert found.missing == 2
    path = write_votes(tmp_path / "x.csv", names * 2, np.concatenate((counts, counts)))
    with pytest.raises(
        DataError, match=r"120 of 120 .* have a name that is there twice.*Training_5"
    ):
        load_votes(path, FACES, "Training")


@pytest.mark.parametrize("vote", ["-1", "2.5", "", "x", "65536", "1" * 5000])
def test_a_vote_that_is_none_is_named(tmp_path: Path, vote: str) -> None:
    path = tmp_path / "v.csv"
    path.write_text(f"name,{','.join(COLUMNS)}\nTraining_5,1,{vote},0,0,0,0,0,0,0,0\n")
    with pytest.raises(DataError, match=r"v\.csv, row 0: happiness is '.*', not a number of votes"):
        load_votes(path, FACES.subset(FACES.ids == 5), "Training")


def test_a_row_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text(f"name,{','.join(COLUMNS)}\nTraining_5,1,2\n")
    with pytest.raises(DataError, match="row 0: surprise is None"):
        load_votes(path, FACES.subset(FACES.ids == 5), "Training")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,neutral\n", "has no column happiness, surprise"),
        (b"", "has no column neutral"),
        (",".join(COLUMNS).encode() + b"\n", "neither a column name nor the columns Usage and"),
        (b"\xff\xfe\x00", "not a csv of votes"),
    ],
)
def test_another_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_votes(tmp_path / "v.csv", FACES, "Training")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="directory"):
        load_votes(tmp_path, FACES, "Training")


def test_where_the_votes_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VOTES_VARIABLE, raising=False)
    with pytest.raises(DataError, match="pass --votes FILE or set SPLITFER_VOTES"):
        votes_path(None)
    path = write_votes(tmp_path / "v.csv", [], made_counts(0))
    monkeypatch.setenv(VOTES_VARIABLE, str(path))
    assert votes_path(None) == path
    with pytest.raises(DataError, match="no file of votes at"):
        votes_path(str(tmp_path))


def test_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"Training": made_faces(12), "PublicTest": made_faces(7, 1, first_id=12)}
    write_zip(tmp_path / "data.zip", members(parts))
    columns = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    names, rows = [], []
    for usage, faces in parts.items():
        names += names_of(faces, usage)
        rows += [[10 * (c == columns[label]) for c in COLUMNS] for label in faces.labels]
    rows[0] = [10 * (c == "contempt") for c in COLUMNS]
    path = write_votes(tmp_path / "v.csv", names, np.array(rows))
    command = ["votes_report", "--data", str(tmp_path / "data.zip"), "--votes", str(path)]
    monkeypatch.setattr(sys, "argv", [*command, "--json"])
    assert votes_report.main() == 0
    result = json.loads(capsys.readouterr().out)["Training"]
    assert (result["n"], result["usable"], result["missing"]) == (12, 11, 0)
    assert result["protocol"]["n"] == 12
    assert result["protocol"]["faces"]["contempt"] == 1
    assert result["label_is_plurality"] == 1
    assert result["label_is_protocol"] == pytest.approx(11 / 12, abs=1e-4)
    monkeypatch.setattr(sys, "argv", command)
    assert votes_report.main() == 0
    assert "PublicTest: 7 pictures, 0 without votes, 7 usable" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*command[:-1], "none.csv"])
    assert votes_report.main() == 3
    assert capsys.readouterr().err == "votes_report: no file of votes at none.csv\n"
