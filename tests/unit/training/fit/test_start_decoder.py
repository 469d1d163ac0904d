from __future__ import annotations

import torch

from tests.unit.training.faces import made_faces
from training.data.augment import enlarge
from training.fit.start_decoder import follow_local
from training.models.split_model import SplitConfig, SplitModel


def test_the_cloud_tail_begins_with_what_the_local_one_knows(split_model: SplitModel) -> None:
    model = SplitModel(SplitConfig())
    model.load_state_dict(split_model.state_dict())
    views = enlarge(torch.from_numpy(made_faces(24).pictures), 224)
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    follow_local(model, views)
    with torch.no_grad():
        features, z = model.eval().head(views)
        tail = model.cloud_tail
        given = tail.attention(tail.decoder(model.gains(z, 0)[1]))
        local, cloud = model.local(views), model.cloud(views)
    for name, tensor in model.head.state_dict().items():
        assert torch.equal(tensor, head[name]), name
    # Near in the mean square, as eight channels let it be.
    assert (given - features).square().mean() < 0.5 * features.var()
    assert torch.corrcoef(torch.stack((local.flatten(), cloud.flatten())))[0, 1] > 0.8
