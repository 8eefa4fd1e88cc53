"""A forecaster as ONNX has it: a step over scaled rows."""

from functools import partial

import numpy as np

from s2s.errors import RunError
from s2s.export.export import Opened
from s2s.export.graph import Graph, array, over_rows
from s2s.forecast.model import SMALLEST_FREEDOM, SMALLEST_SCALE, Forecaster
from s2s.forecast.recipe import ForecastRecipe
from s2s.forecast.saved import saved_scaling
from s2s.nn.weights import load_model
from s2s.run import RunFolder

SCRIPTS = ()
PARAMETERS = {"point": ["value"], "gaussian": ["mean", "scale"], "student_t": ["mean", "scale", "freedom"],
              "poisson": ["mean"], "negative_binomial": ["mean", "dispersion"]}  # fmt: skip
"""What the last dimension of a forecast holds; of quantiles, the levels."""


def opened(run: RunFolder, recipe: ForecastRecipe) -> Opened:
    """The model, with its scaling and what a reader of its steps must know."""
    data = recipe.data
    for key in ("series_id", "known", "calendar"):
        if getattr(data, key):
            raise RunError(f"{run}: data.{key} is not in an export, which reads the rows of a window alone")
    if data.missing_values == "mark":
        raise RunError(f'{run}: data.missing_values = "mark" is not in an export, whose rows all have values')
    scaling = saved_scaling(run, data).as_json()
    content = {
        "inputs": data.read, "targets": data.targets, "window": data.window, "horizon": data.horizon,
        "steps": recipe.model.steps, "output": recipe.model.output, "quantiles": recipe.model.quantiles,
        "parameters": PARAMETERS.get(recipe.model.output, recipe.model.quantiles),
        "scaling": {name: scaling[name] for name in ("kind", "reader", "scaler")},
    }  # fmt: skip
    return Opened(load_model(partial(Forecaster, recipe.model, data), run.require_best()), {}, content)


def graphs(model: Forecaster, recipe: ForecastRecipe, *, int8: bool) -> dict[str, Graph]:
    """The step, in which a first state is of zeros."""
    return {"step": forecaster_step(model, len(recipe.data.read), recipe.data.window, int8=int8)}


def forecaster_step(model: Forecaster, features: int, window: int, *, int8: bool) -> Graph:
    """Scaled rows (B, T, F), the targets' last values (B, K), states -> a forecast (B, H, K, P), the next states.

    The T rows are a window, or the one row that a forecast which is fed back has given; a model with a linear part
    reads the whole `window` (B, W, F) up to it too. H is 1 where it is fed back.
    """
    graph = Graph(int8=int8)
    node, targets, parts = graph.node, model.targets, model.parameters_each
    graph.inputs["rows"] = "B", "T", features
    graph.outputs["forecast"] = "B", 1 if model.fed_back else model.horizon, targets, parts
    hidden = over_rows(graph, "rows", model.recurrent, "")
    top = node("Gather", hidden, graph.constant(-1, np.int64), axis=0)
    raw = graph.linear(top, array(model.head.weight), array(model.head.bias))
    raw = graph.reshaped(raw, 0, -1, targets, parts)
    located = raw
    if model.residual:
        graph.inputs["last"] = "B", targets
        located = node("Add", located, node("Unsqueeze", "last", graph.constant([1, 3], np.int64)))
    if model.linear is not None:
        graph.inputs["window"] = "B", window, features
        line = graph.linear(graph.reshaped("window", 0, -1), array(model.linear.weight), array(model.linear.bias))
        located = node("Add", located, graph.reshaped(line, 0, -1, targets, 1))
    if model.output in ("point", "quantiles"):
        node("Identity", located, output="forecast")
    else:
        mean, *_ = graph.split(located, [1, parts - 1] if parts > 1 else [1])
        if model.counts:
            mean = node("Add", node("Softplus", mean), graph.constant([SMALLEST_SCALE]))
        shapes = []
        if parts > 1:
            least = graph.constant([SMALLEST_SCALE, SMALLEST_FREEDOM][: parts - 1])
            shapes = [node("Add", node("Softplus", graph.split(raw, [1, parts - 1])[1]), least)]
        node("Concat", mean, *shapes, axis=-1, output="forecast")
    return graph
