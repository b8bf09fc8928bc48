"""A language-model step of a Transformer: width 256, 8 heads, 4 layers with norms first, GELU, causal, vocabulary 1,000, B=16, T=64, AdamW(fused=True),
float32, no dropout. `is_causal` lets PyTorch take its fused attention.
"""

import torch

from common import options, serve, spread, tokens

VOCABULARY, WIDTH, HEADS, LAYERS, B, T, BATCHES = 1000, 256, 8, 4, 16, 64, 8


class Transformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH)
        layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, LAYERS, norm=torch.nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)
        self.register_buffer("mask", torch.nn.Transformer.generate_square_subsequent_mask(T))

    def forward(self, x):
        return self.head(self.encoder(self.embed(x), mask=self.mask, is_causal=True))


options()
model = Transformer()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.06))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
batches = [(tokens([B, T], 5000 * k, VOCABULARY), tokens([B, T], 5000 * k + 1, VOCABULARY)) for k in range(BATCHES)]
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


serve(step, "AdamW (fused), float32")
