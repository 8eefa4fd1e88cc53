"""The training loop. It knows no task: a `Task` brings batches, a loss and a validation."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic

import torch
from torch import Tensor
from tqdm import tqdm

from s2s.device import Compute, release_free_memory
from s2s.errors import TrainingError
from s2s.nn.loss import Loss
from s2s.nn.rows import only_rows
from s2s.nn.weights import save_tensors
from s2s.recipe.sections import Optimization
from s2s.run import Metrics, RunFolder
from s2s.training.checkpoint import Progress
from s2s.training.learner import Learner
from s2s.training.optimizer import clip_gradients, curve_text, learning_rate_factor, restart_text, total_steps
from s2s.training.ranks import present
from s2s.training.stopping import Interrupted, StopRequest, limit_reached, remedy, wrong_with
from s2s.training.task import BatchT, Task
from s2s.training.validation import loss_in, scored, take_if_best, take_note, validation_text

log = logging.getLogger("s2s")


class Trainer(Generic[BatchT]):
    """Trains a task's model into a run folder; stopped at any instant, it can be resumed exactly.

    Of the processes of one training each has its own, and they do all of this together; the first one writes.
    """

    def __init__(self, task: Task[BatchT], settings: Optimization, run: RunFolder, compute: Compute) -> None:
        self.task, self.settings, self.run, self.compute = task, settings, run, compute
        self.ranks = present()
        self.metrics = Metrics(run.metrics)
        self.model = task.model.to(compute.device)
        self.learner = Learner(self.model, settings, run, compute.dtype)
        self.total_steps = total_steps(settings, task.batches_in_epoch(0))
        self.stop = StopRequest()
        self._stops = False
        """whether one of the processes was asked to stop"""
        # float64, in which sums of float32 lose nothing: a checkpoint in between cuts them in two
        self._nats = torch.zeros((), dtype=torch.float64, device=compute.device)
        # of all gradients since the last look; a GPU is not waited for at each step
        self._finite = torch.ones((), dtype=torch.bool, device=compute.device)
        carried = self.learner.take_up()
        self._resumes, self.progress = carried is not None, self.learner.progress
        if carried is not None:
            task.put_carried(carried)
        self.was_complete = bool(self._limit()) and not self.learner.averaged
        """whether there is nothing left to train"""

    def train(self) -> Progress:
        """Run to the recipe's limit, or from the last checkpoint on; raises `Interrupted` when asked to stop."""
        if self.was_complete:
            self.progress.finished = self._limit()
            done, more = f"step {self.progress.step:,}, {self.progress.finished}", restart_text(self.settings)
            log.info("nothing to do: %s; %s", done, more)
            return self.progress
        if self._resumes:
            self._go_on()
        shown = None if self.ranks.first else True
        bar = tqdm(total=self.total_steps, initial=self.progress.step, unit="step", desc="train", disable=shown)
        with self.stop.listening(), bar:
            if self.progress.step == 0:
                self._save()
                if self.settings.start and self.progress.best is None:
                    self._validate()
            while not self.progress.finished:
                self._train_epoch(bar)
        if self.learner.averaged and self.settings.average_last:
            self._validate_average()
        self._save()
        self._agree()
        if self._stops:
            raise Interrupted(f"stopped at step {self.progress.step:,}, the end of the training; everything is saved")
        best, guess = self.progress.best_loss, self.task.guessed_loss()
        if best is not None and best > guess:
            log.warning(
                "worse than a guess: the best weights have %.4g nats per token in validation, and a model that has"
                " learned nothing has %.4g (all of the vocabulary equally likely); train longer, or lower"
                " training.learning_rate (now %g)", best, guess, self.settings.learning_rate,
            )  # fmt: skip
        return self.progress

    def _train_epoch(self, bar: "tqdm[Any]") -> None:
        """The rest of one epoch, or less when a limit is reached."""
        self.model.train()
        clock = time.perf_counter()
        group: list[BatchT] = []
        for batch in self.task.batches(self.progress.epoch, self.progress.batch):
            group.append(batch)
            if len(group) < self.settings.accumulate:
                continue
            self.step(group)
            group = []
            self.progress.elapsed_seconds += time.perf_counter() - clock
            bar.update()
            self._after_step(bar)
            clock = time.perf_counter()
            if self.progress.finished:
                return
        # what is left of an epoch is too little for a step and is left out
        self.progress.epoch += 1
        self.progress.batch = 0
        if self.settings.validate_every is None and self.progress.validated_step != self.progress.step:
            self._validate()
        self._check_limits()

    def step(self, group: list[BatchT]) -> None:
        """One update from the summed gradients of a group of batches."""
        progress, settings = self.progress, self.settings
        factor = learning_rate_factor(settings, *progress.curve(self.total_steps))
        for parameters in self.learner.optimizer.param_groups:
            parameters["lr"] = settings.learning_rate * factor
        tokens = sum(self.task.tokens(batch) for batch in group)
        for batch in group:
            with self.compute.autocast():
                loss = self._loss(batch)
            (loss.smoothed / tokens).backward()  # type: ignore[no-untyped-call]
            self._nats += loss.nats
        weights = list(self.model.parameters())
        self.ranks.add([weight.grad for weight in weights if weight.grad is not None])
        norm = clip_gradients(weights, settings.clip_norm)
        if self.compute.device.type == "cpu":
            self._require_sound("its loss", 0.0, 0.0, "gradient", math.isfinite(float(norm)))
        self._finite &= norm.isfinite()
        self.learner.step()
        progress.batch += len(group)
        progress.target_tokens += tokens
        progress.logged_tokens += tokens

    def _loss(self, batch: BatchT) -> Loss:
        """The loss of this process's rows of a batch."""
        rows = self.ranks.rows(self.task.rows(batch)) if self.ranks.store else None
        if rows is None:
            return self.task.loss(batch, self.progress.step)
        with only_rows(rows):
            loss = self.task.loss(self.task.part(batch, rows.taken), self.progress.step)
        return loss if rows.counted else loss._replace(smoothed=loss.smoothed * 0.0, nats=loss.nats * 0.0)

    def _after_step(self, bar: "tqdm[Any]") -> None:
        """Log, validate, save and stop where it is time to."""
        progress, settings = self.progress, self.settings
        if progress.step % settings.log_every == 0:
            self._log(bar)
        if settings.validate_every and progress.step % settings.validate_every == 0:
            self._validate()
        elif progress.step % settings.save_every == 0:
            self._save()
        self._check_limits()
        if self._stops:
            self._save()
            raise Interrupted(f"stopped at step {progress.step:,} of {self._goal()}; everything is saved")

    def _agree(self) -> None:
        """Go by the clock of the first process, and stop where one of them was asked to."""
        self._stops = self.stop.asked
        if self.ranks.store:
            elapsed = self.progress.elapsed_seconds if self.ranks.first else 0.0
            state = torch.tensor([elapsed, self._stops], dtype=torch.float64)
            self.ranks.add([state])
            self.progress.elapsed_seconds, self._stops = float(state[0]), bool(state[1])

    def _check_limits(self) -> None:
        self._agree()
        self.progress.finished = limit_reached(self.settings, self.progress, self._epochs_done())
        if self.progress.finished and self.progress.validated_step != self.progress.step:
            self._validate()

    def _epochs_done(self) -> float:
        return self.progress.epoch + self.progress.batch / max(self.task.batches_in_epoch(self.progress.epoch), 1)

    def _goal(self) -> str:
        return f"{self.total_steps:,}" if self.total_steps else f"{self.settings.minutes:g} minutes"

    def _log(self, bar: "tqdm[Any]") -> None:
        progress, loss = self.progress, self._sound_loss()
        speed = progress.target_tokens / max(progress.elapsed_seconds - progress.validation_seconds, 1e-9)
        self._record(
            {"step": progress.step, "epoch": round(self._epochs_done(), 4), "loss": loss}
            | {"learning_rate": self.learner.optimizer.param_groups[0]["lr"], **self.task.rates(progress.step)}
            | {"target_tokens_per_second": round(speed, 1), "elapsed_seconds": round(progress.elapsed_seconds, 3)}
        )
        release_free_memory()
        bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} target tokens/s", refresh=False)
        progress.logged_nats, progress.logged_tokens = 0.0, 0

    def _record(self, row: Mapping[str, Any]) -> None:
        if self.ranks.first:
            self.metrics.append(row)
        self.progress.metrics_rows += 1

    def _sound_loss(self) -> float:
        """The mean loss of a token since the last log; TrainingError for one of a training that went wrong."""
        progress = self.progress
        self.ranks.add([self._nats])
        progress.logged_nats += float(self._nats)
        self._nats.zero_()
        loss = progress.logged_nats / max(progress.logged_tokens, 1)
        self._require_sound("its loss", loss, self.task.diverged_loss(), "gradient", bool(self._finite))
        return loss

    def _require_sound(self, what: str, loss: float, limit: float, part: str, finite: bool) -> None:
        if wrong := wrong_with(what, loss, limit, part, finite):
            remedies = remedy(self.settings, self.compute.dtype == torch.float32, self.run)
            raise TrainingError(f"step {self.progress.step:,}: {wrong}; {remedies}")

    def _validate(self) -> None:
        """Score the weights that would be saved, keep them if they are the best, and save."""
        self._sound_loss()
        clock, progress, settings = time.perf_counter(), self.progress, self.settings
        scores, better = self._score(self.learner.weights())
        take_note(scores[settings.metric], better, progress, settings)
        if settings.average_last:
            self.learner.keep_for_average(writes=self.ranks.first)
        seconds = time.perf_counter() - clock
        progress.elapsed_seconds += seconds
        progress.validation_seconds += seconds
        self._record_validation(scores, better, f"step {progress.step:,}")
        self._save()
        self.model.train()

    def _validate_average(self) -> None:
        """Score the mean of the last validations' weights and keep it if it is the best."""
        weights, count = self.learner.take_average()
        scores, better = self._score(weights)
        self._record_validation(scores, better, f"average of the last {count} validations", averaged=count)

    def _score(self, weights: dict[str, Tensor]) -> tuple[Mapping[str, Any], bool]:
        """The scores of other weights in the model's place, and whether they are the best, which are kept."""
        sound = all(bool(weight.isfinite().all()) for weight in weights.values())
        self._require_sound("its loss", 0.0, 0.0, "weight", sound)
        scores = scored(self.task, weights)
        limit = 10 * self.task.diverged_loss()
        self._require_sound("the validation loss", loss_in(scores) or 0.0, limit, "weight", sound)
        better = take_if_best(scores, self.progress, self.settings.metric)
        if better and self.ranks.first:
            save_tensors(self.run.best, self.task.kept(weights))
        return scores, better

    def _record_validation(self, scores: Mapping[str, Any], better: bool, what: str, **more: int) -> None:
        self._record({"step": self.progress.step, "validation": dict(scores), "best": better, **more})
        log.info("%s: %s", what, validation_text(scores, better))

    def _save(self) -> None:
        """Write `last/`; weights that are not finite are never written over good ones."""
        self._sound_loss()
        carried = self.task.carried()
        if self.ranks.first:
            self.learner.save(carried)
        self.ranks.told(None)  # nobody reads before all is written

    def begin(self) -> None:
        """Write the checkpoint that the other processes begin with, unless there is one."""
        if not self._resumes:
            self.learner.save({})

    def _limit(self) -> str:
        """The limit that the training has reached with all of it validated; empty while something is left to do."""
        progress = self.progress
        if progress.restarts != self.settings.restarts:
            progress = replace(progress, validations_without_better=0)
        reached = progress.step and progress.validated_step == progress.step
        return limit_reached(self.settings, progress, self._epochs_done()) if reached else ""

    def _go_on(self) -> None:
        """Begin where the checkpoint was made, or with the best weights and a new curve of the learning rate."""
        progress, was_finished = self.progress, self.progress.finished
        if progress.metrics_rows and not self.run.metrics.exists():
            log.warning("%s: missing; the log and the curves begin anew", self.run.metrics)
        if self.ranks.first:
            self.metrics.forget_after(progress.step, self.learner.known_rows)
        progress.metrics_rows = len(self.metrics.read())
        progress.finished = ""
        restarts = progress.restarts != self.settings.restarts
        if restarts:
            self.learner.restart()
            self._save()
        if not progress.step:
            return
        self._check_limits()
        log.info("resumed at step %s of %s", f"{progress.step:,}", self._goal())
        if was_finished and not progress.finished:
            log.info("%s", curve_text(self.settings, *progress.curve(self.total_steps)))
            if not restarts:
                log.info("%s", restart_text(self.settings))
