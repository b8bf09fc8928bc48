"""A language-model step: embedding 256, LSTM 2 x 256, vocabulary 8,000, B=32, T=35, AdamW, float32, batch first, zero initial state.

The optimizer is AdamW(fused=True): on CPU faster than foreach and than the default (bench/README.md has the figures).
The loss is read every step.
"""

import torch

from common import options, serve, spread, tokens

VOCABULARY, WIDTH, LAYERS, B, T, BATCHES = 8000, 256, 2, 32, 35, 8


class LanguageModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.rnn = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)

    def forward(self, x):
        output, _ = self.rnn(self.embed(x))
        return self.head(output)


given = options()
device = given.get("device", "cpu")
model = LanguageModel()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.06))
model.to(device)
kind = given.get("optimizer", "fused")
flags = {"fused": {"fused": True}, "foreach": {"foreach": True}, "default": {}}[kind]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **flags)
# A text is its own target, moved by one token.
batches = [tuple(tokens([B, T], 5000 * k + i, VOCABULARY).to(device) for i in range(2)) for k in range(BATCHES)]
count = 0


def step():
    global count
    x, y = batches[count % BATCHES]
    count += 1
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
    loss.backward()
    optimizer.step()
    return loss.item()


serve(step, f"AdamW ({kind}), float32")
