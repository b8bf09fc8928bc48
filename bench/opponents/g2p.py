"""The step of examples/g2p: encoder and decoder, two LSTMs of 2 x 256 each, on batches that the case has written to a file.

float32, batch first, sources reversed beforehand, padding left out of the loss, gradients clipped by norm, AdamW(fused=True). Tensors are made before
timing. The loss is read every step.
"""

import json

import torch

from common import options, serve, spread

WIDTH, LAYERS, PAD, EOS = 256, 2, 0, 1

given = options()
with open(given["batches"]) as file:
    contents = json.load(file)
batches = [(torch.tensor(b["source"]).flip(1).contiguous(), torch.tensor(b["target"])) for b in contents["batches"]]


class EncoderDecoder(torch.nn.Module):
    def __init__(self, letters, phonemes):
        super().__init__()
        self.source_embedding = torch.nn.Embedding(letters, WIDTH)
        self.target_embedding = torch.nn.Embedding(phonemes, WIDTH)
        self.encoder = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.decoder = torch.nn.LSTM(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.head = torch.nn.Linear(WIDTH, phonemes)

    def forward(self, source, target):
        _, state = self.encoder(self.source_embedding(source))
        before = torch.cat([torch.full_like(target[:, :1], EOS), target[:, :-1]], 1)
        output, _ = self.decoder(self.target_embedding(before), state)
        return self.head(output)


model = EncoderDecoder(contents["letters"], contents["phonemes"])
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.08))
optimizer = torch.optim.AdamW(model.parameters(), lr=given["lr"], betas=given["betas"], weight_decay=given["weightDecay"], fused=True)
count = 0


def step():
    global count
    source, target = batches[count % len(batches)]
    count += 1
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.cross_entropy(model(source, target).flatten(0, 1), target.flatten(), ignore_index=PAD)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), given["clip"])
    optimizer.step()
    return loss.item()


serve(step, "AdamW (fused), float32")
