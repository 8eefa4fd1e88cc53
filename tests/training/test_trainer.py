"""The trainer on a toy task: stopped anywhere and resumed, it ends with the bytes of an undisturbed run."""

import json
import logging
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from s2s.device import Compute
from s2s.errors import RunError, TrainingError
from s2s.nn.loss import Loss, linear_cross_entropy
from s2s.nn.weights import load_tensors, weights_of
from s2s.run import Metrics, RunFolder
from s2s.training.checkpoint import Progress, load_checkpoint
from s2s.training.stopping import Interrupted
from s2s.training.trainer import Trainer
from s2s.translation.recipe import Training

COMPUTE = Compute(torch.device("cpu"), torch.float32, "as asked")
TIMES = ("elapsed_seconds", "validation_seconds", "target_tokens_per_second")
STEPS = 12


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class Pairs(NamedTuple):
    """One batch of the toy."""

    inputs: Tensor
    targets: Tensor


class Toy:
    """A classifier of random points, with dropout so that the random state matters; five batches an epoch."""

    def __init__(self, before_loss: Callable[[int], None] = lambda step: None) -> None:
        torch.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 5))
        self.before_loss = before_loss
        generator = torch.Generator().manual_seed(2)
        sampled = [
            Pairs(torch.randn(3, 3, generator=generator), torch.randint(5, (3,), generator=generator)) for _ in range(6)
        ]
        self.data, self.held_out = sampled[:5], sampled[5]

    def batches_in_epoch(self, epoch: int) -> int:
        return len(self.data)

    def batches(self, epoch: int, skip: int) -> Iterator[Pairs]:
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(epoch)).tolist()
        yield from (self.data[index] for index in order[skip:])

    def tokens(self, batch: Pairs) -> int:
        return len(batch.targets)

    def loss(self, batch: Pairs, step: int) -> Loss:
        self.before_loss(step)
        return self._loss(batch)

    def rates(self, step: int) -> Mapping[str, float]:
        return {"forcing_rate": 1.0 - step / 100}

    def validate(self) -> Mapping[str, float]:
        nats = float(self._loss(self.held_out).nats) / 3
        return {"nats_per_token": nats, "bleu": -nats}

    def guessed_loss(self) -> float:
        return math.log(5)

    def diverged_loss(self) -> float:
        return 100.0

    def kept(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return weights

    def carried(self) -> dict[str, Tensor]:
        return {}

    def put_carried(self, tensors: dict[str, Tensor]) -> None:
        assert tensors == {}

    def _loss(self, batch: Pairs) -> Loss:
        hidden = torch.tanh(self.model[1](self.model[0](batch.inputs)))
        return linear_cross_entropy(hidden, self.model[2].weight, self.model[2].bias, batch.targets, 0.1)


def settings(**values: Any) -> Training:
    default = {"steps": STEPS, "warmup_steps": 3, "learning_rate": 0.05, "log_every": 2, "save_every": 4}
    return Training(**default | values)


VARIANTS: dict[str, dict[str, Any]] = {
    "adamw-cosine": {},
    "adam-constant": {"optimizer": "adam", "schedule": "constant", "weight_decay": 0.1},
    "sgd-momentum-inverse-square-root": {"optimizer": "sgd", "momentum": 0.9, "schedule": "inverse_square_root"},
    "plateau": {"optimizer": "sgd", "schedule": "plateau", "plateau_validations": 1, "validate_every": 2},
    "moving-average": {"moving_average": 0.9, "validate_every": 3},
    "average-last": {"average_last": 3, "validate_every": 3, "metric": "nats_per_token"},
    "accumulate": {"accumulate": 2, "save_every": 1},
    "epochs": {"steps": None, "epochs": 2.6, "schedule": "constant"},
    "patience": {"patience_validations": 2, "validate_every": 2, "learning_rate": 1.0},
    "everything": {"moving_average": 0.8, "average_last": 2, "accumulate": 2, "validate_every": 3, "save_every": 2},
}
every_variant = pytest.mark.parametrize("values", VARIANTS.values(), ids=list(VARIANTS))


def train(folder: Path, values: dict[str, Any], before_loss: Callable[[int], None] = lambda step: None) -> Progress:
    return Trainer(Toy(before_loss), settings(**values), RunFolder(folder), COMPUTE).train()


class Outcome(NamedTuple):
    """Content of a run folder, without clocks, and without the remains of a kill."""

    best: bytes
    last: dict[str, bytes]
    progress: dict[str, Any]
    rows: list[dict[str, Any]]


def outcome(folder: Path) -> Outcome:
    last = folder / "last"
    index = json.loads((last / "checkpoint.json").read_text(encoding="utf-8"))
    files = {name: (last / name).read_bytes() for name in (index["state"], *index["averaged"])}
    rows = Metrics(folder / "metrics.jsonl").read()
    kept = [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
    for row in kept:  # a stop between two rows splits a sum of floats
        if "loss" in row:
            row["loss"] = pytest.approx(row["loss"], rel=1e-5)
    progress = {name: value for name, value in index["progress"].items() if name not in TIMES}
    return Outcome((folder / "best.safetensors").read_bytes(), files, progress, kept)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Each variant, trained in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name, values in VARIANTS.items():
        train(folder / name, values)
    return {name: outcome(folder / name) for name in VARIANTS}


def whole(undisturbed: dict[str, Outcome], values: dict[str, Any]) -> Outcome:
    return next(undisturbed[name] for name in VARIANTS if VARIANTS[name] is values)


def ask_to_stop(at: int) -> Callable[[int], None]:
    return lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == at else None


def break_down(at: int) -> Callable[[int], None]:
    def before_loss(step: int) -> None:
        if step == at:
            raise Killed

    return before_loss


@every_variant
def test_a_seed_has_one_result(tmp_path: Path, values: dict[str, Any], undisturbed: dict[str, Outcome]) -> None:
    train(tmp_path, values)
    assert outcome(tmp_path) == whole(undisturbed, values)


@every_variant
def test_stopped_or_killed_in_any_step_and_resumed_it_ends_with_the_same_bytes(
    tmp_path: Path, values: dict[str, Any], undisturbed: dict[str, Outcome]
) -> None:
    expected = whole(undisturbed, values)
    for stop in range(1, expected.progress["step"], 3):
        folder = tmp_path / str(stop)
        how, expects = (ask_to_stop, Interrupted) if stop % 2 else (break_down, Killed)
        with pytest.raises(expects):
            train(folder, values, how(stop))
        train(folder, values)
        assert outcome(folder) == expected


def test_a_run_stopped_after_every_single_step_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, Outcome]
) -> None:
    values = VARIANTS["everything"]
    for step in range(STEPS - 1):
        with pytest.raises(Interrupted, match=f"stopped at step {step + 1:,} of {STEPS}; everything is saved"):
            train(tmp_path, values, ask_to_stop(step))
    train(tmp_path, values)
    assert outcome(tmp_path) == undisturbed["everything"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "name"), [(os, "replace"), (Metrics, "append")], ids=["rename", "metrics"])
