"""Captures: on which device and stream, by which thread. The capturing itself needs a GPU (tests/test_cuda.py)."""

from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch

from s2s.nn import graphs
from s2s.nn.graphs import WARM_UPS, capturing
from s2s.translation.search.graphs import capture_cuda


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """What is asked of a machine with two GPUs, acted."""
    asked: dict[str, list[object]] = {"device": [], "stream": [], "captured": []}
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(asked["device"].append(device)))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext(asked["stream"].append(stream)))
    monkeypatch.setattr(torch.cuda, "default_generators", (None, MagicMock()), raising=False)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", MagicMock())
    monkeypatch.setattr(graphs, "side_stream", Aside)
    return asked


class Aside:
    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait_stream(self, stream: object) -> None:
        pass


def test_a_capture_is_on_its_own_device_and_on_a_stream_of_it(cuda: dict[str, list[object]]) -> None:
    """Also where torch asks for no stream: its own is of the device that was current at the process's first capture."""
    host, second, ran = torch.cuda.graph.default_capture_stream, torch.device("cuda:1"), []
    with capturing(second, lambda: ran.append(1)):
        stream = torch.cuda.graph.default_capture_stream
        assert isinstance(stream, Aside)
        assert stream.device == second
        assert graphs.CAPTURES.locked()
    assert cuda["device"] == [second]
    assert len(ran) == WARM_UPS
    assert torch.cuda.graph.default_capture_stream is host
    assert not graphs.CAPTURES.locked()


def test_a_capture_that_fails_restores_what_torch_had(cuda: dict[str, list[object]]) -> None:
    host = torch.cuda.graph.default_capture_stream
    with pytest.raises(RuntimeError, match="no"), capturing(torch.device("cuda:1"), lambda: None):
        raise RuntimeError("no")
    assert torch.cuda.graph.default_capture_stream is host
    assert not graphs.CAPTURES.locked()


def test_a_search_is_captured_on_that_stream_whatever_other_threads_do(
    cuda: dict[str, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Graph:
        default_capture_stream: object = None

        def __init__(self, graph: object, *, capture_error_mode: str) -> None:
            cuda["captured"] += [self.default_capture_stream, capture_error_mode]

        def __enter__(self) -> None:
            pass

        def __exit__(self, *problem: object) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "graph", Graph)
    capture_cuda(lambda: None, torch.device("cuda:1"))
    stream, mode = cuda["captured"]
    assert isinstance(stream, Aside)
    assert (stream.device, mode) == (torch.device("cuda:1"), "thread_local")
