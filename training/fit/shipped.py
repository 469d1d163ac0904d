"""A checkpoint from the files that are shipped, to train on where the run's own is not at hand:
``python -m training.fit.shipped --data PATH --run NAME``.

An exported convolution has swallowed the norm behind it. Here the norm is given back: it takes over
what the convolution gives on some faces, so that the network answers as before and can be trained.
The prior, which is not shipped, is fitted anew to what the head sends.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.whole_file import write_whole
from training.data.augment import random_views
from training.data.datasets import (
    HOLDOUT_SHARE,
    DataError,
    Faces,
    data_path,
    load_fer2013,
    split_off,
)
from training.export.half import widened
from training.fit.checkpoint import CHECKPOINT
from training.fit.fit_prior import fit_prior
from training.fit.member import CHECKPOINTS
from training.models.architecture import CLOUD, config_of
from training.models.bottleneck import DEFAULT_RATE
from training.models.split_model import SplitConfig, SplitModel

_FACES, _PRIOR_FACES = 256, 512


@torch.no_grad()
def shipped_model(
    folder: Path,
    tail: str,
    member: int | None,
    faces: Faces,
    label_sets: Sequence[str] | None = None,
) -> SplitModel:
    """Head, local tail and the cloud tail ``tail`` (of an ensemble, its ``member``) of a folder of
    weights. ``faces`` are what the norms' statistics are measured on.

    The model answers ``label_sets``, else those of the tails. Of tails with one label set each of
    the model's begins with that.

    Raises:
        WeightsError: the folder or the tail is not to be used.
        ValueError: the tail is not of this code's networks.
    """
    weights = Weights(folder)
    model = SplitModel(shipped_config(folder, tail, member, label_sets))
    tails, prefix = weights.manifest.tails, prefix_of(folder / weights.manifest.tails[tail].file)
    if member is not None:
        prefix += f"members.{member}."
    pictures = torch.from_numpy(faces.pictures[:_FACES])
    views = random_views(pictures, 224, torch.Generator().manual_seed(0))
    load_shipped(model.head, folder / weights.manifest.head.file, "head.", views)
    gains = torch.tensor([rate.gains for rate in weights.manifest.rates])
    model.gains.log.copy_(gains.log())
    features, z = model.head(views)
    y_hat = model.gains(z, DEFAULT_RATE)[1]
    local = folder / tails[LOCAL_TAIL].file
    load_shipped(model.local_tail, local, prefix_of(local), features)
    load_shipped(model.cloud_tail, folder / tails[tail].file, prefix, y_hat)
    return model.eval()


def shipped_config(
    folder: Path, tail: str, member: int | None = None, label_sets: Sequence[str] | None = None
) -> SplitConfig:
    """The network that a folder of weights is of with this cloud tail, by its parameters' names;
    its label sets are those of the tail unless others are named.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: there is no such cloud tail.
    """
    manifest = Weights(folder).manifest
    tails = manifest.tails
    if tail not in tails or tail == LOCAL_TAIL:
        names = ", ".join(name for name in tails if name != LOCAL_TAIL)
        raise ValueError(f"{folder} has no cloud tail {tail!r}: there are {names}")
    head, cloud = folder / manifest.head.file, folder / tails[tail].file
    prefix = prefix_of(cloud) + ("" if member is None else f"members.{member}.")
    shapes = _shapes(head) | {
        f"{CLOUD}{name.removeprefix(prefix)}": shape
        for name, shape in _shapes(cloud).items()
        if name.startswith(prefix)
    }
    outputs = [output.name for output in onnx.load(cloud).graph.output]
    own = outputs if set(outputs) <= set(LabelSet) else [LabelSet.FER2013.value]
    return config_of(shapes, label_sets or own)


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    return {one.name: tuple(one.dims) for one in widened(onnx.load(file)).graph.initializer}


def prefix_of(file: Path) -> str:
    """What stands before the names of a tail's parameters where it was exported inside another
    module."""
    return "tail." if any(name.startswith("tail.") for name in _shapes(file)) else ""


@torch.no_grad()
def load_shipped(module: nn.Module, file: Path, prefix: str, example: Tensor) -> None:
    """Give ``module`` the parameters that the ONNX ``file`` has under ``prefix``.

    ``example`` is a batch that the module takes; the norms' statistics are measured on it.

    Raises:
        ValueError: the file holds no such module.
    """
    graph = widened(onnx.load(file)).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:  # the exporter names biases as it likes, and leaves out zeros
        if node.op_type == "Conv":
            weight = node.input[1]
            bias = arrays[node.input[2]] if len(node.input) > 2 else np.zeros(len(arrays[weight]))
            arrays[f"{weight.removesuffix('weight')}bias"] = bias
    norms = _norms(module, example)
    swallowed = {f"{norm}.{name}" for norm in norms for name in ("weight", "bias")}
    for name, parameter in module.named_parameters():
        values = arrays.get(f"{prefix}{name}")
        if name in swallowed:
            continue
        if name.removesuffix(".bias") in norms.values():
            parameter.zero_()  # the norm is given all that is added
            continue
        if values is not None and _of_one_label_set(name, values, parameter):
            values = np.concatenate([values] * (len(parameter) // len(LABELS)))
        if values is None or values.shape != tuple(parameter.shape):
            raise ValueError(f"{file} holds no such module: it has no {prefix}{name} like this one")
        parameter.copy_(torch.from_numpy(values.copy()))
    modules = dict(module.named_modules())
    for norm_name, convolution in norms.items():
        norm = modules[norm_name]
        assert isinstance(norm, nn.BatchNorm2d)
        norm.weight.fill_(1.0)
        norm.bias.copy_(torch.from_numpy(arrays[f"{prefix}{convolution}.bias"].copy()))
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]
    _measure([modules[name] for name in norms], module, example)


def _of_one_label_set(name: str, values: NDArray[np.generic], parameter: Tensor) -> bool:
    """Whether a classifier's are of one label set where the module has several."""
    many = len(parameter) if parameter.ndim else 0
    return (
        name.rpartition(".")[0].endswith("classifier")
        and len(values) == len(LABELS) < many
        and many % len(LABELS) == 0
    )


