"""Parameters and multiply-accumulates: ``python -m benchmarks model_size``.

Set next to paper 001's Table 4. Batch normalisation counts parameters but no MACs (it is folded
into the convolution before it), biases and activations none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from splitfer.shared.contracts import CROP_SIDE, FEATURES_SHAPE, LATENT_SHAPE
from training.models.asp import ASP, line_means
from training.models.sfp import SFP
from training.models.sfp_energy import SFPEnergy, filter_bank
from training.models.split_model import CLOUD_TAILS, MODULES, SplitConfig, SplitModel

# Paper 001, Table 4.
PAPER = {
    "backbone": {"parameters": 1_260_000, "macs": 150_000_000},
    "full": {"parameters": 1_910_000, "macs": 290_000_000},
}


def parameters(*modules: nn.Module) -> int:
    """Trainable numbers in the modules."""
    return sum(p.numel() for module in modules for p in module.parameters())


def count_macs(module: nn.Module, *inputs: Tensor) -> dict[str, int]:
    """Multiply-accumulates of one run: ``asp``, ``sfp`` and the rest as ``network``.

    Convolutions and linear layers inside ASP and SFP count for these, and so do their fixed
    matrices and every product that they take.
    """
    counts = {"network": 0, "asp": 0, "sfp": 0}
    handles = []
    inside = {
        part: "asp" if isinstance(whole, ASP) else "sfp"
        for whole in module.modules()
        if isinstance(whole, ASP | SFP | SFPEnergy)
        for part in whole.modules()
    }

    def count(part: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        place = inside.get(part, "network")
        if isinstance(part, nn.Conv2d):
            counts[place] += out.numel() * part.weight[0].numel()
        elif isinstance(part, nn.Linear):
            counts[place] += out.numel() * part.in_features
        elif isinstance(part, ASP):
            counts[place] += _asp_products(part, given[0])
        elif isinstance(part, SFP):
            counts[place] += 2 * given[0].numel()  # the masks, and the scaling
        elif isinstance(part, SFPEnergy):
            counts[place] += _energy_products(part, given[0])

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | ASP | SFP | SFPEnergy):
            handles.append(part.register_forward_hook(count))
    try:
        with torch.no_grad():
            module.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return counts


def _energy_products(module: SFPEnergy, x: Tensor) -> int:
    """Both matrix products of each group's transform, and the scaling."""
    n, _, h, w = x.shape
    products = x.numel()
    for level, channels in enumerate(module.groups, start=1):
        rows, columns = (len(filter_bank(module.wavelet, level, side)) for side in (h, w))
        products += n * channels * rows * w * (h + columns)
    return products


def _asp_products(module: ASP, x: Tensor) -> int:
    """Means as the dense matrices that they are, the product of the maps, and the weighting."""
    n, c, h, w = x.shape
    means = sum(line_means(direction, h, w).size for direction in module.directions)
    return n * (means + len(module.directions) * h * w + c * h * w)


def measure(config: SplitConfig) -> dict[str, Any]:
    """Sizes of the parts, of backbone and full model, and what attention costs."""
    model = SplitModel(config).eval()
    crop = torch.zeros(1, 1, CROP_SIDE, CROP_SIDE)
    features, latent = torch.zeros(1, *FEATURES_SHAPE), torch.zeros(1, *LATENT_SHAPE)
    layers = list(model.cloud_tail.modules())
    stem = sum(count_macs(model.head.stem, crop.expand(-1, 3, -1, -1)).values())
    local = sum(count_macs(model.local_tail, features).values())
    cloud = count_macs(model.cloud_tail, latent)
    parts = {
        "stem": _row([model.head.stem], stem),
        "head": _row([model.head], sum(count_macs(model.head, crop).values())),
        "local_tail": _row([model.local_tail], local),
        "cloud_tail": _row([model.cloud_tail], sum(cloud.values())),
        "asp": _row([m for m in layers if isinstance(m, ASP)], cloud["asp"]),
        "sfp": _row([m for m in layers if isinstance(m, SFP | SFPEnergy)], cloud["sfp"]),
    }
    backbone = _sum(parts["stem"], parts["local_tail"])
    full = _sum(parts["head"], parts["cloud_tail"])
    extra = _sum(parts["asp"], parts["sfp"])
    return {
        "modules": config.modules,
        "cloud": config.cloud,
        "parts": parts,
        "backbone": backbone,
        "full": full,
        "on_device": _sum(parts["head"], parts["local_tail"]),
        "share_of_full": {
            "asp+sfp": {key: round(extra[key] / full[key], 5) for key in extra},
            "head": {key: round(parts["head"][key] / full[key], 5) for key in full},
            "cloud_tail": {key: round(parts["cloud_tail"][key] / full[key], 5) for key in full},
        },
        "paper_001_table_4": PAPER,
        "machine": describe_machine(),
    }


def _row(modules: Iterable[nn.Module], macs: int) -> dict[str, int]:
    return {"parameters": parameters(*modules), "macs": macs}


def _sum(*rows: dict[str, int]) -> dict[str, int]:
    return {key: sum(row[key] for row in rows) for key in ("parameters", "macs")}


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{'':<34}{'parameters':>14}{'MACs':>16}"]

    def add(name: str, row: dict[str, int]) -> None:
        macs = f"{row['macs'] / 1e6:,.2f} M"
        lines.append(f"{name:<34}{row['parameters']:>14,}{macs:>16}")

    add("backbone only", result["backbone"])
    add("  paper 001, Table 4", PAPER["backbone"])
    add(f"full model ({result['cloud']}, {result['modules']})", result["full"])
    add("  paper 001, Table 4", PAPER["full"])
    add("on the device (head, local tail)", result["on_device"])
    lines.append("")
    names = {
        "head": "head (stem, encoder)",
        "local_tail": "local tail",
        "cloud_tail": "cloud tail",
        "asp": "  of it ASP",
        "sfp": "  of it SFP",
    }
    for key, name in names.items():
        add(name, result["parts"][key])
    share = result["share_of_full"]["asp+sfp"]
    lines.append(
        f"\nASP and SFP cost {share['parameters']:.2%} of the full model's parameters and "
        f"{share['macs']:.2%} of its MACs"
    )
    return "\n".join([*lines, "", machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--modules", choices=MODULES, default=SplitConfig.modules)
    parser.add_argument("--cloud", choices=CLOUD_TAILS, default="lite", help="lite is shipped")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    return finish(
        arguments,
        lambda given: measure(SplitConfig(modules=given.modules, cloud=given.cloud)),
        table,
    )


if __name__ == "__main__":
    sys.exit(main())