@pytest.mark.parametrize(("variant", "steps"), [("everything", 6), ("accumulate", 3)])
def test_killed_at_any_write_and_resumed_it_ends_with_the_same_bytes_and_rows(
    tmp_path: Path,
    variant: str,
    steps: int,
    owner: Any,
    name: str,
    when: Literal["before", "after"],
) -> None:
    """Every rename and every line of metrics is in turn the last thing that happens, or the thing that does not."""
    function, values = getattr(owner, name), VARIANTS[variant] | {"steps": steps}
    train(tmp_path / "whole", values)
    expected = outcome(tmp_path / "whole")
    for count in range(1000):
        left = iter(range(count))

        def dying(*args: Any, left: Iterator[int] = left) -> Any:
            if next(left, None) is not None:
                return function(*args)
            if when == "after":
                function(*args)
            raise Killed

        folder = tmp_path / str(count)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, dying)
            try:
                train(folder, values)
            except Killed:
                pass
            else:
                break
        checkpoint = load_checkpoint(folder / "last")
        if checkpoint is not None:
            assert (folder / "last" / f"state-{checkpoint.progress['step']}.safetensors").exists()
        train(folder, values)
        assert outcome(folder) == expected
    assert count > (2 if name == "append" else 10)


@every_variant
def test_metrics_have_each_log_step_and_each_validation_once(
    values: dict[str, Any], undisturbed: dict[str, Outcome]
) -> None:
    done = whole(undisturbed, values)
    last = done.progress["step"]
    logged = [row["step"] for row in done.rows if "loss" in row]
    assert logged == list(range(2, last + 1, 2))
    validated = [row["step"] for row in done.rows if "validation" in row and "averaged" not in row]
    every = values.get("validate_every")
    per_epoch = 5 // values.get("accumulate", 1)
    wanted = set(range(every or per_epoch, last + 1, every or per_epoch)) | {last}
    assert validated == sorted(wanted)
    assert [row["step"] for row in done.rows] == sorted(row["step"] for row in done.rows)
    assert sum("averaged" in row for row in done.rows) == (1 if "average_last" in values else 0)
    assert done.progress["metrics_rows"] == len(done.rows)
    assert all(row["forcing_rate"] == pytest.approx(1 - row["step"] / 100) for row in done.rows if "loss" in row)


