"""A translation step: encoder and decoder LSTMs of 2 x 256 with multiplicative attention, vocabulary 8,000, B=64, 25 symbols on both sides.

Attention as in Luong et al. 2015 ("general") without input feeding, so that the decoder is one call over all its steps and attention two batched
products: the form that is fastest in PyTorch, too. The source is reversed by flip. float32, batch first, gradients clipped by norm 5,
AdamW(fused=True). Rows are equally long, so nothing is packed and the mask is left out, which is to this side's advantage. The loss is read every step.
"""

import torch

from common import options, serve, spread, tokens
from encoder_decoder import VOCABULARY, EncoderDecoder

B, T, BATCHES = 64, 25, 8

given = options()
device = given.get("device", "cpu")
model = EncoderDecoder()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.06))
model.to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
batches = [
    tuple((tokens([B, T], 5000 * k + i, VOCABULARY - 2) + 2).to(device) for i in range(2)) for k in range(BATCHES)
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
