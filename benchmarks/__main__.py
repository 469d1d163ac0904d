"""``python -m benchmarks NAME ...`` runs a benchmark; ``list`` says what each one answers, and how
long it took where its result is kept."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.readme.results import longest_s
from splitfer.shared.standard_streams import ended_in_words
from training.__main__ import HOW_TO_INSTALL_ALL

# The module whose ``main`` reads the rest of the command line; its docstring says what it answers.
BENCHMARKS = {
    "accuracy": "benchmarks.accuracy.accuracy",
    "attack": "benchmarks.attack.attack",
    "bottleneck_cost": "benchmarks.accuracy.bottleneck_cost",
    "browser": "benchmarks.device.browser",
    "capacity": "benchmarks.serving.capacity",
    "cascade": "benchmarks.accuracy.cascade",
    "cascade_clips": "benchmarks.accuracy.cascade_clips",
    "codec": "benchmarks.device.codec",
    "degraded": "benchmarks.degraded.degraded",
    "demo": "benchmarks.demo.demo",
    "detectors": "benchmarks.detectors.detectors",
    "edge": "benchmarks.device.edge",
    "leakage": "benchmarks.leakage.leakage",
    "link": "benchmarks.link.link",
    "model_card": "benchmarks.card.model_card",
    "model_size": "benchmarks.device.model_size",
    "models": "benchmarks.models.models",
    "policy_sim": "benchmarks.link.policy_sim",
    "quality_fit": "benchmarks.degraded.quality_fit",
    "rate_accuracy": "benchmarks.accuracy.rate_accuracy",
    "readme": "benchmarks.readme.readme",
    "runtimes": "benchmarks.models.runtimes",
    "scaling": "benchmarks.serving.scaling",
    "serving": "benchmarks.serving.serving",
    "tracking": "benchmarks.device.tracking",
    "week": "benchmarks.week.week",
}


def main() -> int:
    """Command line; gives the exit code."""
    name, arguments = (sys.argv[1] if sys.argv[1:] else "list"), sys.argv[2:]
    if name in ("list", "-h", "--help"):
        for each in BENCHMARKS:
            took_s = longest_s(each)
            took = f"  ({took_s / 60:.0f} min)" if took_s and took_s >= 60 else ""
            took = took or (f"  ({took_s} s)" if took_s is not None else "")
            print(f"{each:{max(map(len, BENCHMARKS))}}  {question(each)}{took}")
        return 0
    if name not in BENCHMARKS:
        print(f"benchmarks: no {name!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    sys.argv = [f"python -m benchmarks {name}", *arguments]
    try:
        module = import_module(BENCHMARKS[name])
    except ImportError as error:
        print(f"benchmarks: {error}; {HOW_TO_INSTALL_ALL}", file=sys.stderr)
        return 2
    code: int = module.main()
    return code


def question(name: str) -> str:
    """What it answers. The module is read, not run: it may need what is not installed."""
    spec = find_spec(BENCHMARKS[name])
    assert spec, name
    assert spec.origin, name
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""
    return text.partition("\n\n")[0].replace("\n", " ").partition(": ``")[0].rstrip(".")


if __name__ == "__main__":
    sys.exit(ended_in_words("benchmarks", main))
