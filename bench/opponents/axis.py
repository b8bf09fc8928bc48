"""The layers and stacks of bench/cases/axis.ts in eager PyTorch, float32, as a good user of it writes them.

Options: part, and where it is a layer: width, batch, time, positive.

  minlstm, mingru   one fused projection, then the scan in every eager form that computes the same: loops over `unbind` with addcmul, batch first and time
                    first (one addcmul per step; its gradients are slices, not full-size tensors of zeros), and, for positive candidates, the log-space scan of
                    Feng et al. 2024. All are timed at the start; the fastest is the opponent.
  highway           linear, chunk, lerp, over the layers' weights
  stack             6 x (layer norm, minLSTM, + residual), AdamW(fused=True)
  stream            the same stack, one step of one row under no_grad, the state carried

The first five steps of a layer add the norms of all gradients to the loss, so that the comparison of losses covers them.
"""

import time

import torch
from torch.nn import functional

from common import options, serve, spread

given = options()
COMPARED = 5


def scan(a, b, dim):
    h = torch.zeros_like(a.select(dim, 0))
    steps = []
    for a_t, b_t in zip(a.unbind(dim), b.unbind(dim)):
        h = torch.addcmul(b_t, a_t, h)
        steps.append(h)
    return torch.stack(steps, dim)


def log_scan(log_a, log_b, dim):
    """h_t = sum over i of exp(a*_t - a*_i) b_i, a* the sum of log a; from the state 0."""
    total = log_a.cumsum(dim)
    return (total + torch.logcumsumexp(log_b - total, dim)).exp()


def candidate(p, positive):
    return torch.where(p >= 0, p + 0.5, torch.sigmoid(p)) if positive else p


def log_candidate(p):
    return torch.where(p >= 0, torch.log(functional.relu(p) + 0.5), -functional.softplus(-p))


def min_lstm(p, dim, positive=False):
    f, i, c = p.chunk(3, -1)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    total = f + i
    return scan(f / total, i / total * candidate(c, positive), dim)


def min_lstm_log(p, dim):
    f, i, c = p.chunk(3, -1)
    difference = functional.softplus(-f) - functional.softplus(-i)
    return log_scan(-functional.softplus(difference), -functional.softplus(-difference) + log_candidate(c), dim)


def min_gru(p, dim, positive=False):
    z, c = p.chunk(2, -1)
    z = torch.sigmoid(z)
    return scan(1 - z, z * candidate(c, positive), dim)


def min_gru_log(p, dim):
    z, c = p.chunk(2, -1)
    return log_scan(-functional.softplus(z), -functional.softplus(-z) + log_candidate(c), dim)


FORMS = {"minlstm": (3, min_lstm, min_lstm_log), "mingru": (2, min_gru, min_gru_log)}


def counted(forward, variables):
    """One forward and backward pass; the first few also give the norms of the gradients."""
    count = 0

    def step():
        nonlocal count
        count += 1
        loss = forward().square().mean()
        gradients = torch.autograd.grad(loss, variables)
        if count > COMPARED:
            return loss.item()
        return loss.item() + sum(gradient.norm().item() for gradient in gradients)

    return step


def layer():
    gates, loop, logarithmic = FORMS[given["part"]]
    width, batch, length, positive = given["width"], given["batch"], given["time"], given["positive"]
    weight = spread([gates * width, width], 1, width**-0.5).requires_grad_()
    bias = spread([gates * width], 2, 0.1).requires_grad_()
    x = spread([batch, length, width], 3, 1.0)
    inputs = {1: x.requires_grad_(), 0: x.detach().transpose(0, 1).contiguous().requires_grad_()}

    def passes(form, dim, **rest):
        return lambda: form(functional.linear(inputs[dim], weight, bias), dim, **rest)

    forms = {
        "unbind, batch first": (passes(loop, 1, positive=positive), 1),
        "unbind, time first": (passes(loop, 0, positive=positive), 0),
    }
    if positive:
        forms["log space, batch first"] = (passes(logarithmic, 1), 1)
        forms["log space, time first"] = (passes(logarithmic, 0), 0)
    times = {}
    for name, (forward, dim) in forms.items():
        step = counted(forward, [inputs[dim], weight, bias])
        step()
        begin = time.perf_counter()
        for _ in range(3):
            step()
        times[name] = time.perf_counter() - begin
    best = min(times, key=times.get)
    forward, dim = forms[best]
    return counted(forward, [inputs[dim], weight, bias]), best


def highway():
    layers, width, batch = 50, 256, 64
    x = spread([batch, width], 3, 1.0).requires_grad_()
    weight = spread([layers, 2 * width, width], 1, width**-0.5).requires_grad_()
    bias = spread([layers, 2 * width], 2, 0.1).requires_grad_()

    def forward():
        y = x
        for w, b in zip(weight.unbind(0), bias.unbind(0)):
            h, t = functional.linear(y, w, b).chunk(2, -1)
            y = torch.lerp(y, torch.tanh(h), torch.sigmoid(t))
        return y

    return counted(forward, [x, weight, bias]), "linear, chunk, lerp"


class Layer(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.gates = torch.nn.Linear(width, 3 * width)

    def forward(self, x):
        return x + min_lstm(self.gates(self.norm(x)), 1)

    def step(self, x, h):
        f, i, c = self.gates(self.norm(x)).chunk(3, -1)
        f, i = torch.sigmoid(f), torch.sigmoid(i)
        total = f + i
        h = torch.addcmul(i / total * c, f / total, h)
        return x + h, h


STACK = {"layers": 6, "width": 256, "time": 256, "batch": 16}


def stack_layers():
    layers = torch.nn.ModuleList(Layer(STACK["width"]) for _ in range(STACK["layers"]))
    with torch.no_grad():
        for k, parameter in enumerate(layers.parameters()):
            parameter.copy_(spread(list(parameter.shape), 1000 * k, 0.06))
    return layers


def stack():
    layers = stack_layers()
    optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-3, fused=True)
    shape = [STACK["batch"], STACK["time"], STACK["width"]]
    x, target = spread(shape, 3, 1.0), spread(shape, 4, 1.0)

    def step():
        optimizer.zero_grad(set_to_none=True)
        y = x
        for layer in layers:
            y = layer(y)
        loss = functional.mse_loss(y, target)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, "unbind, AdamW (fused)"


def stream():
    layers = stack_layers()
    x = spread([1, STACK["width"]], 3, 1.0)
    states = [torch.zeros(1, STACK["width"]) for _ in layers]

    @torch.no_grad()
    def step():
        y = x
        for k, layer in enumerate(layers):
            y, states[k] = layer.step(y, states[k])
        return y.square().mean().item()

    return step, "no_grad, the state carried"


PARTS = {"minlstm": layer, "mingru": layer, "highway": highway, "stack": stack, "stream": stream}
step, how = PARTS[given["part"]]()
serve(step, f"{how}, float32")
