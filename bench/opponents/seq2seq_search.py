"""Decoding of translation: encoder and decoder LSTMs of 2 x 256 with multiplicative attention, vocabulary 8,000, sources of 20 symbols, 20 written.

Greedy: LSTMCells, one symbol after the other, argmax. Beam: all hypotheses of all sentences are one batch, one topk over [B, beam x V] per step,
states reordered by index_select, no Python per hypothesis; symbols and parents are stacked and read once, at the end. Keys of the attention are
computed once per batch, everything under inference_mode, float32. <PAD> and <EOS> are never written, so that both sides do 20 steps.
"""

import torch

from common import options, serve, spread
from encoder_decoder import EOS, LAYERS, VOCABULARY, WIDTH, EncoderDecoder

S, NEVER = 20, -1e4


def cells_of(model):
    """The decoder's layers as LSTMCells with the same weights."""
    cells = []
    for k in range(LAYERS):
        cell = torch.nn.LSTMCell(WIDTH, WIDTH)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).copy_(getattr(model.decoder, f"{name}_l{k}"))
        cells.append(cell)
    return cells


def step_of(model, cells, last, h, c, memory, keys):
    """Logits [N, V] and the next states for the last symbols [N]."""
    x = model.target_embedding(last)
    for k, cell in enumerate(cells):
        h[k], c[k] = cell(x, (h[k], c[k]))
        x = h[k]
    weights = torch.softmax(torch.bmm(keys, x.unsqueeze(2)).squeeze(2), -1)
    context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
    return model.head(torch.tanh(model.combine(torch.cat([context, x], 1))))


given = options()
beam, sentences = given["beam"], given["sentences"]
model = EncoderDecoder().eval()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.3))
    model.head.bias.copy_(spread([VOCABULARY], 777, 0.3))
    model.head.bias[:2] = NEVER
    cells = cells_of(model)
source = torch.tensor([[2 + (b * 7919 + t * 104_729) % (VOCABULARY - 2) for t in range(S)] for b in range(sentences)])


@torch.inference_mode()
def greedy():
    memory, (h, c) = model.encoder(model.source_embedding(source.flip(1)))
    h, c, keys = list(h), list(c), model.key(memory)
    last = torch.full([sentences], EOS)
    total = torch.zeros(sentences)
    symbols = []
    for _ in range(S):
        best = torch.log_softmax(step_of(model, cells, last, h, c, memory, keys), -1).max(-1)
        total += best.values
        last = best.indices
        symbols.append(last)
    torch.stack(symbols).tolist()
    return total.mean().item()


@torch.inference_mode()
def search():
    memory, (h, c) = model.encoder(model.source_embedding(source.flip(1)))
    rows = torch.arange(sentences).repeat_interleave(beam)
    keys, memory = model.key(memory)[rows], memory[rows]
    h, c = [each[rows] for each in h], [each[rows] for each in c]
    last = torch.full([sentences * beam], EOS)
    first = torch.arange(sentences).unsqueeze(1) * beam
    scores = torch.full([sentences, beam], float("-inf"))
    scores[:, 0] = 0
    symbols, parents = [], []
    for _ in range(S):
        log = torch.log_softmax(step_of(model, cells, last, h, c, memory, keys), -1).view(sentences, beam, VOCABULARY)
        best = (log + scores.unsqueeze(2)).view(sentences, -1).topk(beam)
        scores = best.values
        parent = best.indices // VOCABULARY
        written = best.indices - parent * VOCABULARY
        symbols.append(written)
        parents.append(parent)
        last = written.view(-1)
        row = (parent + first).view(-1)
        h, c = [each.index_select(0, row) for each in h], [each.index_select(0, row) for each in c]
    torch.stack(symbols).tolist(), torch.stack(parents).tolist()
    return scores[:, 0].mean().item()


serve(greedy if beam == 1 else search, "inference_mode, float32")
