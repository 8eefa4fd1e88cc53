"""The translator's model: an encoder, an attention and a decoder."""

import torch
from torch import Tensor, nn

from s2s.nn.attention import Attention, Memory
from s2s.nn.decoder import Choose, Decoder, DecoderOutput, DecoderState
from s2s.nn.layers import Dropout, Embedding
from s2s.nn.loss import Loss, linear_cross_entropy
from s2s.nn.recurrent import Cell, Recurrent, State, initialize, positions_valid
from s2s.translation.recipe import Seq2SeqModel


class Encoder(nn.Module):
    """Embeds source tokens and reads them in one or both directions."""

    def __init__(
        self,
        embedding: Embedding,
        hidden_size: int,
        *,
        layers: int = 1,
        cell: Cell = "gru",
        bidirectional: bool = True,
        dropout: Dropout = Dropout(),  # noqa: B008 - immutable
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = dropout
        self.recurrent = Recurrent(
            embedding.embedding_dim, hidden_size, layers=layers, cell=cell, bidirectional=bidirectional
        )

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """(B, S), (B,) on the CPU -> values (B, S, M), zero beyond each length, and the last state.

        The state is (L, B, M): the two directions of a layer are joined.
        """
        embedded = self.dropout.on_embedded(self.embedding(tokens), training=self.training)
        dropout, layers = self.dropout if self.training else Dropout(), len(self.recurrent.layers)
        size, steps = self.recurrent.output_size, tokens.shape[1]
        masks = dropout.between_layers(embedded, size, steps=steps, layers=layers)
        values, state = self.recurrent(embedded, lengths=lengths, masks=masks)
        by_direction = (part.unflatten(0, (-1, self.recurrent.directions)).unbind(1) for part in state)
        return dropout.on_values(values, dropout.output), tuple(torch.cat(parts, dim=2) for parts in by_direction)


class Seq2Seq(nn.Module):
    """Source tokens in, log-probabilities of target tokens out."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, State]:
        """(B, S), (B,) on the CPU -> the memory and the encoder's last state (L, B, M)."""
        values, state = self.encoder(source, lengths)
        valid = positions_valid(lengths, source.shape[1], source.device)
        attention = self.decoder.attention
        keys = values if attention is None else attention.keys(values)
        return Memory(keys, values, valid), state

    def begin(self, source: Tensor, lengths: Tensor) -> tuple[DecoderState, Memory]:
        """(B, S), (B,) on the CPU -> the decoder's first state and the memory."""
        memory, last = self.encode(source, lengths)
        return self.decoder.start(last), memory

    def forward(self, source: Tensor, lengths: Tensor, inputs: Tensor, choose: Choose | None = None) -> DecoderOutput:
        """(B, S), (B,) on the CPU, (B, T) -> readout (B, T, E) and attention (B, T, S)."""
        state, memory = self.begin(source, lengths)
        output: DecoderOutput = self.decoder(inputs, state, memory, choose=choose)
        return output

    def loss(
        self,
        source: Tensor,
        lengths: Tensor,
        inputs: Tensor,
        targets: Tensor,
        *,
        target_lengths: Tensor,
        smoothing: float = 0.0,
        r_drop: float = 0.0,
        choose: Choose | None = None,
    ) -> Loss:
        """(B, S), (B,), (B, T), (B, T), (B,) -> the loss of the valid targets; both lengths are on the CPU.

        With `r_drop`, alpha of Wu et al. 2021 (equation 4), each sentence is read under two dropout masks. What is
        minimised is half of their equation, the mean of both losses and alpha / 4 of the divergences.
        """
        copies = 2 if r_drop else 1
        given = (tensor.repeat_interleave(copies, dim=0) for tensor in (source, lengths, inputs))
        readout = self(*given, choose).readout.unflatten(0, (-1, copies)).transpose(1, 2).flatten(0, 1)
        # Found on the CPU, so that a GPU need not be waited for; and flat, since the gradient of an index of two
        # dimensions is put together entry by entry.
        valid = positions_valid(target_lengths, targets.shape[1], target_lengths.device).flatten().nonzero()[:, 0]
        valid = valid.to(targets.device, non_blocking=True)
        readout, targets = readout.index_select(0, valid).flatten(0, 1), targets.flatten()[valid]
        wanted, output = targets.repeat_interleave(copies), self.decoder.output
        loss = linear_cross_entropy(readout, output.weight, output.bias, wanted, smoothing, r_drop / 2)
        return Loss(loss.smoothed / copies, loss.nats / copies, len(targets))


def build_seq2seq(model: Seq2SeqModel, *, source_vocabulary: int, target_vocabulary: int) -> Seq2Seq:
    """The model that a recipe describes, with fresh weights from torch's global generator."""
    units, chosen = model.embedding_size, model.dropout
    target = Embedding(target_vocabulary, units)
    source = target if model.tied_embeddings == "all" else Embedding(source_vocabulary, units)
    dropout = Dropout(chosen.embedding, chosen.layers, chosen.output, chosen.source_words, chosen.variational)
    attention = None
    if model.attention != "none":
        attention = Attention(
            model.attention,
            query_size=model.hidden_size,
            memory_size=model.memory_size,
            attention_size=model.attention_size or model.hidden_size,
            positions=model.location_positions,
        )
    encoder = Encoder(
        source,
        model.encoder_units,
        layers=model.encoder_layers,
        cell=model.cell,
        bidirectional=model.bidirectional,
        dropout=dropout,
    )
    decoder = Decoder(
        target,
        model.hidden_size,
        memory_size=model.memory_size,
        attention=attention,
        layers=model.decoder_layers,
        cell=model.cell,
        wiring=model.wiring,
        input_feeding=model.input_feeding,
        bridge=model.bridge,
        tied=model.tied_embeddings != "none",
        dropout=dropout._replace(words=chosen.target_words),
    )
    seq2seq = Seq2Seq(encoder, decoder)
    initialize(seq2seq, model.initialization)
    return seq2seq
