"""The layers of the parity tests: state dict, inputs, outputs, gradients, and ten steps of training with SGD and with AdamW; all in float64."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


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


class Minimal(nn.Module):
    """MinGRU (two gates) and MinLSTM (three), two layers in two directions, step by step."""

    def __init__(self, input_size, hidden_size, gates, positive):
        super().__init__()
        self.gates, self.positive = gates, positive
        for name, size in [("l0", input_size), ("l0_reverse", input_size), ("l1", 2 * hidden_size), ("l1_reverse", 2 * hidden_size)]:
            bound = size**-0.5
            setattr(self, f"weight_ih_{name}", nn.Parameter(torch.empty(gates * hidden_size, size).uniform_(-bound, bound)))
            setattr(self, f"bias_ih_{name}", nn.Parameter(torch.empty(gates * hidden_size).uniform_(-bound, bound)))

    def step(self, p, h):
        *gates, c = p.chunk(self.gates, -1)
        if self.positive:
            c = torch.where(c >= 0, c + 0.5, torch.sigmoid(c))
        if self.gates == 2:
            z = torch.sigmoid(gates[0])
            return (1 - z) * h + z * c
        f, i = torch.sigmoid(gates[0]), torch.sigmoid(gates[1])
        return f / (f + i) * h + i / (f + i) * c

    def forward(self, x, state):
        last = []
        for k in range(2):
            outputs = []
            for d, end in enumerate(["", "_reverse"]):
                p = F.linear(x, getattr(self, f"weight_ih_l{k}{end}"), getattr(self, f"bias_ih_l{k}{end}"))
                h, steps = state[2 * k + d], []
                for t in reversed(range(x.shape[1])) if d else range(x.shape[1]):
                    h = self.step(p[:, t], h)
                    steps.append(h)
                last.append(h)
                outputs.append(torch.stack(steps[::-1] if d else steps, 1))
            x = torch.cat(outputs, 2)
        return x, torch.stack(last)


class Highway(nn.Module):
    """Two highway layers."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 2 * width, width))
        self.bias = nn.Parameter(torch.randn(2, 2 * width))

    def forward(self, x):
        for weight, bias in zip(self.weight, self.bias):
            h, t = F.linear(x, weight, bias).chunk(2, -1)
            t = torch.sigmoid(t)
            x = t * torch.relu(h) + (1 - t) * x
        return x


class ResidualMLP(nn.Module):
    """The pre-norm residual block of two linear maps."""

    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)

    def forward(self, x):
        return x + self.linear2(F.gelu(self.linear1(self.norm(x)), approximate="tanh"))


class Decoder(nn.Module):
    """Two layers and a norm over a memory, as torch's stack has them but with starts of their own."""

    def __init__(self, **options):
        super().__init__()
        self.layers = nn.ModuleList(nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=True, norm_first=True, **options) for _ in range(2))
        self.norm = nn.LayerNorm(8)

    def forward(self, x, memory, **masks):
        for layer in self.layers:
            x = layer(x, memory, **masks)
        return self.norm(x)


class Activations(nn.Module):
    """Their outputs side by side. Gradients here have 1/α of CELU and 1/6 in float32, in float64 too: an exact 1/α, and no Hardsigmoid and Hardswish."""

    def __init__(self):
        super().__init__()
        self.each = nn.ModuleList([nn.ELU(0.7), nn.SELU(), nn.CELU(2.0), nn.Mish(), nn.ReLU6(), nn.Hardtanh(-0.3, 0.5),
                                   nn.LogSigmoid(), nn.Softsign(), nn.PReLU(4), nn.PReLU(), nn.GLU()])

    def forward(self, x):
        return torch.cat([activation(x) for activation in self.each], -1)


