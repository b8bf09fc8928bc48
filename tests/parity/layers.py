"""The layers of the parity tests: state dict, inputs, outputs, gradients, and ten steps of training with SGD and with AdamW; all in float64."""
import torch
from torch import nn


class Residual(nn.Module):
    """A residual block with a projection, pooled and classified."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.shortcut = nn.Sequential(nn.Conv2d(2, 4, 1, stride=2, bias=False), nn.BatchNorm2d(4))
        self.pool = nn.MaxPool2d(2)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))
        return self.head(self.average(self.pool(y)).flatten(1))


def layers():
    recurrent = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    state = {"h": (4, 2, 4), "c": (4, 2, 4)}
    return {
        "lstm": (nn.LSTM(3, 4, **recurrent), {"x": (2, 5, 3), **state}),
        "gru": (nn.GRU(3, 4, **recurrent), {"x": (2, 5, 3), "h": (4, 2, 4)}),
        "rnn": (nn.RNN(3, 4, **recurrent), {"x": (2, 5, 3), "h": (4, 2, 4)}),
        "lstmWithoutBiasOrState": (nn.LSTM(3, 4, num_layers=2, bias=False, batch_first=True), {"x": (2, 5, 3)}),
        "rnnRelu": (nn.RNN(3, 4, nonlinearity="relu", batch_first=True), {"x": (2, 5, 3)}),
        "linear": (nn.Linear(5, 3), {"x": (2, 4, 5)}),
        "embedding": (nn.Embedding(7, 3, padding_idx=2), {"index": (2, 5)}),
        "layerNorm": (nn.LayerNorm(5), {"x": (2, 3, 5)}),
        "batchNorm1d": (nn.BatchNorm1d(3), {"x": (7, 3)}),
        "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), {"x": (2, 4, 7, 5)}),
        "residual": (Residual(), {"x": (3, 2, 9, 8)}),
    }


def forward(model, inputs):
    """The named results of a layer."""
    if isinstance(model, nn.LSTM):
        output, (h, c) = model(inputs["x"], (inputs["h"], inputs["c"]) if "h" in inputs else None)
        return {"output": output, "h": h, "c": c}
    if isinstance(model, (nn.GRU, nn.RNN)):
        output, h = model(inputs["x"], inputs.get("h"))
        return {"output": output, "h": h}
    return {"output": model(*inputs.values())}


OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.05),
}


def layer_tensors(cotangent):
    """All tensors by name: layer/part/key."""
    torch.manual_seed(0)
    tensors = {}
    for name, (model, shapes) in layers().items():
        model = model.double()
        if name in ("batchNorm1d", "layerNorm"):
            for parameter in model.parameters():
                nn.init.normal_(parameter)
        inputs = {}
        for key, shape in shapes.items():
            inputs[key] = torch.randint(0, 7, shape) if key == "index" else torch.randn(shape, dtype=torch.float64, requires_grad=True)
        initial = {key: value.clone() for key, value in model.state_dict().items()}

        def put(part, entries):
            tensors.update({f"{name}/{part}/{key}": value.detach().clone().contiguous() for key, value in entries.items()})

        put("state", initial)
        put("input", inputs)
        outputs = forward(model, inputs)
        put("output", outputs)
        leaves = {**{f"input {key}": x for key, x in inputs.items() if x.requires_grad}, **dict(model.named_parameters())}
        loss = sum((y * cotangent(y, k)).sum() for k, y in enumerate(outputs.values()))
        put("gradient", dict(zip(leaves, torch.autograd.grad(loss, leaves.values()))))
        model.eval()
        put("evaluated", forward(model, inputs))
        model.train()

        fixed = {key: x.detach() for key, x in inputs.items()}
        target = torch.randn(outputs["output"].shape, dtype=torch.float64)
        put("target", {"output": target})
        for optimizer_name, make in OPTIMIZERS.items():
            model.load_state_dict(initial)
            optimizer = make(model.parameters())
            losses = []
            for _ in range(10):
                optimizer.zero_grad()
                loss = (forward(model, fixed)["output"] - target).square().mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            put(optimizer_name, {"losses": torch.stack(losses)})
            put(f"{optimizer_name} after", model.state_dict())
    return tensors
