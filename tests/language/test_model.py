"""Language models: states carried on, rows alone, members side by side, and numbers that a course has published."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from s2s.language.model import LanguageModel, build_language_model, build_members, member_weights
from s2s.language.recipe import LanguageDropout
from s2s.language.recipe import LanguageModel as Settings
from s2s.nn.recurrent import Cell, Recurrent

CELLS: tuple[Cell, ...] = ("elman", "gru", "lstm")
SWITCHES = list(itertools.product(CELLS, (1, 2), ("embedding", "one_hot"), ("linear", "tied", "adaptive", "state")))


def settings_of(cell: str, layers: int, read: str, output: str) -> Settings:
    return Settings.model_validate(
        {"cell": cell, "layers": layers, "input": read, "output": output, "hidden_size": 7, "embedding_size": 7}
    )


def models() -> list[LanguageModel]:
    torch.manual_seed(3)
    chosen = (switch for switch in SWITCHES if switch[2] == "embedding" or switch[3] not in ("tied", "adaptive"))
    return [build_language_model(settings_of(*switch), 7).double().eval() for switch in chosen]


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(7, (4, 12), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model.recurrent.layers))
def test_a_run_from_a_carried_state_is_a_run_over_the_whole(model: LanguageModel, tokens: Tensor) -> None:
    whole, _, last = model(tokens)
    parts, state = [], None
    for chunk in (tokens[:, :5], tokens[:, 5:6], tokens[:, 6:]):
        readout, _, state = model(chunk, state)
        parts.append(readout)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert state is not None
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model.recurrent.layers))
def test_a_packed_batch_is_its_sequences_one_at_a_time(model: LanguageModel, tokens: Tensor) -> None:
    lengths, targets = torch.tensor([12, 3, 1, 7]), tokens.roll(-1, 1)
    together, _ = model.loss(tokens, targets, lengths=lengths)
    # what lies in the padding, or how much of it there is, changes nothing, the penalties included
    penalties = {"activation_penalty": 2.0, "temporal_activation_penalty": 1.0}
    wider = functional.pad(tokens, (0, 3), value=5), functional.pad(targets, (0, 3), value=5)
    narrow = model.loss(tokens, targets, lengths=lengths, **penalties)[0]
    torch.testing.assert_close(model.loss(*wider, lengths=lengths, **penalties)[0].smoothed, narrow.smoothed)
    gradient = torch.autograd.grad(together.smoothed, list(model.parameters()))
    alone = [model.loss(tokens[row : row + 1, :n], targets[row : row + 1, :n])[0] for row, n in enumerate(lengths)]
    torch.testing.assert_close(together.smoothed, torch.stack([loss.smoothed for loss in alone]).sum())
    assert together.tokens == int(lengths.sum()) == sum(loss.tokens for loss in alone)
    total = torch.stack([loss.smoothed for loss in alone]).sum()
    for one, other in zip(gradient, torch.autograd.grad(total, list(model.parameters())), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model.recurrent.layers))
def test_the_loss_is_the_cross_entropy_of_the_logits(model: LanguageModel, tokens: Tensor) -> None:
    targets = tokens.roll(-1, 1)
    loss, _ = model.loss(tokens, targets)
    logits = model.logits(model(tokens).readout)
    expected = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(loss.smoothed, expected)
    torch.testing.assert_close(loss.nats, expected.detach())


def test_the_penalties_are_those_of_merity_and_others(tokens: Tensor) -> None:
    model = build_language_model(settings_of("lstm", 1, "embedding", "linear"), 7).eval()
    targets = tokens.roll(-1, 1)
    plain, _ = model.loss(tokens, targets)
    loss, _ = model.loss(tokens, targets, activation_penalty=2.0, temporal_activation_penalty=0.5)
    hidden = model(tokens).hidden
    penalty = 2.0 * hidden.square().mean() + 0.5 * (hidden[:, 1:] - hidden[:, :-1]).square().mean()
    torch.testing.assert_close(loss.smoothed, plain.smoothed + tokens.numel() * penalty)
    torch.testing.assert_close(loss.nats, plain.nats)


@pytest.mark.parametrize(("cell", "output", "layers"), list(itertools.product(CELLS, ("linear", "state"), (1, 2))))
def test_members_are_the_single_models_values_and_gradients(cell: str, output: str, layers: int) -> None:
    settings, seeds = settings_of(cell, layers, "one_hot", output), (4, 5, 9)
    tokens = torch.randint(7, (2, 11), generator=torch.Generator().manual_seed(8))
    targets = tokens.roll(-1, 1)
    together = build_members(settings, 7, seeds)
    loss, _ = together.loss(tokens, targets)
    loss.smoothed.backward()
    gradients = {name: weight.grad for name, weight in together.named_parameters() if weight.grad is not None}
    total = torch.zeros(())
    for number, seed in enumerate(seeds):
        torch.manual_seed(seed)
        single = build_language_model(settings, 7)
        own, _ = single.loss(tokens, targets)
        own.smoothed.backward()
        total += own.nats / len(seeds)
        weights = {name: weight.detach() for name, weight in together.named_parameters()}
        for name, weight in single.named_parameters():
            assert torch.equal(member_weights(together, weights, number)[name], weight.detach())
            torch.testing.assert_close(member_weights(together, gradients, number)[name], weight.grad)
    torch.testing.assert_close(loss.nats, total)


@pytest.mark.parametrize("cell", CELLS)
def test_members_trained_together_are_those_trained_alone(cell: str) -> None:
    settings, seeds = settings_of(cell, 1, "one_hot", "linear"), (1, 2)
    tokens = torch.arange(30)[None] % 7
    targets = tokens.roll(-1, 1)

    def trained(model: LanguageModel) -> LanguageModel:
        rule = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(12):
            loss, _ = model.loss(tokens, targets)
            (loss.smoothed / loss.tokens).backward()
            rule.step()
            rule.zero_grad()
        return model

    together = trained(build_members(settings, 7, seeds))
    weights = {name: weight.detach() for name, weight in together.named_parameters()}
    for number, seed in enumerate(seeds):
        torch.manual_seed(seed)
        single = trained(build_language_model(settings, 7))
        for name, weight in single.named_parameters():
            torch.testing.assert_close(
                member_weights(together, weights, number)[name], weight.detach(), atol=1e-5, rtol=1e-4
            )


def test_every_dropout_works_in_training_only(tokens: Tensor) -> None:
    for name in ("vocabulary", "embedding", "output", "recurrent_weights", "layers"):
        dropout = LanguageDropout.model_validate({name: 0.5})
        torch.manual_seed(1)
        model = build_language_model(Settings(layers=2, hidden_size=16, embedding_size=8, dropout=dropout), 7)
        first, second = model(tokens).readout, model(tokens).readout
        assert not torch.equal(first, second), name
        model.eval()
        assert torch.equal(model(tokens).readout, model(tokens).readout), name


def test_torch_initialization_reads_out_what_torch_draws() -> None:
    torch.manual_seed(6)
    model = build_language_model(Settings(initialization="torch", embedding_size=64, hidden_size=8), 500)
    assert model.embedding is not None
    assert float(model.embedding(torch.arange(500)).detach().std()) == pytest.approx(1.0, abs=0.02)


def test_vocabulary_dropout_drops_a_token_everywhere() -> None:
    dropout = LanguageDropout(vocabulary=0.5)
    model = build_language_model(Settings(hidden_size=4, embedding_size=5, dropout=dropout), 50)
    read = model._read(torch.arange(50).repeat(3, 1))
    dropped = (read == 0).all(dim=2)
    assert torch.equal(dropped[0], dropped[1])
    assert torch.equal(dropped[0], dropped[2])
    assert 5 < int(dropped[0].sum()) < 45


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_drops_recurrent_weights_alone_and_scales_the_others(cell: Cell) -> None:
    torch.manual_seed(2)
    core = Recurrent(3, 20, cell=cell, weight_drop=0.3)
    inputs = torch.randn(2, 6, 3, requires_grad=True)
    core(inputs)[0].sum().backward()
    layer = core.layers[0]
    assert isinstance(layer, nn.RNNBase)
    gradient = layer.weight_hh_l0.grad
    assert gradient is not None
    share = float((gradient == 0).float().mean())  # what was dropped has no gradient
    assert 0.2 < share < 0.4
    assert bool((layer.weight_ih_l0.grad != 0).all())
    core.eval()
    expected = CALLS[cell](core, inputs)
    torch.testing.assert_close(core(inputs)[0], expected)


CALLS = {cell: lambda core, inputs: core.layers[0](inputs)[0] for cell in CELLS}

SERIES = "hi?hello!!" * 100
SYMBOLS = "!?hielo"


def one_hot_series() -> Tensor:
    return functional.one_hot(torch.tensor([SYMBOLS.index(symbol) for symbol in SERIES[:-1]]), 7).float()


class TestPublishedNumbers:
    """`hi?hello!!` 100 times, one-hot, torch.manual_seed(43052): guebin, DL2022, part IV, 29 November 2022."""

    def lstm(self) -> Recurrent:
        torch.manual_seed(43052)
        return Recurrent(7, 4, cell="lstm")

    def test_the_lstm_over_the_whole_series(self) -> None:
        outputs, (h, c) = self.lstm()(one_hot_series()[None])
        assert_published(outputs[0, 0], (-0.1547, 0.0673, 0.0695, 0.1563))
        assert_published(outputs[0, -1], (-0.2350, -0.1559, -0.1093, 0.2682))
        assert_published(h[0, 0], (-0.2350, -0.1559, -0.1093, 0.2682))
        assert_published(c[0, 0], (-0.4451, -0.2456, -0.1900, 0.6232))

    def test_five_ways_to_write_it_are_one_computation(self) -> None:
        core, series = self.lstm(), one_hot_series()
        layer = core.layers[0]
        assert isinstance(layer, nn.LSTM)
        torch.manual_seed(43052)
        time_first = nn.LSTM(7, 4)
        zeros = torch.zeros(1, 4), torch.zeros(1, 4)
        rows = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
        ways = [
            time_first(series)[0],
            time_first(series, zeros)[0],
            time_first(series[:, None])[0][:, 0],
            time_first(series[:, None], rows)[0][:, 0],
            core(series[None], rows)[0][0],
        ]
        for way in ways:
            torch.testing.assert_close(way, core(series[None])[0][0], atol=1e-6, rtol=0)

    def test_a_state_has_directions_times_layers_first(self) -> None:
        core = Recurrent(7, 4, cell="lstm", layers=3, bidirectional=True)
        assert [tuple(part.shape) for part in core(one_hot_series()[None].repeat(2, 1, 1))[1]] == [(6, 2, 4)] * 2

    def test_the_cell_on_the_second_symbol_alone_as_a_row_and_as_a_bare_vector(self) -> None:
        torch.manual_seed(43052)
        cell, symbol = nn.LSTMCell(7, 4), one_hot_series()[1]
        _, (h, c) = self.lstm()(symbol[None, None])
        for own_h, own_c in ((h[0, 0], c[0, 0]), cell(symbol), (part[0] for part in cell(symbol[None]))):
            assert_published(own_h, (-0.0290, -0.1758, -0.0537, 0.0598))
            assert_published(own_c, (-0.0582, -0.4566, -0.1256, 0.1922))

    def test_stepping_over_the_series_is_the_whole_call(self) -> None:
        core, series = self.lstm(), one_hot_series()[:50]
        steps, state = [], None
        for symbol in series:
            output, state = core(symbol[None, None], state)
            steps.append(output[0, 0])
        torch.testing.assert_close(torch.stack(steps), core(series[None])[0][0], atol=1e-6, rtol=0)

    def test_five_sentences_pack_to_59_rows_longest_first(self) -> None:
        lengths = [18, 9, 7, 9, 16]
        packed = pack_sequence([torch.ones(n, 3) * n for n in lengths], enforce_sorted=False)
        assert packed.data.shape == (59, 3)
        assert packed.batch_sizes.tolist() == [5] * 7 + [4] * 2 + [2] * 7 + [1] * 2
        assert packed.data[:5, 0].tolist() == [18, 16, 9, 9, 7]
        padded, back = pad_packed_sequence(packed, batch_first=True)
        assert back.tolist() == lengths
        for cell in CELLS:
            core = Recurrent(3, 4, cell=cell)
            outputs, _ = core(padded, lengths=torch.tensor(lengths))
            for row, n in enumerate(lengths):
                assert not bool(outputs[row, n:].any())
                torch.testing.assert_close(outputs[row : row + 1, :n], core(padded[row : row + 1, :n])[0])

    def test_words_begin_at_the_published_loss(self) -> None:
        vocabulary = [",", "one", "two", "three", "four", "five"]
        words = ["one", ",", "two", ",", "three", ",", "four", ",", "five", ","] * 100
        tokens = torch.tensor([vocabulary.index(word) for word in words])
        settings = Settings(input="one_hot", hidden_size=20, initialization="torch")
        torch.manual_seed(43052)
        model = build_language_model(settings, 6)
        loss, _ = model.loss(tokens[None, :-1], tokens[None, 1:])
        assert float(loss.nats) / loss.tokens == pytest.approx(1.76285, abs=1e-4)


def assert_published(values: Tensor, expected: tuple[float, ...]) -> None:
    torch.testing.assert_close(values.detach(), torch.tensor(expected), atol=6e-5, rtol=0)
