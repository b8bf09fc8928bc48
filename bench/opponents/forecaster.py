"""The step of models.Forecaster: windows scaled by their own spread, a linear map of the past corrected by an LSTM of 64, AdamW(fused=True), float32."""

import torch

from common import options, serve, spread

B, PAST, FUTURE, INPUTS, WIDTH, BATCHES = 64, 72, 24, 2, 64, 8


class Forecaster(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(PAST, FUTURE)
        self.rnn = torch.nn.LSTM(INPUTS, WIDTH, batch_first=True)
        self.head = torch.nn.Linear(WIDTH, FUTURE * INPUTS)

    def forward(self, past):
        last = past[:, -1:]
        spread = (past - past.mean(1, keepdim=True)).square().mean(1, keepdim=True).sqrt().clamp_min(1e-5)
        z = (past - last) / spread
        output, _ = self.rnn(z)
        line = self.linear(z.transpose(1, 2)).transpose(1, 2)
        ahead = line + self.head(output[:, -1]).reshape(-1, FUTURE, INPUTS)
        return ahead * spread + last


options()
model = Forecaster()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.1))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, fused=True)
batches = [(spread([B, PAST, INPUTS], 5000 * k, 1.0), spread([B, FUTURE, INPUTS], 5000 * k + 1, 1.0)) for k in range(BATCHES)]
count = 0


def step():
    global count
    past, future = batches[count % BATCHES]
    count += 1
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.mse_loss(model(past), future)
    loss.backward()
    optimizer.step()
    return loss.item()


serve(step, "AdamW (fused), float32")
