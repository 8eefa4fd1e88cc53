"""The update rule and the learning rate over the steps."""

import math

import torch
from torch import Tensor, nn

from s2s.errors import TrainingError
from s2s.recipe.sections import Optimization
from s2s.training.muon import Muon


def build_optimizer(model: nn.Module, settings: Optimization, products: torch.dtype) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) with betas 0.9 and 0.999, AdamW (Loshchilov & Hutter 2019), Muon, or SGD.

    `products` is the type of matrix products in training.

    The averaging of asgd is the trainer's, which knows the validations; its steps are those of SGD.
    """
    parameters, learning_rate, weight_decay = model.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimizer == "muon":
        return Muon(model, learning_rate, weight_decay, products)
    if settings.optimizer in ("sgd", "asgd"):
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=settings.momentum, weight_decay=weight_decay)
    rule = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return rule(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)


def learning_rate_factor(settings: Optimization, step: int, total_steps: int | None, halvings: int) -> float:
    """The share of the highest learning rate at a step, counted from 0.

    A linear warm-up, then constant; sqrt(warmup / step) (Vaswani et al. 2017, section 5.3); half a cosine to zero at
    `total_steps` (Loshchilov & Hutter 2017); or halved at each plateau.
    """
    schedule, warmup_steps = settings.schedule, settings.warmup_steps
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "inverse_square_root":
        return math.sqrt(max(warmup_steps, 1) / max(step + 1, 1))
    if schedule == "cosine":
        assert total_steps is not None, "the recipe refuses cosine without a limit in epochs or steps"
        done = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return 0.5**halvings if schedule == "plateau" else 1.0


def curve_text(settings: Optimization, step: int, total_steps: int | None, halvings: int) -> str:
    """The learning rate from a step of its curve on, for people."""
    now, end = (
        settings.learning_rate * learning_rate_factor(settings, at, total_steps, halvings)
        for at in (step, max((total_steps or step) - 1, step))
    )
    peak = f"the learning rate is {now:.3g} (training.learning_rate is {settings.learning_rate:g})"
    return f"{peak}, at the end {end:.3g}, by the schedule {settings.schedule}"


def restart_text(settings: Optimization) -> str:
    """How to train on in a lower curve of the learning rate, for people."""
    lower = f"training.restarts={settings.restarts + 1} training.learning_rate=N"
    return f"with a raised limit and {lower}, N below {settings.learning_rate:g}, a new lower curve begins"


def total_steps(settings: Optimization, batches_in_epoch: int) -> int | None:
    """Optimizer steps to the limit, None where it is in minutes alone; raises TrainingError for an epoch of no step."""
    per_epoch = batches_in_epoch // settings.accumulate
    if per_epoch == 0:
        raise TrainingError(
            f"training.accumulate: {settings.accumulate} batches make a step, but an epoch has only {batches_in_epoch}"
        )
    by_epochs = None if settings.epochs is None else math.ceil(settings.epochs * per_epoch)
    return min((steps for steps in (settings.steps, by_epochs) if steps is not None), default=None)


def clip_gradients(weights: list[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients, which are scaled down to a limit, if that is not 0; a GPU is not waited for."""
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if limit and (norm.device.type != "cpu" or float(norm) + 1e-6 >= limit):
        nn.utils.clip_grads_with_norm_(weights, limit, norm)
    return norm


def share_of_new(settings: Optimization, step: int, averaged_from: int | None) -> float:
    """Share of a step's weights, counted from 1, in the average over steps."""
    if settings.optimizer == "asgd":  # the plain mean since the trigger
        return 1.0 if averaged_from is None else 1.0 / (step - averaged_from + 1)
    # a young average forgets faster, so that it does not remember the first weights
    return 1.0 - min(settings.moving_average, (1 + step) / (10 + step))
