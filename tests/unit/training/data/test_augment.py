from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.training.faces import made_faces
from training.data import augment
from training.data.augment import degraded, enlarge, mixed, random_views, recropped

PICTURES = torch.from_numpy(made_faces(16).pictures)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ROTATION_DEG",
        "TILTED",
        "SCALE",
        "SHIFT",
        "CONTRAST",
        "BRIGHTNESS",
        "ERASE_PROBABILITY",
    ):
        monkeypatch.setattr(augment, name, 0.0)


@pytest.mark.parametrize("size", [32, 96])
def test_shape_and_range(size: int) -> None:
    for views in (enlarge(PICTURES, size), random_views(PICTURES, size, generator())):
        assert views.shape == (16, 1, size, size)
        assert views.dtype == torch.float32
        assert views.min() >= 0
        assert views.max() <= 255


def test_the_same_generator_gives_the_same_views() -> None:
    views = random_views(PICTURES, 64, generator(3))
    torch.manual_seed(99)  # the global generator has no say
    assert torch.equal(views, random_views(PICTURES, 64, generator(3)))
    assert not torch.equal(views, random_views(PICTURES, 64, generator(4)))


def test_faces_of_a_batch_are_seen_differently() -> None:
    views = random_views(PICTURES[:1].repeat(8, 1, 1), 48, generator())
    assert len({float(view.sum()) for view in views}) == 8


@pytest.mark.parametrize("size", [32, 96])
def test_without_strength_a_view_is_the_picture_or_its_mirror(size: int) -> None:
    plain = enlarge(PICTURES, size)
    views = random_views(PICTURES, size, generator(), strength=0.0)
    mirrored = 0
    for view, picture in zip(views, plain, strict=True):
        if (view - picture).abs().max() > 0.01:
            mirrored += 1
            torch.testing.assert_close(view, picture.flip(2), rtol=0, atol=0.01)
    assert 0 < mirrored < 16


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_with_every_constant_zero_too(strength: float) -> None:
    views = random_views(PICTURES, 48, generator(), strength)
    torch.testing.assert_close(
        views, random_views(PICTURES, 48, generator(), 0.0), rtol=0, atol=0.01
    )


def test_strength_is_how_far_a_view_moves() -> None:
    plain = random_views(PICTURES, 48, generator(), 0.0)
    weak, full = (random_views(PICTURES, 48, generator(), s) for s in (0.2, 1.0))
    assert 0 < (weak - plain).abs().mean() < (full - plain).abs().mean()


@pytest.mark.usefixtures("still")
def test_erasing_covers_a_rectangle_with_one_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "ERASE_PROBABILITY", 1.0)
    plain = enlarge(PICTURES, 96)
    for view, picture in zip(random_views(PICTURES, 96, generator()), plain, strict=True):
        best = min((view - picture).abs(), (view - picture.flip(2)).abs(), key=torch.count_nonzero)
        erased = (best > 0.01)[0]
        share = erased.float().mean().item()
        assert 0.005 < share < 0.2
        grey = view[0][erased]
        assert grey.std() < 1e-3


def test_a_mixed_view_and_its_target_come_from_the_same_pair_in_the_same_proportion() -> None:
    views = enlarge(PICTURES, 32)
    targets = torch.eye(16)
    got, wanted = mixed(views, targets, 1.0, generator(5))
    for view, target in zip(got, wanted, strict=True):
        assert float(target.sum()) == pytest.approx(1.0)
        assert view == pytest.approx(torch.einsum("n,nchw->chw", target, views), abs=1e-3)
    assert not torch.equal(got, views)
    same_views, same_targets = mixed(views, targets, 0.0, generator())
    assert same_views is views
    assert same_targets is targets


def test_a_view_that_is_cropped_again_loses_detail_and_stays_where_it_is() -> None:
    views = random_views(PICTURES, 224, generator())
    before = views.clone()
    again = recropped(views, 1.0, generator())
    assert torch.equal(views, before)
    assert again.shape == views.shape
    assert again.min() >= 0
    assert again.max() <= 255

    def detail(some: torch.Tensor) -> float:
        return float((some[:, :, :, 1:] - some[:, :, :, :-1]).square().mean())

    assert detail(again) < 0.95 * detail(views)
    pooled = [torch.nn.functional.avg_pool2d(some, 28) for some in (views, again)]
    assert (pooled[0] - pooled[1]).abs().mean() < 2


def test_a_share_of_the_views_is_cropped_again() -> None:
    views = random_views(PICTURES, 224, generator())
    again = recropped(views, 0.5, generator(5))
    changed = (again != views).flatten(1).any(dim=1)
    assert 0 < changed.sum() < len(views)
    assert torch.equal(again, recropped(views, 0.5, generator(5)))
    assert torch.equal(recropped(views, 0.0, generator()), views)


def test_a_share_of_views_is_degraded_and_the_rest_stand_still() -> None:
    views = enlarge(PICTURES.repeat(8, 1, 1), 112)
    some = degraded(views, 0.5, generator(2))
    assert some.shape == views.shape
    assert some.min() >= 0
    assert some.max() <= 255
    changed = (some != views).flatten(1).any(dim=1).float().mean()
    assert 0.3 < float(changed) < 0.7
    assert torch.equal(some, degraded(views, 0.5, generator(2)))
    assert torch.equal(degraded(views, 0.0, generator(2)), views)


@pytest.mark.parametrize("degrade", augment._DEGRADED)
def test_each_way_to_degrade_takes_more_away_where_it_is_stronger(
    degrade: Callable[[torch.Tensor, float, int], torch.Tensor],
) -> None:
    views = enlarge(PICTURES, 112)
    gentle, hard = (degrade(views, strength, 1) for strength in (0.0, 1.0))
    if degrade in (augment._small, augment._dark, augment._jpeg, augment._covered):
        gentle, hard = hard, gentle  # of these the number is what is left
    assert gentle.shape == hard.shape == views.shape
    assert (gentle - views).abs().mean() < (hard - views).abs().mean()


def test_coarse_jpeg_is_what_a_jpeg_coder_makes() -> None:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 4, (48, 48)), axis=0).clip(-120, 120) + 128
    picture = smooth.astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "jpeg", quality=8)
    expected = np.asarray(Image.open(data)).astype(np.float32)
    views = torch.from_numpy(picture).float()[None, None]
    found = augment._jpeg(views, 0.0, 0)[0, 0].clamp(0, 255).numpy()
    assert np.abs(found - expected).mean() < 0.15 * np.abs(expected - picture).mean()