@every_variant
def test_resuming_a_finished_training_does_nothing_and_says_so(
    tmp_path: Path, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, values)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    trainer = Trainer(Toy(break_down(0)), settings(**values), RunFolder(tmp_path), COMPUTE)
    with caplog.at_level(logging.INFO, logger="s2s"):
        progress = trainer.train()
    assert trainer.was_complete
    assert f"nothing to do: step {progress.step}, " in caplog.text
    assert progress.finished in caplog.text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon", "sgd"])
def test_n_steps_and_a_higher_limit_equal_two_n_steps(tmp_path: Path, optimizer: str) -> None:
    values = {"optimizer": optimizer, "schedule": "constant", "validate_every": 3, "moving_average": 0.9}
    assert train(tmp_path / "half", values | {"steps": 6}).finished == "the limit of 6 steps is reached"
    assert not Trainer(Toy(), settings(**values), RunFolder(tmp_path / "half"), COMPUTE).was_complete
    train(tmp_path / "half", values)
    train(tmp_path / "whole", values)
    assert outcome(tmp_path / "half") == outcome(tmp_path / "whole")


def test_limits_end_a_training_and_are_named(tmp_path: Path) -> None:
    progress = train(tmp_path / "epochs", {"steps": None, "epochs": 0.5, "schedule": "constant"})
    assert (progress.step, progress.finished) == (3, "the limit of 0.5 epochs is reached")
    progress = train(tmp_path / "minutes", {"steps": None, "minutes": 1e-9, "schedule": "constant"})
    assert (progress.step, progress.finished) == (1, "the limit of 1e-09 minutes is reached")
    progress = train(tmp_path / "patience", VARIANTS["patience"] | {"steps": 500, "schedule": "constant"})
    assert progress.step < 500
    assert progress.finished == "no better bleu in 2 validations"


