"""Where models run: the names of devices, checked before any work."""

from __future__ import annotations

import re
from typing import Final

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.extras import require

NAMES: Final = ("cpu", "cuda", "cuda:N", "mps", "auto")
"""cuda means every NVIDIA GPU of the machine, cuda:N one of them, auto a GPU where there is one."""


def check_name(device: str) -> None:
    """Refuse what is no device's name, whatever this machine has.

    Raises:
        UsageError: it is none of NAMES.
    """
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?|mps|auto", device):
        close = " Did you mean cuda?" if device.startswith(("gpu", "cud", "nvidia")) else ""
        raise UsageError(
            f"There is no device '{device}'.{close}", fix=f"Write --device with one of {', '.join(NAMES)}, where N is the number of a GPU."
        )


def check_device(device: str) -> str:
    """The device, if it is one of NAMES and this machine has it. torch is loaded only for a GPU.

    Raises:
        UsageError: it is no device's name.
        EnvironmentFault: this machine has no such device.
    """
    check_name(device)
    if device in ("cpu", "auto"):
        return device
    torch = require("torch", needed_by=f"the device {device}")
    fix = "Leave --device out, or write --device cpu. What this machine has: instructsel doctor"
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise EnvironmentFault("There is no Apple GPU (mps) on this machine.", fix=fix)
        return device
    count = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    if not count:
        raise EnvironmentFault(f"There is no NVIDIA GPU ({device}) that PyTorch can use on this machine.", fix=fix)
    if device != "cuda" and int(device.removeprefix("cuda:")) >= count:
        raise EnvironmentFault(f"There is no {device}: this machine has {count} GPU{'s' * (count > 1)}, counted from cuda:0.", fix=fix)
    return device
