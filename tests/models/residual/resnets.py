"""Writes fixtures/resnets.json: keys, counts and outputs of torchvision's networks, and ten steps of a small one of the CIFAR family in plain torch.

Needs torch 2.11.0, torchvision 0.26.0 and NumPy:  python tests/models/residual/resnets.py
"""
import hashlib
import json
import pathlib

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)


def filled(state):
    """Values by a formula that the test has too: a Weyl sequence for each key, scaled as the layer needs."""
    result = {}
    for place, (key, value) in enumerate(state.items()):
        if key.endswith("num_batches_tracked"):
            result[key] = torch.tensor(1)
            continue
        i = np.arange(value.numel(), dtype=np.uint64)
        u = ((i * np.uint64(2654435761) + np.uint64(place * 40503)) % np.uint64(2**32)).astype(np.float64) / 2**32
        if value.dim() > 1:
            x = (u - 0.5) * (24 / (value.numel() / value.shape[0])) ** 0.5
        elif key.endswith("running_var") or (key.endswith("weight")):
            x = 0.5 + u
        else:
            x = (u - 0.5) * 0.2
        result[key] = torch.tensor(x).reshape(value.shape)
    return result


def images(n, channels, size):
    i = np.arange(n * channels * size * size)
    return torch.tensor(((i * 7919) % 1013) / 1013).reshape(n, channels, size, size)


def fingerprint(state):
    lines = "".join(f"{key} {list(value.shape)}\n" for key, value in state.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def imagenet():
    found = {}
    for depth in [18, 34, 50, 101, 152]:
        with torch.device("meta"):
            net = getattr(torchvision.models, f"resnet{depth}")()
        state = net.state_dict()
        found[depth] = {
            "parameters": sum(p.numel() for p in net.parameters()),
            "keys": len(state),
            "fingerprint": fingerprint(state),
        }
    for depth in [18, 50]:
        net = getattr(torchvision.models, f"resnet{depth}")().double()
        net.load_state_dict(filled(net.state_dict()))
        mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        x = (images(2, 3, 64) - torch.tensor(mean).double().reshape(1, 3, 1, 1)) / torch.tensor(deviation).double().reshape(1, 3, 1, 1)
        with torch.no_grad():
            found[depth]["logits"] = net.eval()(x)[:, :8].flatten().tolist()
    return found


class Basic(nn.Module):
    """A block of the CIFAR family with option A, in either order."""

    def __init__(self, input, output, stride, before):
        super().__init__()
        self.conv1 = nn.Conv2d(input, output, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(input if before else output)
        self.conv2 = nn.Conv2d(output, output, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(output)
        self.before, self.stride, self.more = before, stride, output - input

    def forward(self, x):
        carry = x
        if self.more:
            carry = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        if self.before:
            return carry + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
        return F.relu(carry + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Cifar(nn.Module):
    def __init__(self, depth, width, before):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        if not before:
            self.bn1 = nn.BatchNorm2d(width)
        count, input = (depth - 2) // 6, width
        for stage in range(3):
            blocks = []
            for k in range(count):
                output = width * 2**stage
                blocks.append(Basic(input, output, 2 if stage and not k else 1, before))
                input = output
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        if before:
            self.norm = nn.BatchNorm2d(input)
        self.fc = nn.Linear(input, 3)
        self.before = before

    def forward(self, x):
        x = self.conv1(x)
        x = x if self.before else F.relu(self.bn1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.relu(self.norm(x)) if self.before else x
        return self.fc(x.mean((2, 3)))


def cifar(before):
    net = Cifar(14, 4, before).double()
    net.load_state_dict(filled(net.state_dict()))
    x, y = images(6, 3, 8), torch.tensor([0, 1, 2, 2, 1, 0])
    with torch.no_grad():
        logits = net.eval()(x)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    losses = []
    for _ in range(10):
        loss = F.cross_entropy(net(x), y, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        after = net.eval()(x)
    return {"keys": list(net.state_dict()), "logits": logits.flatten().tolist(), "losses": losses, "after": after.flatten().tolist()}


if __name__ == "__main__":
    fixture = {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "imagenet": imagenet(),
        "original": cifar(False),
        "preactivation": cifar(True),
    }
    (pathlib.Path(__file__).parent / "fixtures" / "resnets.json").write_text(json.dumps(fixture, indent=1) + "\n")
