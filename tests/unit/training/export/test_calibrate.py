from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import softmax
from tests.unit.training.faces import made_faces
from training.data.datasets import Faces, held_out_of
from training.data.judged import Judged, shares
from training.export.calibrate import complete_manifest, measure, unseen
from training.export.scores import fit_temperature

CROWD, FER2013 = LabelSet


def test_faces_that_were_trained_on_are_not_calibrated_on() -> None:
    faces = made_faces(200)
    held_out = held_out_of(faces)
    first, second = np.flatnonzero(held_out)[:2]
    faces.pictures[first] = faces.pictures[np.flatnonzero(~held_out)[0], :, ::-1]
    learnt, kept = unseen(Judged.by_fer2013(faces))
    assert len(learnt) == np.count_nonzero(~held_out)
    assert faces.ids[first] not in kept.faces.ids
    assert faces.ids[second] in kept.faces.ids


def test_both_answers_together_are_measured_as_the_device_gives_them(weights_copy: Path) -> None:
    held_out, test = made_faces(24), made_faces(24, seed=1)
    tests = {"PublicTest": Judged.by_fer2013(test)}
    manifest = complete_manifest(weights_copy, Judged.by_fer2013(held_out), tests)
    weights, found = Weights(weights_copy), measure(Weights(weights_copy), test)
    own = softmax(found.local["local"][FER2013] / np.float32(weights.temperature("local", 0)))
    for index, rate in enumerate(manifest.rates):
        temperature = np.float32(weights.temperature("cloud", index))
        mean = (own + softmax(found.cloud["cloud", index][FER2013] / temperature)) / 2
        right = mean[np.arange(24), test.labels]
        both = rate.together["cloud"][FER2013]
        assert both.accuracy == {
            "PublicTest": round(float((mean.argmax(1) == test.labels).mean()), 5)
        }
        assert both.log_loss["PublicTest"] == pytest.approx(-np.log(right).mean(), abs=1e-4)
    assert manifest.tails["local"].answers[FER2013].log_loss["PublicTest"] == pytest.approx(
        -np.log(own[np.arange(24), test.labels]).mean(), abs=1e-4
    )


def voted(faces: Faces, seed: int) -> Judged:
    """With votes of ten people, who rarely agree; the first face got none, and a third of them have
    no class that counts."""
    rng = np.random.default_rng(seed)
    votes = rng.multinomial(10, np.full(7, 1 / 7), len(faces)).astype(np.float32) / 10
    votes[0] = 0
    hard = np.where(np.arange(len(faces)) % 3 == 0, -1, votes.argmax(1)).astype(np.int64)
    hard[1] = 7  # contempt: no answer is right
    single = Judged.by_fer2013(faces)
    return Judged(faces, {CROWD: votes, **single.targets}, {CROWD: hard, **single.labels})


def test_each_label_set_is_calibrated_and_measured_by_what_people_said(
    crowd_weights_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(crowd_weights_folder, tmp_path / crowd_weights_folder.name))
    held_out, test = voted(made_faces(24), 0), voted(made_faces(24, seed=1), 1)
    manifest = complete_manifest(folder, held_out, {"PublicTest": test}, shares(held_out))
    weights, found = Weights(folder), measure(Weights(folder), test.faces)
    for label_set in (CROWD, FER2013):
        temperature = weights.temperature("local", 0, label_set)
        own = softmax(found.local["local"][label_set] / np.float32(temperature))
        measured = manifest.tails["local"].answers[label_set]
        hard, targets = test.labels[label_set], test.targets[label_set]
        counts, said = hard >= 0, targets.sum(1) > 0
        right = (own.argmax(1) == hard)[counts].mean()
        assert measured.accuracy == {"PublicTest": pytest.approx(right, abs=1e-5)}
        loss = -(targets * np.log(own)).sum(1)[said].mean()
        assert measured.log_loss == {"PublicTest": pytest.approx(loss, abs=1e-4)}
        assert manifest.priors[label_set] == pytest.approx(
            held_out.targets[label_set].sum(0) / held_out.targets[label_set].sum(), abs=1e-5
        )
        for rate in manifest.rates:
            assert set(rate.answers["cloud"]) == set(rate.together["cloud"]) == {CROWD, FER2013}


def test_confidence_is_the_share_of_people_that_name_the_class() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 7)).astype(np.float32)
    shares_of_people = softmax(logits / np.float32(1.7))
    assert fit_temperature(logits, shares_of_people) == pytest.approx(1.7, rel=0.02)


def test_of_a_label_set_without_people_nothing_is_said(
    crowd_weights_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(crowd_weights_folder, tmp_path / crowd_weights_folder.name))
    single = Judged.by_fer2013(made_faces(24))
    manifest = complete_manifest(folder, single, {"PublicTest": single})
    crowd = manifest.rates[0].answers["cloud"][CROWD]
    assert (crowd.temperature, crowd.accuracy, crowd.log_loss) == (1.0, {}, {})
    assert set(manifest.rates[0].together["cloud"]) == {FER2013}
    assert Weights(folder).tail("cloud", 1).label_sets == (CROWD, FER2013)
