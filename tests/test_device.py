"""The choice of device and precision, and the reason it gives."""

import pytest
import torch

from s2s.device import choose_compute
from s2s.errors import S2SError


def native(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported, raising=False)


def test_float32_is_what_was_asked_for() -> None:
    compute = choose_compute("cpu", "float32")
    assert compute.device == torch.device("cpu")
    assert compute.dtype == torch.float32
    assert "as asked" in str(compute)


@pytest.mark.parametrize("supported", [True, False])
def test_auto_computes_in_bfloat16_where_the_machine_does(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    native(monkeypatch, supported)
    compute = choose_compute("cpu", "auto")
    assert compute.dtype == (torch.bfloat16 if supported else torch.float32)
    assert compute.reason == ("the machine computes it natively" if supported else "the machine has no native bfloat16")


def test_bfloat16_on_a_machine_without_it_is_granted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    native(monkeypatch, False)
    compute = choose_compute("cpu", "bfloat16")
    assert compute.dtype == torch.bfloat16
    assert "emulates it slowly" in str(compute)
    native(monkeypatch, True)
    assert "emulates" not in str(choose_compute("cpu", "bfloat16"))


def test_a_machine_whose_torch_cannot_tell_has_no_native_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert choose_compute("cpu", "auto").dtype == torch.float32


def test_autocast_multiplies_in_the_chosen_type_and_only_inside() -> None:
    matrix = torch.ones(2, 2)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        compute = choose_compute("cpu", precision)  # type: ignore[arg-type]
        with compute.autocast():
            assert (matrix @ matrix).dtype == dtype
        assert (matrix @ matrix).dtype == torch.float32


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", ""])
def test_an_unknown_device_is_refused_by_name_with_those_there_are(device: str) -> None:
    with pytest.raises(S2SError, match=rf"--device {device}: not a device.*auto, cpu, cuda or cuda:N"):
        choose_compute(device)


def test_a_gpu_that_is_not_there_is_refused_with_the_number_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(S2SError, match="--device cuda:3: this machine has 1 CUDA devices; give auto or cpu"):
        choose_compute("cuda:3")


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=available: there)
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=available: int(there))
        assert choose_compute("auto", "float32").device.type == ("cuda" if available else "cpu")


def test_a_precision_of_another_name_is_refused() -> None:
    with pytest.raises(S2SError, match="precision float64: there is none of that name; give auto, float32 or bfloat16"):
        choose_compute("cpu", "float64")  # type: ignore[arg-type]
