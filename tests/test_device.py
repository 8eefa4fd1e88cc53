"""The choice of device and precision, and the reason it gives."""

import os
from contextlib import nullcontext

import pytest
import torch

from s2s import device as module
from s2s.device import Compute, choose_compute, settle_process
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


def test_bfloat16_on_a_machine_without_it_is_granted_and_said_to_be_slower(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    native(monkeypatch, False)
    compute = choose_compute("cpu", "bfloat16")
    assert compute.dtype == torch.bfloat16
    assert "emulates it slowly" in str(compute)
    [warning] = caplog.messages
    assert warning.startswith("precision bfloat16: this CPU emulates it, which is slower than float32")
    assert warning.endswith("give float32, or auto")
    native(monkeypatch, True)
    assert "emulates" not in str(choose_compute("cpu", "bfloat16"))
    for precision in ("auto", "float32"):
        choose_compute("cpu", precision)  # type: ignore[arg-type]
    assert caplog.messages == [warning]


def test_a_gpu_is_the_current_one_inside_whatever_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    current = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(current.append(str(device))))
    for name in ("cpu", "cuda:1", "cuda"):
        with Compute(torch.device(name), torch.float32, "").entered():
            pass
    assert current == ["cuda:1", "cuda"]


def test_a_forked_process_has_one_thread_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: given[-1] if given else 2)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    compute = choose_compute("cpu", "float32")
    with compute.entered():
        assert given == []
    monkeypatch.setattr(module, "PROCESS", os.getpid() + 1)
    with compute.entered(), compute.entered():
        assert given == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    said = "cuda:1: a forked process cannot use the GPU .* by the method spawn"
    with pytest.raises(S2SError, match=said):
        choose_compute("cuda:1")
    with pytest.raises(S2SError, match=said), Compute(torch.device("cuda:1"), torch.float32, "").entered():
        pass


def test_the_process_is_settled_when_that_is_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(module, "_heap", lambda *values: asked.append(values))
    monkeypatch.setattr(os, "environ", {"THP_MEM_ALLOC_ENABLE": "0"})
    choose_compute("cpu", "float32")
    assert (asked, os.environ) == ([], {"THP_MEM_ALLOC_ENABLE": "0"})
    settle_process()
    assert os.environ == {"THP_MEM_ALLOC_ENABLE": "0", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "2048"}
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        *((limit, True) for limit in ("", "ALL", "avx512_core_bf16", "AVX512_CORE_AMX")),
        *((limit, False) for limit in ("AVX2", "AVX2_VNNI", "SSE41", "AVX512_CORE", "AVX512_CORE_VNNI")),
    ],
)
def test_bfloat16_is_not_native_where_onednn_is_told_not_to_use_it(
    monkeypatch: pytest.MonkeyPatch, limit: str, expected: bool
) -> None:
    native(monkeypatch, True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert (choose_compute("cpu", "auto").dtype == torch.bfloat16) == expected


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
    with pytest.raises(
        S2SError, match="precision float64: there is none of that name; give one of auto, float32, bfloat16, int8"
    ):
        choose_compute("cpu", "float64")  # type: ignore[arg-type]


def test_int8_is_for_translating_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = choose_compute("cpu", "int8")
    assert compute.dtype == torch.int8
    assert "int8 weights (as asked)" in str(compute)
    with compute.autocast():
        assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(S2SError, match="precision int8: a language model has none, only a translation; give float32"):
        compute.require_floats("a language model")
    exact = choose_compute("cpu", "float32")
    assert exact.require_floats("a language model") is exact
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(S2SError, match="precision int8: cuda does not compute in it; give bfloat16, or --device cpu"):
        choose_compute("cuda", "int8")
    with monkeypatch.context() as lacking:
        lacking.setattr("s2s.device.INT8_ENGINES", ("x86", "absent"))
        with pytest.raises(S2SError, match="precision int8: torch has no engine absent for this CPU; give float32"):
            choose_compute("cpu", "int8")
