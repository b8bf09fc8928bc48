"""A translation step: encoder and decoder LSTMs of 2 x 256 with multiplicative attention, vocabulary 8,000, B=64, 25 symbols on both sides.

Attention as in Luong et al. 2015 ("general") without input feeding, so that the decoder is one call over all its steps and attention two batched
products: the form that is fastest in PyTorch, too. The source is reversed by flip. float32, batch first, gradients clipped by norm 5,
AdamW(fused=True). Rows are equally long, so nothing is packed and the mask is left out, which is to this side's advantage. The loss is read every step.
"""

import torch

from common import options, serve, spread, tokens

VOCABULARY, WIDTH, LAYERS, B, T, BATCHES, EOS = 8000, 256, 2, 64, 25, 8, 1


class EncoderDecoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.source_embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.target_embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.decoder = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.combine = torch.nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.key = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)

    def forward(self, source, target):
        memory, state = self.encoder(self.source_embedding(source.flip(1)))
        before = torch.cat([torch.full_like(target[:, :1], EOS), target[:, :-1]], 1)
        query, _ = self.decoder(self.target_embedding(before), state)
        weights = torch.softmax(query @ self.key(memory).transpose(1, 2), -1)
        return self.head(torch.tanh(self.combine(torch.cat([weights @ memory, query], 2))))


given = options()
model = EncoderDecoder()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.06))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
batches = [
    (tokens([B, T], 5000 * k, VOCABULARY - 2) + 2, tokens([B, T], 5000 * k + 1, VOCABULARY - 2) + 2) for k in range(BATCHES)
]
count = 0


def step():
    global count
    source, target = batches[count % BATCHES]
    count += 1
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(source, target).flatten(0, 1), target.flatten(), ignore_index=0)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
    optimizer.step()
    return loss.item()


serve(step, "AdamW (fused), float32")
