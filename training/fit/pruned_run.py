"""A run of a classifier that goes on from another while it is pruned little by little."""

from __future__ import annotations

from pathlib import Path

from training.data.judged import parts
from training.fit.classifier_trainer import LABEL_SMOOTHING, ClassifierTrainer


def prune_run(
    model: str, run: str, share: float, epochs: int, data: Path, votes: Path | None
) -> str:
    """Train ``epochs`` more of ``run`` with ``share`` of the weights at zero at the end; gives the
    name of the run that holds them. One that was killed goes on.

    Raises:
        DataError: data or votes are not as they should be.
        ValueError: there is no such run, it is of another model, or ``share`` is no share.
    """
    name = f"{run}-pruned-{share:g}"
    train, held_out, _ = parts(data, votes, LABEL_SMOOTHING)
    trainer = ClassifierTrainer(model, name, train, None, prune=share, start_from=run)
    if not trainer.resume(epochs):
        trainer.plan(epochs, None)
    trainer.fit(held_out)
    return name
