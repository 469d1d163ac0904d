from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.labels import LABELS, LabelSet
from tests.unit.training.faces import made_faces, members, write_zip
from training.data import judged
from training.data.judged import Judged, parts
from training.data.votes import COLUMNS


def test_a_smoothed_label_keeps_the_most() -> None:
    faces = made_faces(6)
    found = Judged.by_fer2013(faces, 0.14).targets[LabelSet.FER2013]
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert found[np.arange(6), faces.labels] == pytest.approx(0.88)
    assert (found.argmax(axis=1) == faces.labels).all()


def test_a_run_learns_from_no_face_that_is_measured_and_from_none_that_people_took_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, public = made_faces(60), made_faces(6, 1)
    public.pictures[0] = training.pictures[5]  # a copy
    data, votes = tmp_path / "d.zip", tmp_path / "votes.csv"
    write_zip(data, members({"Training": training, "PublicTest": public}))
    rows = [",".join(("name", *COLUMNS))]
    for usage, faces in (("Training", training), ("PublicTest", public)):
        for number in faces.ids:
            counts = dict.fromkeys(COLUMNS, 0) | {"sadness": 7, "fear": 2, "contempt": 1}
            if (usage, number) == ("Training", training.ids[9]):
                counts = dict.fromkeys(COLUMNS, 0) | {"NF": 10}
            rows.append(f"{usage}_{number}," + ",".join(map(str, counts.values())))
    votes.write_text("\n".join(rows))
    monkeypatch.setattr(judged, "HOLDOUT_SHARE", 0.1)

    train, measured, left_out = parts(data, votes, smoothing=0.1)

    seen = {p.tobytes() for part in measured.values() for p in part.faces.pictures}
    assert not seen & {picture.tobytes() for picture in train.faces.pictures}
    assert training.ids[9] not in train.faces.ids
    assert left_out >= 1
    assert train.targets[LabelSet.CROWD][:, LABELS.index("sad")] == pytest.approx(7 / 9)
    assert set(train.labels[LabelSet.CROWD]) == {LABELS.index("sad")}
    assert set(measured) == {"holdout", "public_test"}
    assert set(parts(data, None, 0.1)[0].targets) == {LabelSet.FER2013}
