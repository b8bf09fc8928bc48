"""A training step of ResNet-20 of the CIFAR family (He et al. 2015), batch 128 of 3x32x32, float32, channels_last, option A, cross entropy,
SGD(momentum=0.9, weight_decay=1e-4, fused=True), the loss read at every step.
"""

import torch
from torch import nn
from torch.nn import functional as F

from common import options, serve, spread, tokens

BATCHES, B = 4, 128


class Block(nn.Module):
    def __init__(self, input, output):
        super().__init__()
        stride = 1 if input == output else 2
        self.conv1 = nn.Conv2d(input, output, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(output)
        self.conv2 = nn.Conv2d(output, output, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(output)
        self.more = output - input

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(y.add_(x), inplace=True)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        self.blocks = nn.Sequential(*[Block(a, b) for a, b in zip(widths, widths[1:])])
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.bn1(self.conv1(x)), inplace=True)).mean((2, 3)))


options()
model = ResNet20().to(memory_format=torch.channels_last)
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        if parameter.dim() > 1:
            parameter.copy_(spread(list(parameter.shape), 1000 * k, (6 / parameter[0].numel()) ** 0.5))
    model.fc.bias.zero_()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)
batches = [
    (spread([B, 3, 32, 32], 5000 * k, 1).to(memory_format=torch.channels_last), tokens([B], 5000 * k + 1, 10)) for k in range(BATCHES)
]
count = 0


def step():
    global count
    x, y = batches[count % BATCHES]
    count += 1
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


serve(step, "channels_last, SGD (fused), float32")