def _norms(module: nn.Module, example: Tensor) -> dict[str, str]:
    """The name of each norm and of the convolution that runs just before it."""
    found: dict[str, str] = {}
    last = ""

    def saw(name: str, one: nn.Module) -> None:
        nonlocal last
        if isinstance(one, nn.BatchNorm2d):
            found[name] = last
        elif getattr(one, "weight", None) is not None and one.weight.ndim == 4:
            last = name

    with ExitStack() as hooks:
        for name, one in module.named_modules():
            hook = one.register_forward_hook(lambda one, _, __, name=name: saw(name, one))
            hooks.callback(hook.remove)
        module.eval()(example)
    return found


def _measure(norms: list[nn.Module], module: nn.Module, example: Tensor) -> None:
    """Move what each norm adds into the statistics of what it is given; the answers stay."""

    def move(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = given[0].mean(dim=(0, 2, 3)), given[0].var(dim=(0, 2, 3))
        norm.bias.add_(mean)
        norm.running_mean.copy_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.running_var.copy_(variance)

    with ExitStack() as hooks:
        for norm in norms:
            hooks.callback(norm.register_forward_pre_hook(move).remove)
        module.eval()(example)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--run", required=True, help="the run to write the checkpoint of")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="cloud", help="the cloud tail")
    parser.add_argument("--member", type=int, help="of an ensemble, which one (from 0)")
    parser.add_argument(
        "--label-sets",
        nargs="+",
        choices=[one.value for one in LabelSet],
        help="what the run shall answer; else what the tails do",
    )
    arguments = parser.parse_args()
    checkpoint = CHECKPOINTS / arguments.run / CHECKPOINT
    try:
        if checkpoint.exists():
            raise ValueError(f"{checkpoint} exists already")
        data = data_path(arguments.data)
        train, _ = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
        folder = arguments.weights or default_folder()
        model = shipped_model(folder, arguments.tail, arguments.member, train, arguments.label_sets)
        latent_bytes = fit_prior(model, train.subset(np.arange(len(train)) < _PRIOR_FACES))
    except DataError as error:
        print(f"shipped: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"shipped: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    saved = io.BytesIO()
    torch.save({"model": model.state_dict()}, saved)
    write_whole(checkpoint, saved.getvalue(), replace=False)
    print(f"{checkpoint}: latents of {', '.join(f'{n:.0f}' for n in latent_bytes)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