def test_the_best_weights_are_those_of_the_best_validation(undisturbed: dict[str, Outcome], tmp_path: Path) -> None:
    for variant in ("plateau", "patience"):
        done = undisturbed[variant]
        scores = {row["step"]: row["validation"]["bleu"] for row in done.rows if "validation" in row}
        assert done.progress["best"] == max(scores.values())
        assert scores[done.progress["best_step"]] == max(scores.values())
        (tmp_path / "best").write_bytes(done.best)
        toy = Toy()
        for name, weight in weights_of(toy.model).items():
            weight.copy_(load_tensors(tmp_path / "best")[name])
        toy.model.eval()
        assert toy.validate()["bleu"] == pytest.approx(max(scores.values()), rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [
        ("bleu", [0.0, 0.0, 0.0, 0.0], [1, 2, 3]),  # a metric that stays leaves it to the nats
        ("bleu", [90.0, 100.0, 80.0, 100.0], [1, 2, 4]),
        ("chrf", [1.0, 2.0, 2.0, 1.0], [1, 2, 3]),
        ("chrf", [math.nan, math.nan, math.nan, math.nan], [1, 2, 3]),
        ("mase", [math.inf, math.inf, math.inf, math.inf], [1, 2, 3]),
        ("nats_per_token", [0.0, 0.0, 0.0, 0.0], [1, 2, 3]),
    ],
)
def test_the_loss_decides_where_the_metric_is_equal_or_no_number(
    tmp_path: Path, metric: str, scores: list[float], best: list[int]
) -> None:
    nats = [4.0, 3.0, 2.0, 2.5] if best != [1, 2, 4] else [4.0, 3.0, 1.0, 2.5]

    class Given(Toy):
        def validate(self) -> Mapping[str, float]:
            validated = trainer.progress.step - 1
            return {**dict.fromkeys(("bleu", "chrf", "mase"), scores[validated]), "nats_per_token": nats[validated]}

    values = settings(steps=4, validate_every=1, plateau_validations=1).model_copy(update={"metric": metric})
    trainer = Trainer(Given(), values, RunFolder(tmp_path), COMPUTE)
    progress = trainer.train()
    rows = Metrics(tmp_path / "metrics.jsonl").read()
    assert [row["step"] for row in rows if row.get("best")] == best
    assert (progress.best_step, progress.best_loss) == (best[-1], nats[best[-1] - 1])
    assert progress.halvings == 4 - len(best)


def test_after_an_older_version_an_equal_validation_is_the_best(tmp_path: Path) -> None:
    """Its checkpoints do not say how many nats the best weights had."""

    class Equal(Toy):
        def validate(self) -> Mapping[str, float]:
            return {"bleu": 100.0, "nats_per_token": 0.5}

    values = {"validate_every": 4, "schedule": "constant"}
    Trainer(Equal(), settings(steps=4, **values), RunFolder(tmp_path), COMPUTE).train()
    path = tmp_path / "last" / "checkpoint.json"
    index = json.loads(path.read_text())
    del index["progress"]["best_loss"]
    path.write_text(json.dumps(index))
    progress = Trainer(Equal(), settings(steps=12, **values), RunFolder(tmp_path), COMPUTE).train()
    assert (progress.best_step, progress.best_loss) == (8, 0.5)


def test_a_plateau_halves_the_learning_rate(undisturbed: dict[str, Outcome]) -> None:
    done = undisturbed["plateau"]
    worse, halvings = 0, {}
    for row in done.rows:
        if "validation" in row:
            worse += not row["best"]
            halvings[row["step"]] = worse
    assert done.progress["halvings"] == worse
    for row in done.rows:
        if "loss" in row and row["step"] > 4:
            before = halvings[max(step for step in halvings if step < row["step"])]
            assert row["learning_rate"] == pytest.approx(0.05 / 2**before)


