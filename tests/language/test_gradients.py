"""The gradient of a loss by earlier states: right values where they are known, else those of autograd itself."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from s2s.figures.charts import Chart
from s2s.language import gradients
from s2s.language.gradients import gradient_chart, gradient_norms, gradient_table, powers
from s2s.language.model import LanguageModel, build_language_model
from s2s.language.recipe import LanguageModel as Settings
from s2s.nn.recurrent import Cell


def model_of(cell: Cell, layers: int = 1) -> LanguageModel:
    torch.manual_seed(3)
    settings = Settings(cell=cell, layers=layers, hidden_size=6, embedding_size=4)
    return build_language_model(settings, 9).double().eval().requires_grad_(False)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.25])
def test_a_linear_recurrence_has_the_powers_of_its_weight(factor: float) -> None:
    """An Elman network that reads nothing stays at zero, where tanh has the derivative 1."""
    model = model_of("elman")
    for weight in model.recurrent.parameters():
        nn.init.zeros_(weight)
    layer = model.recurrent.layers[0]
    assert isinstance(layer, nn.RNN)
    layer.weight_hh_l0.data = factor * torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    norms = gradient_norms(model, torch.randint(9, (3, 21)), torch.tensor([1, 5, 5]))
    assert norms == pytest.approx([norms[0] * factor**k for k in range(20)])
    assert model.output is not None
    pulled = model.output.weight[[1, 5, 5]] - (model.output.bias.softmax(0) @ model.output.weight)
    assert norms[0] == pytest.approx(factor * float(pulled.norm(dim=1).mean()))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_the_norm_is_that_by_the_state_from_which_the_rest_is_read(cell: Cell, layers: int) -> None:
    model, tokens, targets = model_of(cell, layers), torch.randint(9, (4, 12)), torch.randint(9, (4,))
    norms = gradient_norms(model, tokens, targets, before=3)
    assert len(norms) == 9
    for distance in (1, 4, 9):
        state = tuple(part.requires_grad_() for part in model(tokens[:, :-distance]).state)
        logged = model.logits(model(tokens[:, -distance:], state).readout[:, -1]).log_softmax(dim=1)
        found = torch.autograd.grad(logged.gather(1, targets[:, None]).sum(), state)
        wanted = sum(part.square().sum(dim=(0, 2)) for part in found)
        assert isinstance(wanted, torch.Tensor)
        assert norms[distance - 1] == pytest.approx(float(wanted.sqrt().mean()))


def test_what_has_vanished_is_not_drawn() -> None:
    norms = [2.0, 0.2, 0.002, 1e-30, 0.0]
    assert powers(norms) == [0.0, pytest.approx(-1.0), pytest.approx(-3.0), None, None]
    chart = gradient_chart({"one": norms, "two": [1.0, 0.5]})
    assert isinstance(chart, Chart)
    assert chart.y.ticks == [(0.0, "1"), (-1.0, "1e-1"), (-2.0, "1e-2"), (-3.0, "1e-3")]
    headings, rows = gradient_table({"one": norms, "two": [1.0, 0.5]})
    assert headings == ["distance", "1", "2", "5", "below 10 % from", "below 1 % from"]
    assert rows == [["one", "1", "0.1", "0", "3", "3"], ["two", "1", "0.5", "–", "–", "–"]]


def test_the_plot_fits_its_frame_and_its_labels_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(gradients, "save", lambda figure, path: figures.append(figure))
    gradients.plot_gradients([0.5**k for k in range(100)], tmp_path / "a.png", "a")
    (axes,) = figures[0].axes
    figures[0].draw_without_rendering()
    assert {"1e\N{MINUS SIGN}02", "1e+00"} <= {label.get_text() for label in axes.get_yticklabels()}
    inner, outer = axes.yaxis.label.get_window_extent(), figures[0].bbox
    assert outer.y0 <= inner.y0
    assert inner.y1 <= outer.y1
