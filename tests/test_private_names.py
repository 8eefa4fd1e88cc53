"""Names of other packages that they do not promise to keep: which, where, and that they are there.

A new one is noticed here. Each has a fallback, or the versions in pyproject.toml end before the next major one.
"""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import torch
from sacrebleu.metrics.chrf import CHRF

ROOT = Path(__file__).parents[1]
PRIVATE = {
    "torch.cpu._is_avx512_bf16_supported": "device",  # without it no CPU has bfloat16
    "torch._standard_gamma": "forecast/model",
    "torch.utils._pytree": "nn/decoder nn/graphs",
    "torch.utils._python_dispatch": "benchmark/limit",
    "aten._cudnn_rnn": "benchmark/limit",
    "os._exit": "process",  # documented, whatever its name
    "super._compute_score_from_stats": "translation/bleu",
}
"""The modules that use each, by name."""
OPERATORS = {
    "benchmark/limit": {"mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_", "_cudnn_rnn", "mkldnn_rnn_layer"},
    "nn/steps": {"tanh_backward", "sigmoid_backward"},
}
"""Operators of torch.ops.aten by module."""
PROMISED = {"_asdict", "_replace", "_fields", "_make"}
"""Of named tuples."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(tree: ast.AST) -> Iterator[str]:
    """Dotted names with a private part that begin elsewhere than in `self`, `cls` and names of s2s."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("s2s"):
            for name in [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]:
                if any(map(is_private, name.split("."))):
                    yield name
                    break
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if any(map(is_private, each.name.split("."))))
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in PROMISED:
            yield ast.unparse(node).replace("super()", "super")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            of, name = node.args[:2]
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield f"{ast.unparse(of)}.{name.value}"


def defined(trees: list[ast.Module]) -> set[str]:
    """Names that the package itself gives to functions, classes, attributes and class variables."""
    names: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_no_private_name_is_used_but_these() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "s2s").rglob("*.py"))}
    trees = {path.relative_to(ROOT / "s2s").with_suffix("").as_posix(): ast.parse(s) for path, s in sources.items()}
    own, found = defined(list(trees.values())), {}
    for module, tree in trees.items():
        for name in private_names(tree):
            if name.startswith(("torch.", "super.", "aten.")) or name.rsplit(".")[-1] not in own:
                found.setdefault(name, set()).add(module)
    assert {name: " ".join(sorted(modules)) for name, modules in found.items()} == PRIVATE
    operators = {
        path.relative_to(ROOT / "s2s").with_suffix("").as_posix(): set(re.findall(r"\baten\.([a-z_]+)", text))
        for path, text in sources.items()
    }
    assert {module: names for module, names in operators.items() if names} == OPERATORS


def test_they_are_there() -> None:
    for name in PRIVATE:
        if name.startswith("torch."):
            module, _, last = name.rpartition(".")
            if module in ("torch", "torch.cpu"):
                assert hasattr(importlib.import_module(module), last), name
            else:
                importlib.import_module(name)
    for name in set().union(*OPERATORS.values()):
        assert hasattr(torch.ops.aten, name), name
    for operator in (torch.ops.aten.tanh_backward, torch.ops.aten.sigmoid_backward):
        assert "grad_input" in operator.overloads()
    assert hasattr(CHRF, "_compute_score_from_stats")


def test_versions_of_their_packages_are_bounded() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    for package in ("torch", "sacrebleu"):
        [line] = [line for line in asked if re.match(rf"{package}\b", line)]
        assert re.search(r"<\d", line), line
