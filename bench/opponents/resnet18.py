"""Inference of ResNet-18 of ImageNet, 3x224x224, float32, channels_last, batch norms folded by fuse_conv_bn_eval, under inference_mode; the mean of the
squared logits is read at every call. Option `batch`.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common import options, serve, spread


class Block(nn.Module):
    def __init__(self, input, output, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(input, output, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(output)
        self.conv2 = nn.Conv2d(output, output, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(output)
        self.downsample = None
        if input != output:
            self.downsample = nn.Sequential(nn.Conv2d(input, output, 1, stride, bias=False), nn.BatchNorm2d(output))

    def fold(self):
        self.conv1, self.bn1 = fuse_conv_bn_eval(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = fuse_conv_bn_eval(self.conv2, self.bn2), nn.Identity()
        if self.downsample is not None:
            self.downsample = fuse_conv_bn_eval(*self.downsample)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        plan = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
        self.blocks = nn.Sequential(*[Block(*sizes) for sizes in plan])
        self.fc = nn.Linear(512, 1000)

    def fold(self):
        self.conv1, self.bn1 = fuse_conv_bn_eval(self.conv1, self.bn1), nn.Identity()
        for block in self.blocks:
            block.fold()
        return self

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        return self.fc(self.blocks(x).mean((2, 3)))


given = options()
model = ResNet18().eval()
with torch.no_grad():
    for k, parameter in enumerate(model.parameters()):
        if parameter.dim() > 1:
            parameter.copy_(spread(list(parameter.shape), 1000 * k, (3 / parameter[0].numel()) ** 0.5))
    model.fc.bias.zero_()
model = model.fold().to(memory_format=torch.channels_last)
x = spread([given["batch"], 3, 224, 224], 7, 1).to(memory_format=torch.channels_last)


def step():
    with torch.inference_mode():
        return model(x).square().mean().item()


serve(step, "channels_last, batch norms folded, float32")
