from __future__ import annotations

import pytest
import torch

from training.fit.losses import cross_entropy, divergence, mean_answer


def test_each_label_set_has_its_weight_in_the_loss() -> None:
    logits, targets = torch.randn(6, 14), torch.rand(6, 2, 7).softmax(dim=2)
    loss = torch.nn.functional.cross_entropy
    crowd, fer2013 = loss(logits[:, :7], targets[:, 0]), loss(logits[:, 7:], targets[:, 1])
    found = cross_entropy(logits, targets.flatten(1), (2.0, 0.5))
    assert float(found) == pytest.approx(float(2 * crowd + fer2013 / 2))


def test_members_of_an_ensemble_learn_each_for_itself() -> None:
    logits, targets = torch.randn(12, 7), torch.rand(6, 7).softmax(dim=1)
    alone = [float(cross_entropy(one, targets, (1.0,))) for one in torch.split(logits, 6)]
    assert float(cross_entropy(logits, targets, (1.0,))) == pytest.approx(sum(alone))


def test_the_mean_answer_is_of_probabilities() -> None:
    local, cloud = torch.randn(4, 14), torch.randn(4, 14)
    mean = (local.view(4, 2, 7).softmax(dim=2) + cloud.view(4, 2, 7).softmax(dim=2)) / 2
    torch.testing.assert_close(mean_answer([cloud, local]).exp().view(4, 2, 7), mean)


def test_tails_that_agree_do_not_diverge() -> None:
    logits = torch.randn(5, 14)
    assert float(divergence([logits, logits.clone()])) == pytest.approx(0, abs=1e-6)
    assert float(divergence([logits, torch.randn(5, 14)])) > 0.01
