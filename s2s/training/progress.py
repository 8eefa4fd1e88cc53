"""Where a training stands."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """Where a training stands; all of it is saved."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """batches of this epoch that are done"""
    best: float | None = None
    best_step: int = 0
    validated_step: int = 0
    validations_without_better: int = 0
    halvings: int = 0
    since_halving: int = 0
    validated: list[float] = field(default_factory=list)
    """values of the metric so far, with asgd until it averages"""
    averaged_from: int | None = None
    """the step from which asgd averages"""
    elapsed_seconds: float = 0.0
    validation_seconds: float = 0.0
    """the part of elapsed_seconds that went into validations"""
    target_tokens: int = 0
    logged_nats: float = 0.0
    logged_tokens: int = 0
    metrics_rows: int = 0
    """lines of metrics.jsonl; those after them belong to steps or validations that a resumed training does again"""
    finished: str = ""
    """why the training ended; empty while it goes on"""