def test_accumulated_batches_step_as_one_batch_of_their_tokens(tmp_path: Path) -> None:
    """Without dropout, two batches summed equal one of both, since losses are divided by all tokens of the step."""
    values = {"optimizer": "sgd", "schedule": "constant", "steps": 1, "accumulate": 2}
    accumulated = Toy()
    accumulated.model[1] = nn.Identity()
    joined = Toy()
    joined.model[1] = nn.Identity()
    first, second = list(joined.batches(0, 0))[:2]
    joined.data = [Pairs(torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets]))]
    Trainer(accumulated, settings(**values), RunFolder(tmp_path / "a"), COMPUTE).train()
    Trainer(joined, settings(**values | {"accumulate": 1}), RunFolder(tmp_path / "b"), COMPUTE).train()
    for one, other in zip(accumulated.model.parameters(), joined.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_moving_average_turned_on_later_begins_from_the_weights_of_then(tmp_path: Path) -> None:
    train(tmp_path, {"steps": 4, "validate_every": 4, "schedule": "constant"})
    toy = Toy()
    trainer = Trainer(toy, settings(moving_average=0.9, schedule="constant"), RunFolder(tmp_path), COMPUTE)
    assert trainer.learner.moving is not None
    assert all(torch.equal(trainer.learner.moving[name], weight) for name, weight in weights_of(toy.model).items())


@pytest.mark.parametrize("at", [3, 7])
@pytest.mark.parametrize("what", ["loss", "validation", "weights"])
def test_a_training_that_diverged_ends_before_good_weights_are_overwritten(
    tmp_path: Path, what: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Diverged(Toy):
        def loss(self, batch: Pairs, step: int) -> Loss:
            self.step = step
            loss = super().loss(batch, step)
            return loss._replace(nats=loss.nats + 5000.0 * (what == "loss" and step >= at))

        def validate(self) -> Mapping[str, float]:
            nats = 5000.0 if what == "validation" and self.step >= at else 1.0
            return {"nats_per_token": nats, "bleu": float(self.step)}

    toy = Diverged()
    trainer = Trainer(toy, settings(validate_every=2, clip_norm=0.0), RunFolder(tmp_path), COMPUTE)
    update = trainer.learner.optimizer.step

    def step() -> None:
        update()
        if what == "weights" and toy.step >= at:
            toy.model[0].weight.data[0, 0] = math.inf

    monkeypatch.setattr(trainer.learner.optimizer, "step", step)
    with pytest.raises(TrainingError) as caught:
        trainer.train()
    said = "the weight is not finite" if what == "weights" else "the training has diverged, "
    assert str(caught.value).startswith(f"step {at + 1}: {said}")
    assert "lower training.learning_rate (now 0.05), clip gradients (training.clip_norm is 0, off); " in str(
        caught.value
    )
    checkpoint = load_checkpoint(tmp_path / "last")
    assert checkpoint is not None
    assert checkpoint.progress["best_step"] == checkpoint.progress["step"] == at - 1
    assert all(weight.isfinite().all() for weight in load_tensors(tmp_path / "best.safetensors").values())
    assert str(caught.value).endswith(f"; kept: the checkpoint of step {at - 1} and the best weights so far")


def test_a_training_that_diverged_at_once_says_nothing_of_what_it_does_not_keep(tmp_path: Path) -> None:
    class Diverged(Toy):
        def loss(self, batch: Pairs, step: int) -> Loss:
            return super().loss(batch, step)._replace(nats=torch.tensor(5000.0))

    with pytest.raises(TrainingError, match=r"the training has diverged.*lower training.learning_rate \(now 0.05\)$"):
        Trainer(Diverged(), settings(log_every=1), RunFolder(tmp_path), COMPUTE).train()


@pytest.mark.parametrize("nats", [1.5, 1.7])
def test_an_end_that_is_worse_than_a_guess_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, nats: float
) -> None:
    class Worse(Toy):
        def validate(self) -> Mapping[str, float]:
            return {"nats_per_token": nats, "bleu": 0.0}

    Trainer(Worse(), settings(), RunFolder(tmp_path), COMPUTE).train()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (nats > math.log(5))
    assert all("worse than a guess: the best weights have 1.7 nats per token" in each for each in told)
    assert all("nothing has 1.609 (" in each for each in told)


@pytest.mark.parametrize("values", [{"patience_validations": 1, "learning_rate": 1.0}, {"moving_average": 0.9}])
def test_a_restart_goes_on_from_the_best_weights_and_is_made_once(tmp_path: Path, values: dict[str, Any]) -> None:
    first = {"steps": 6, "validate_every": 2, "optimizer": "sgd", "momentum": 0.9, **values}
    finished = train(tmp_path / "one", first).step
    best = load_tensors(tmp_path / "one" / "best.safetensors")
    again = first | {"steps": 20, "restarts": 1, "learning_rate": 1e-9, "patience_validations": None}
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    stop = ask_to_stop(finished + 3)
    with pytest.raises(Interrupted):
        train(tmp_path / "one", again, stop)
    trainer = Trainer(Toy(), settings(**again), RunFolder(tmp_path / "one"), COMPUTE)
    assert trainer.progress.curve_start == finished
    for name, weight in weights_of(trainer.model).items():
        torch.testing.assert_close(weight, best[name])
    trainer.train()
    train(tmp_path / "other", again)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "other")


