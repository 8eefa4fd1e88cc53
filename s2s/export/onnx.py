"""A run as ONNX graphs, with its tokenizers and bundle.json, which says how they are used."""

import shutil
from pathlib import Path
from typing import Any

from s2s.errors import RunError
from s2s.export.export import task_of
from s2s.export.graph import Graph, Shapes
from s2s.files import json_text, new_folder
from s2s.run import RunFolder
from s2s.tasks import Recipe
from s2s.translation.bundle import FORMAT, NEXT

try:
    from onnx import ModelProto, TensorProto, ValueInfoProto, helper
except ModuleNotFoundError as missing:
    raise RunError(f"--format onnx needs {missing.name}, which is not installed: pip install 's2s[onnx]'") from None

OPERATORS = 17
"""Number of ONNX's operator set, of 2022: old and small runtimes know it."""
LAYOUT = 8
"""Number of ONNX's file layout, of the same year."""
INTEGERS = ("tokens", "lengths")
"""Names of int64; all others are of float32."""


def write(run: RunFolder, recipe: Recipe, card: dict[str, object], place: Path, weights: str) -> None:
    """Write a folder with step.onnx, bundle.json, what tokenizers there are, and encoder.onnx for a translator."""
    if weights == "float16":
        raise RunError("--weights float16: onnxruntime computes in float32 or int8 on a CPU; give one of these")
    task = task_of(recipe)
    model, _, content = task.opened(run, recipe)
    parts = task.graphs(model, recipe, int8=weights == "int8")
    head = {"format": FORMAT, "task": recipe.task, "weights": weights, "next": NEXT, "states": parts["step"].states}
    shapes = {name: {"inputs": part.inputs, "outputs": part.outputs} for name, part in parts.items()}
    with new_folder(place) as folder:
        for name, part in parts.items():
            (folder / f"{name}.onnx").write_bytes(model_of(part).SerializeToString(deterministic=True))
        for name in {*content.get("tokenizers", {}).values()}:
            shutil.copyfile(run.path / name, folder / name)
        bundle = json_text({**head, **content, "shapes": shapes, "card": card}) + "\n"
        (folder / "bundle.json").write_text(bundle, encoding="utf-8")


def model_of(graph: Graph) -> ModelProto:
    """The same as ONNX has it."""
    nodes = [helper.make_node(name, read, made, **more) for name, read, made, more in graph.nodes]
    constants = [
        helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(dtype), shape, content, raw=True)
        for (dtype, shape, content), name in graph.constants.items()
    ]
    whole = helper.make_graph(nodes, "s2s", _values(graph.inputs), _values(graph.outputs), initializer=constants)
    operators = [helper.make_opsetid("", OPERATORS)]
    return helper.make_model(whole, opset_imports=operators, ir_version=LAYOUT, producer_name="s2s")


def _values(side: Shapes) -> list[ValueInfoProto]:
    types: dict[bool, Any] = {True: TensorProto.INT64, False: TensorProto.FLOAT}
    return [helper.make_tensor_value_info(name, types[name in INTEGERS], shape) for name, shape in side.items()]
