"""Devices: a name that is none is a usage error, a device that is not here ends before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.adapters import TrlTrainer, recipe
from instructsel.errors import EnvironmentFault, ModelUnavailable, UsageError
from instructsel.models import load
from instructsel.models.devices import check_device

torch = pytest.importorskip("torch")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "tpu", "cuda:0\n"])
def test_what_is_no_device_is_a_usage_error_that_names_all(name: str) -> None:
    with pytest.raises(UsageError, match="There is no device") as caught:
        check_device(name)
    for device in ("cpu", "cuda", "cuda:N", "mps", "auto"):
        assert device in str(caught.value.fix)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_here_is_a_fault_of_the_machine_and_no_missing_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for refuse in (check_device, lambda device: load.settings("auto", device)):
        with pytest.raises(EnvironmentFault, match="There is no") as caught:
            refuse(name)
        # A missing model leaves its column null; a missing device must not.
        assert not isinstance(caught.value, ModelUnavailable)
        assert "--device cpu" in str(caught.value.fix)


@pytest.mark.usefixtures("gpus")
def test_one_gpu_of_several_can_be_named() -> None:
    assert check_device("cuda:1") == "cuda:1"
    assert load.settings("auto", "cuda:1") == ("bf16", "cuda:1")
    assert load.devices("cuda:1") == ["cuda:1"] and load.devices("cuda") == ["cuda:0", "cuda:1"]
    with pytest.raises(EnvironmentFault, match="this machine has 2 GPUs"):
        check_device("cuda:2")


@pytest.mark.usefixtures("gpus")
def test_a_fine_tune_on_another_than_the_first_gpu_is_refused_with_the_way_to_it(tmp_path: Path) -> None:
    trainer = TrlTrainer("base", recipe("tiny"), folder=tmp_path, device="cuda:1")
    with pytest.raises(UsageError, match="cannot run on cuda:1") as caught:
        _ = trainer.runtime
    assert "CUDA_VISIBLE_DEVICES=1" in str(caught.value.fix)
    assert TrlTrainer("base", recipe("tiny"), folder=tmp_path, device="cuda:0").runtime == ("bf16", "cuda:0")
