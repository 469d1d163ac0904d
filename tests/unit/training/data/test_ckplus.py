from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.data.ckplus import CKPLUS_LABELS, image_folds, load_ckplus, subject_folds
from training.data.datasets import DataError

PEOPLE = np.array(["S005", "S010", "S011", "S022", "S026"])


def arrays(n: int = 35) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "pictures": rng.integers(0, 256, (n, 48, 48), dtype=np.uint8),
        "labels": np.arange(n) % 7,
        "subjects": PEOPLE[np.arange(n) % len(PEOPLE)],
    }


def test_folders_by_label_with_the_subject_in_the_name(tmp_path: Path) -> None:
    given = arrays(14)
    for place, (picture, label, who) in enumerate(
        zip(given["pictures"], given["labels"], given["subjects"], strict=True)
    ):
        folder = tmp_path / "CK +" / CKPLUS_LABELS[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{who}_004_{place:08}.png")
    (tmp_path / "CK +" / "anger" / "readme.txt").write_text("not a picture")
    found = load_ckplus(f"ckplus:{tmp_path / 'CK +'}")
    assert len(found) == 14
    assert found.subjects is not None
    for picture, label, who in zip(found.pictures, found.labels, found.subjects, strict=True):
        place = next(i for i in range(14) if (given["pictures"][i] == picture).all())
        assert (label, who) == (given["labels"][place], given["subjects"][place])


def test_larger_pictures_are_reduced_and_names_without_a_subject_say_nothing(
    tmp_path: Path,
) -> None:
    for folder in ("Happiness", "contempt"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (640, 490), (90, 90, 90)).save(tmp_path / folder / "1.png")
    found = load_ckplus(f"ckplus:{tmp_path}")
    assert found.pictures.shape == (2, 48, 48)
    assert [CKPLUS_LABELS[one] for one in found.labels] == ["happy", "contempt"]
    assert found.subjects is None
    with pytest.raises(DataError, match="only --split images is possible"):
        next(subject_folds(found.subjects, 2))


def test_the_common_hdf5_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    given = arrays()
    with h5py.File(tmp_path / "CK_data.h5", "w") as file:
        file["data_pixel"], file["data_label"] = given["pictures"], given["labels"]
    found = load_ckplus(f"ckplus:{tmp_path / 'CK_data.h5'}")
    np.testing.assert_array_equal(found.pictures, given["pictures"])
    np.testing.assert_array_equal(found.labels, given["labels"])
    assert found.subjects is None
    with h5py.File(tmp_path / "CK_data.h5", "a") as file:
        file["data_subject"] = [who.encode() for who in given["subjects"]]
    with_people = load_ckplus(f"ckplus:{tmp_path / 'CK_data.h5'}")
    assert with_people.subjects is not None
    assert with_people.subjects.tolist() == given["subjects"].tolist()
    with h5py.File(tmp_path / "CK_data.h5", "a") as file:
        del file["data_label"]
    with pytest.raises(DataError, match="has no data_label"):
        load_ckplus(f"ckplus:{tmp_path / 'CK_data.h5'}")
    (tmp_path / "other.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_ckplus(f"ckplus:{tmp_path / 'other.h5'}")


def test_arrays_with_numbers_or_names(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "ck.npz", **given)
    found = load_ckplus(f"ckplus:{tmp_path / 'ck.npz'}")
    np.testing.assert_array_equal(found.labels, given["labels"])
    given["labels"] = np.array(CKPLUS_LABELS)[given["labels"]]
    given["pictures"] = given["pictures"] / 255.0
    np.savez(tmp_path / "ck.npz", **given)
    again = load_ckplus(f"ckplus:{tmp_path / 'ck.npz'}")
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.pictures, found.pictures)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pictures": np.zeros((35, 44, 44), np.uint8)}, r"shape \(35, 44, 44\)"),
        ({"pictures": np.full((35, 48, 48), -3)}, "not grey values of 0 to 255"),
        ({"labels": np.full(35, 7)}, "labels from 7 to 7, not 0 to 6"),
        ({"labels": np.full(35, 0.5)}, "no whole numbers"),
        ({"labels": np.arange(34) % 7}, "35 pictures and labels of shape"),
        ({"labels": np.full(35, "boredom")}, "'boredom' is none of anger"),
        ({"subjects": PEOPLE}, "35 pictures and 5 subjects"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changed: dict[str, np.ndarray], said: str) -> None:
    np.savez(tmp_path / "ck.npz", **(arrays() | changed))
    with pytest.raises(DataError, match=said):
        load_ckplus(f"ckplus:{tmp_path / 'ck.npz'}")


@pytest.mark.parametrize("name", ["ckplus:", "ckplus:/nowhere", "fer2013.zip"])
def test_what_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DataError, match=r"named as ckplus:PATH|no data set at"):
        load_ckplus(name)


@given(
    whose=st.lists(st.sampled_from([f"S{one:03}" for one in range(40)]), min_size=12, max_size=90),
    folds=st.integers(2, 10),
)
def test_nobody_is_in_two_folds_and_everybody_in_one(whose: list[str], folds: int) -> None:
    subjects = np.array(whose)
    people = len(set(whose))
    if people < folds:
        with pytest.raises(DataError, match="cannot be split"):
            list(subject_folds(subjects, folds))
        return
    tested = list(subject_folds(subjects, folds))
    assert len(tested) == folds
    assert (np.sum(tested, axis=0) == 1).all()
    in_fold = [set(subjects[one]) for one in tested]
    assert sum(map(len, in_fold)) == people
    assert max(map(len, in_fold)) - min(map(len, in_fold)) <= 1


@given(labels=st.lists(st.integers(0, 6), min_size=10, max_size=200), folds=st.integers(2, 10))
def test_every_picture_is_tested_once_and_labels_are_spread(labels: list[int], folds: int) -> None:
    given_labels = np.array(labels)
    tested = list(image_folds(given_labels, folds))
    assert (np.sum(tested, axis=0) == 1).all()
    for label in set(labels):
        counts = [int((given_labels[one] == label).sum()) for one in tested]
        assert max(counts) - min(counts) <= 1
    sizes = [int(one.sum()) for one in tested]
    assert max(sizes) - min(sizes) <= 1