def layers():
    parametrizations = nn.utils.parametrizations
    transformer = {"dropout": 0.0, "batch_first": True}
    recurrent = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    state = {"h": (4, 2, 4), "c": (4, 2, 4)}
    return {
        "lstm": (nn.LSTM(3, 4, **recurrent), {"x": (2, 5, 3), **state}),
        "gru": (nn.GRU(3, 4, **recurrent), {"x": (2, 5, 3), "h": (4, 2, 4)}),
        "rnn": (nn.RNN(3, 4, **recurrent), {"x": (2, 5, 3), "h": (4, 2, 4)}),
        "lstmWithoutBiasOrState": (nn.LSTM(3, 4, num_layers=2, bias=False, batch_first=True), {"x": (2, 5, 3)}),
        "rnnRelu": (nn.RNN(3, 4, nonlinearity="relu", batch_first=True), {"x": (2, 5, 3)}),
        "lstmWithLengths": (nn.LSTM(3, 4, **recurrent), {"x": (3, 5, 3), "h": (4, 3, 4), "c": (4, 3, 4)}),
        "gruWithLengths": (nn.GRU(3, 4, **recurrent), {"x": (3, 5, 3), "h": (4, 3, 4)}),
        "rnnWithLengths": (nn.RNN(3, 4, **recurrent), {"x": (3, 5, 3)}),
        "lstmProjected": (nn.LSTM(3, 4, proj_size=2, **recurrent), {"x": (2, 5, 3), "h": (4, 2, 2), "c": (4, 2, 4)}),
        "minGRU": (Minimal(3, 4, 2, False), {"x": (2, 5, 3), "h": (4, 2, 4)}),
        "minLSTM": (Minimal(3, 4, 3, True), {"x": (2, 5, 3), "h": (4, 2, 4)}),
        "highway": (Highway(5), {"x": (2, 3, 5)}),
        "residualMLP": (ResidualMLP(5, 7), {"x": (2, 3, 5)}),
        "linear": (nn.Linear(5, 3), {"x": (2, 4, 5)}),
        "embedding": (nn.Embedding(7, 3, padding_idx=2), {"index": (2, 5)}),
        "layerNorm": (nn.LayerNorm(5), {"x": (2, 3, 5)}),
        "batchNorm1d": (nn.BatchNorm1d(3), {"x": (7, 3)}),
        "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), {"x": (2, 4, 7, 5)}),
        "residual": (Residual(), {"x": (3, 2, 9, 8)}),
        "activations": (Activations(), {"x": (2, 4, 6)}),
        "rmsNorm": (nn.RMSNorm(5), {"x": (2, 3, 5)}),
        "groupNorm": (nn.GroupNorm(2, 4), {"x": (3, 4, 5)}),
        "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), {"x": (2, 4, 9)}),
        "convTranspose1d": (nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), {"x": (2, 4, 5)}),
        "convTranspose2d": (nn.ConvTranspose2d(3, 2, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), {"x": (2, 3, 4, 5)}),
        "pools": (nn.Sequential(nn.Conv1d(2, 3, 1), nn.MaxPool1d(3, 1, 1), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(4), nn.Upsample(scale_factor=2, mode="linear")), {"x": (2, 2, 13)}),
        "attention": (nn.MultiheadAttention(8, 2, batch_first=True), {"x": (3, 5, 8)}),
        "attentionToMemory": (nn.MultiheadAttention(8, 4, batch_first=True), {"x": (2, 4, 8), "key": (2, 6, 8), "value": (2, 6, 8)}),
        "encoderLayer": (nn.TransformerEncoderLayer(8, 2, 12, activation="gelu", **transformer), {"x": (3, 5, 8)}),
        "encoderLayerNormFirst": (nn.TransformerEncoderLayer(8, 2, 12, norm_first=True, bias=False, **transformer), {"x": (3, 5, 8)}),
        "decoderLayer": (nn.TransformerDecoderLayer(8, 2, 12, **transformer), {"x": (2, 4, 8), "memory": (2, 6, 8)}),
        "decoder": (Decoder(), {"x": (3, 5, 8), "memory": (3, 6, 8)}),
        "weightNorm": (nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 5)), parametrizations.weight_norm(nn.Linear(5, 3), dim=1)), {"x": (2, 4)}),
        "weightNormOfImages": (parametrizations.weight_norm(nn.Conv2d(2, 3, (2, 3))), {"x": (2, 2, 5, 5)}),
        "spectralNorm": (parametrizations.spectral_norm(nn.Linear(4, 5)), {"x": (2, 4)}),
        "spectralNormOfImages": (parametrizations.spectral_norm(nn.ConvTranspose2d(3, 2, 2), n_power_iterations=2), {"x": (2, 3, 4, 4)}),
    }


# Of the layers "…WithLengths", and of the padding of "attention", "encoderLayer" and "decoder".
LENGTHS = [3, 5, 2]


def attention(model, name, inputs):
    """Self-attention with padding and, in the decoder, a causal mask; torch's masks are true where something is hidden."""
    x = inputs["x"]
    length = x.shape[1]
    padding = torch.arange(length) >= torch.tensor(LENGTHS)[:, None]
    # Added to the products.
    causal = torch.full((length, length), -torch.inf, dtype=torch.float64).triu(1)
    if name == "attention":
        return model(x, x, x, key_padding_mask=padding, need_weights=False)[0]
    if name == "attentionToMemory":
        return model(*inputs.values(), need_weights=False)[0]
    if name == "encoderLayer":
        return model(x, src_key_padding_mask=padding)
    if name == "encoderLayerNormFirst":
        return model(x, src_mask=causal)
    if name == "decoderLayer":
        return model(*inputs.values(), tgt_mask=causal)
    far = torch.arange(6) >= torch.tensor(LENGTHS)[:, None]
    return model(*inputs.values(), tgt_mask=causal, memory_key_padding_mask=far)


ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, Decoder)


def forward(model, name, inputs, lengths=None):
    """The named results of a layer."""
    if isinstance(model, ATTENTION):
        return {"output": attention(model, name, inputs)}
    if isinstance(model, (nn.LSTM, nn.GRU, nn.RNN)):
        x = inputs["x"]
        if lengths is not None:
            x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        if isinstance(model, nn.LSTM):
            output, (h, c) = model(x, (inputs["h"], inputs["c"]) if "h" in inputs else None)
            state = {"h": h, "c": c}
        else:
            output, h = model(x, inputs.get("h"))
            state = {"h": h}
        if lengths is not None:
            output = pad_packed_sequence(output, batch_first=True)[0]
        return {"output": output, **state}
    if isinstance(model, Minimal):
        output, h = model(inputs["x"], inputs["h"])
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
        lengths = LENGTHS if name.endswith("WithLengths") else None
        if name in ("batchNorm1d", "layerNorm", "rmsNorm", "groupNorm"):
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
        outputs = forward(model, name, inputs, lengths)
        put("output", outputs)
        leaves = {**{f"input {key}": x for key, x in inputs.items() if x.requires_grad}, **dict(model.named_parameters())}
        loss = sum((y * cotangent(y, k)).sum() for k, y in enumerate(outputs.values()))
        put("gradient", dict(zip(leaves, torch.autograd.grad(loss, leaves.values()))))
        model.eval()
        put("evaluated", forward(model, name, inputs, lengths))
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
                loss = (forward(model, name, fixed, lengths)["output"] - target).square().mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            put(optimizer_name, {"losses": torch.stack(losses)})
            put(f"{optimizer_name} after", model.state_dict())
    return tensors
