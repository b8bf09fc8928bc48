"""Encoder-decoders with attention for the parity tests, written in PyTorch: weights, symbols with padding, logits, attention and every gradient; in float64."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD, EOS = 0, 1
H, SYMBOLS = 6, (9, 8)


class Multiplicative(nn.Module):
    """score(d, m) = d · W m (Luong et al. 2015, "general")."""

    def __init__(self):
        super().__init__()
        self.combine = nn.Linear(2 * H, H, bias=False)
        self.key = nn.Linear(H, H, bias=False)

    def scores(self, d, m):
        return torch.einsum("bth,bsh->bts", d, self.key(m))


class Additive(nn.Module):
    """score(d, m) = v · tanh(W d + U m) (Bahdanau et al. 2015)."""

    def __init__(self):
        super().__init__()
        self.combine = nn.Linear(2 * H, H, bias=False)
        self.query = nn.Linear(H, H, bias=False)
        self.key = nn.Linear(H, H, bias=False)
        self.v = nn.Parameter(torch.rand(H) - 0.5)

    def scores(self, d, m):
        return torch.stack([torch.tanh(self.query(d[:, t : t + 1]) + self.key(m)) @ self.v for t in range(d.shape[1])], 1)


class Model(nn.Module):
    """Two layers of LSTM on each side; the source is read from its end, sentence by sentence."""

    def __init__(self, attention):
        super().__init__()
        self.sourceEmbedding = nn.Embedding(SYMBOLS[0], H)
        self.targetEmbedding = nn.Embedding(SYMBOLS[1], H)
        self.encoder = nn.LSTM(H, H, num_layers=2, batch_first=True)
        self.decoder = nn.LSTM(H, H, num_layers=2, batch_first=True)
        self.attention = attention
        self.head = nn.Linear(H, SYMBOLS[1])

    def forward(self, source, target):
        lengths = (source != PAD).sum(1)
        reversed_rows = [torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(source, lengths)]
        packed = pack_padded_sequence(self.sourceEmbedding(torch.stack(reversed_rows)), lengths, batch_first=True, enforce_sorted=False)
        memory, state = self.encoder(packed)
        memory = pad_packed_sequence(memory, batch_first=True, total_length=source.shape[1])[0]
        before = torch.cat([torch.full_like(target[:, :1], EOS), target[:, :-1]], 1)
        d, _ = self.decoder(self.targetEmbedding(before), state)
        hidden = torch.arange(source.shape[1]) >= lengths[:, None]
        weights = self.attention.scores(d, memory).masked_fill(hidden[:, None], -torch.inf).softmax(-1)
        context = weights @ memory
        return self.head(torch.tanh(self.attention.combine(torch.cat([context, d], 2)))), weights


def seq2seq_tensors():
    """All tensors by name: attention/part/key."""
    torch.manual_seed(0)
    source = torch.tensor([[2, 3, 4, 5, 6], [7, 8, PAD, PAD, PAD], [4, 2, 7, PAD, PAD]])
    target = torch.tensor([[3, 2, 4, EOS], [5, EOS, PAD, PAD], [7, 6, EOS, PAD]])
    tensors = {"source": source, "target": target}
    for name, attention in [("additive", Additive()), ("multiplicative", Multiplicative())]:
        model = Model(attention).double()
        logits, weights = model(source, target)
        loss = F.cross_entropy(logits.transpose(1, 2), target, ignore_index=PAD)
        names, parameters = zip(*model.named_parameters())
        gradients = torch.autograd.grad(loss, parameters)
        parts = {"state": zip(names, parameters), "gradient": zip(names, gradients), "output": [("logits", logits), ("weights", weights), ("loss", loss)]}
        for part, entries in parts.items():
            tensors.update({f"{name}/{part}/{key}": value.detach().clone().contiguous() for key, value in entries})
    return tensors
