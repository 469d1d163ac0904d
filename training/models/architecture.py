"""Which network some parameters are of, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitfer.shared.labels import LABELS, LabelSet
from training.models.split_model import SplitConfig

CLOUD = "cloud_tail."
_CLASSIFIER = "classifier.weight"
_STEM = "head.stem.conv1.0.weight"
_BY_PART = {"blocks.": "lite", "residuals.": "residual", "members.": "ensemble"}


def config_of(
    shapes: Mapping[str, tuple[int, ...]], label_sets: Sequence[str] | None = None
) -> SplitConfig:
    """The options of the ``SplitModel`` whose parameters have these names and shapes. Where the
    label sets are not named, a tail of 7 logits is of FER2013's labels, one of 14 of both.

    What leaves no trace in names and shapes (wavelet, level, padding) is taken to be the default.

    Raises:
        ValueError: it is of no network of this code.
    """
    cloud = {
        name.removeprefix(CLOUD): shape for name, shape in shapes.items() if name.startswith(CLOUD)
    }
    kind = next(
        (kind for part, kind in _BY_PART.items() if any(n.startswith(part) for n in cloud)),
        "shufflenet",
    )
    stem = "small" if shapes.get(_STEM, (0, 3))[1] == 1 else "paper"
    sets = tuple(label_sets) if label_sets else _label_sets(cloud)
    modules, directions = _attention(cloud)
    return SplitConfig(
        cloud=kind,
        stem=stem,
        label_sets=sets,
        modules=modules,
        directions=directions or SplitConfig.directions,
    )


def _label_sets(cloud: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    outputs = next((s[0] for name, s in cloud.items() if name.endswith(_CLASSIFIER)), len(LABELS))
    if outputs == len(LABELS):
        return (LabelSet.FER2013.value,)
    if outputs == len(LABELS) * len(LabelSet):
        return tuple(one.value for one in LabelSet)
    raise ValueError(f"a tail with {outputs} logits is of no network of this code")


def _attention(cloud: Mapping[str, tuple[int, ...]]) -> tuple[str, str]:
    """The attention modules, and the directions of ASP, empty where it is not among them."""
    found: dict[int, str] = {}
    pairs = set()
    for name, shape in cloud.items():
        place, _, rest = name.removeprefix("attention.").partition(".")
        if not name.startswith("attention.") or not place.isdecimal():
            continue
        if rest in ("straight.weight", "diagonal.weight"):
            found[int(place)] = "asp"
            pairs.add({"straight": "H+V", "diagonal": "FD+BD"}[rest.split(".")[0]])
        elif rest == "fc.weight":
            found[int(place)] = "sfp" if shape[0] == shape[1] else "sfp-energy"
    modules = "+".join(found[place] for place in sorted(found)) or "none"
    directions = "+".join(pair for pair in ("H+V", "FD+BD") if pair in pairs)
    return modules, directions
