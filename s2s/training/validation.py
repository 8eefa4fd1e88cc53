"""Validations: scores of weights, which are the best, and what waits for a better or a worse one."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from s2s.nn.weights import put_weights, weights_of
from s2s.recipe.sections import Optimization
from s2s.training.checkpoint import Progress
from s2s.training.task import Task

log = logging.getLogger("s2s")


def scored(task: Task[Any], weights: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """The scores of other weights in the place of the model's."""
    own = {name: weight.clone() for name, weight in weights_of(task.model).items()}
    put_weights(task.model, weights, origin="validation")
    task.model.eval()
    with torch.inference_mode():
        scores = task.validate()
    put_weights(task.model, own, origin="validation")
    return scores


def take_if_best(scores: Mapping[str, Any], progress: Progress, metric: str) -> bool:
    """Whether scores are the best so far, which are then taken down.

    The loss decides where the metric is equal to the best, or where neither is a finite number.
    """
    value, loss, best = scores[metric], loss_in(scores), progress.best
    tells = best is None or math.isfinite(value) or math.isfinite(best)
    if loss is None or (tells and value != best):
        better = _is_better(value, best, metric)
    else:
        better = progress.best_loss is None or loss < progress.best_loss
    if better:
        progress.best, progress.best_step, progress.best_loss = value, progress.step, loss
    return better


def take_note(value: float, better: bool, progress: Progress, settings: Optimization) -> None:
    """Count a validation for patience, plateaus and NT-ASGD, by the metric's value and whether it was the best.

    NT-ASGD begins to average once a validation is worse than the best but the last few (Merity et al. 2018).
    """
    progress.validated_step = progress.step
    progress.validations_without_better = 0 if better else progress.validations_without_better + 1
    progress.since_halving = 0 if better else progress.since_halving + 1
    if progress.since_halving >= settings.plateau_validations:
        progress.halvings, progress.since_halving = progress.halvings + 1, 0
    if settings.optimizer != "asgd" or progress.averaged_from is not None:
        return
    if any(_is_better(old, value, settings.metric) for old in progress.validated[: -settings.averaging_validations]):
        progress.averaged_from = progress.step
        log.info("step %s: validation stalls, from here on the weights are averaged", f"{progress.step:,}")
    progress.validated = [*progress.validated, value]


def _is_better(value: float, than: float | None, metric: str) -> bool:
    if than is None or math.isnan(than):
        return True
    return value < than if metric in ("nats_per_token", "mase", "loss") else value > than


def loss_in(scores: Mapping[str, Any]) -> float | None:
    """The loss of a token or value among some scores."""
    return next((scores[name] for name in ("nats_per_token", "loss") if name in scores), None)


def validation_text(scores: Mapping[str, Any], better: bool) -> str:
    """The scores of a validation, for people."""
    also = "".join(f"; {name}: {_said(each)}" for name, each in scores.get("also", {}).items())
    return f"{_said(scores)}{' (best so far)' if better else ''}{also}"


def _said(scores: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {score:.4g}" for name, score in scores.items() if isinstance(score, int | float))