@pytest.mark.parametrize("poison", ["value", "gradient"])
@pytest.mark.parametrize("at", [0, 5, 7, 10])
def test_a_loss_that_is_not_finite_ends_the_training_and_spares_what_was_saved(
    tmp_path: Path, poison: str, at: int
) -> None:
    class Poisoned(Toy):
        def loss(self, batch: Pairs, step: int) -> Loss:
            loss = super().loss(batch, step)
            if step != at:
                return loss
            bad = loss.nats * math.nan
            return loss._replace(nats=bad) if poison == "value" else loss._replace(smoothed=loss.smoothed * math.inf)

    values = {"validate_every": 6}
    with pytest.raises(TrainingError, match=r"step \d+: the (loss|gradient) is not finite"):
        Trainer(Poisoned(), settings(**values), RunFolder(tmp_path), COMPUTE).train()
    checkpoint = load_checkpoint(tmp_path / "last")
    assert checkpoint is not None
    assert checkpoint.progress["step"] == max(step for step in (0, 4, 6, 8) if step <= at)
    assert all(tensor.isfinite().all() for tensor in checkpoint.tensors.values())
    if at >= 6:
        assert all(tensor.isfinite().all() for tensor in load_tensors(tmp_path / "best.safetensors").values())
    train(tmp_path, values)
    train(tmp_path / "whole", values)
    assert outcome(tmp_path).best == outcome(tmp_path / "whole").best


def test_an_epoch_with_too_few_batches_for_one_step_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"training\.accumulate: 6 batches make a step, .* only 5"):
        train(tmp_path, {"accumulate": 6})


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train(tmp_path, {})
    toy = Toy()
    toy.model = nn.Sequential(nn.Linear(3, 7), nn.Dropout(0.3), nn.Linear(7, 5))
    with pytest.raises(RunError, match=r"last: 0\.weight is \(4, 3\), the recipe says \(7, 3\)"):
        Trainer(toy, settings(), RunFolder(tmp_path), COMPUTE).train()


def test_progress_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    train(tmp_path, {})
    path = tmp_path / "last" / "checkpoint.json"
    index = json.loads(path.read_text())
    index["progress"]["stepp"] = 1
    path.write_text(json.dumps(index))
    with pytest.raises(RunError, match=r"damaged, checkpoint\.json does not say where the training stands"):
        train(tmp_path, {})


def test_signals_are_handed_back_and_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def twice(step: int) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, {}, twice)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert train(tmp_path, {}).step == STEPS


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.3, 1.0, 100.0])
def test_gradients_are_clipped_as_torch_clips_them(tmp_path: Path, limit: float) -> None:
    own, plain = Toy(), Toy()
    trainer = Trainer(
        own, settings(clip_norm=limit, optimizer="sgd", schedule="constant"), RunFolder(tmp_path), COMPUTE
    )
    for batch in own.data:
        torch.manual_seed(3)
        loss = plain.loss(batch, 0)
        (loss.smoothed / 3).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(plain.model.parameters(), limit or math.inf)
        torch.manual_seed(3)
        trainer.step([batch])
        rate = trainer.learner.optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            for weight, ours in zip(plain.model.parameters(), own.model.parameters(), strict=True):
                weight.add_(weight.grad, alpha=-rate)
                assert torch.equal(weight, ours)
        plain.model.zero_grad()
