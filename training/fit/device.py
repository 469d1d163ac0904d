"""What trains: an accelerator where there is one."""

from __future__ import annotations

import os

import torch

DEVICE_VARIABLE = "SPLITFER_TRAINING_DEVICE"


def training_device() -> torch.device:
    """The device that ``SPLITFER_TRAINING_DEVICE`` names, else an accelerator, else the processor.

    Raises:
        ValueError: the variable names none that is here.
    """
    name = os.environ.get(DEVICE_VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # of a build without CUDA
        reason = str(error).splitlines()[0]
        raise ValueError(f"{DEVICE_VARIABLE}: {name!r} cannot be used here: {reason}") from error
    return device
