"""Forward and backward of a basic block (He et al. 2015), conv3x3-BN-ReLU-conv3x3-BN-add-ReLU, N = 32, C = 16, 32x32, float32, channels_last: the gradients of
the input and of all parameters from a fixed gradient of the output. What is read is the loss and the sum of the input's gradient.
"""

import torch
from torch import nn
from torch.nn import functional as F

from common import options, serve, spread

N, C, SIZE = 32, 16, 32


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(C, C, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(C)
        self.conv2 = nn.Conv2d(C, C, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(C)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)).add_(x), inplace=True)


options()
model = Block().to(memory_format=torch.channels_last)
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        if parameter.dim() > 1:
            parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.2))
x = spread([N, SIZE, SIZE, C], 1, 1).permute(0, 3, 1, 2).requires_grad_()
cotangent = spread([N, SIZE, SIZE, C], 2, 1).permute(0, 3, 1, 2)


def step():
    model.zero_grad(set_to_none=True)
    x.grad = None
    loss = (model(x) * cotangent).sum()
    loss.backward()
    return (loss.detach() + x.grad.sum()).item()


serve(step, "channels_last, float32")
