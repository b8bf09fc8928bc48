"""Our operations and PyTorch's for the same function on the same tensors of the default dtype, batch first. Sizes by letter as in the ids of bench/cases/kernels.ts."""

from dataclasses import dataclass
from typing import Callable

import torch
from torch.nn import functional


@dataclass
class Pair:
    """Both functions take no arguments and return the same outputs; gradients flow into the first of them."""

    ours: Callable
    theirs: Callable
    variables: list


def tensor(*shape, scale=1.0):
    return (torch.randn(shape) * scale).requires_grad_(torch.is_grad_enabled())


def recurrence(ours, module, states, sizes):
    """One layer with I = H, zero initial states, weights as PyTorch initialises them."""
    _, batch, hidden = sizes
    x = tensor(batch, sizes[0], hidden)
    weights = module.all_weights[0]
    zeros = [torch.zeros(batch, hidden) for _ in range(states)]
    stacked = [zero.unsqueeze(0) for zero in zeros]

    def theirs():
        y, last = module(x, tuple(stacked) if states == 2 else stacked[0])
        return y, *(state.squeeze(0) for state in (last if states == 2 else [last]))

    return Pair(lambda: ours(x, *zeros, *weights), theirs, [x, *weights])


def lstm(ops, sizes):
    return recurrence(ops.lstm, torch.nn.LSTM(sizes[2], sizes[2], batch_first=True), 2, sizes)


def gru(ops, sizes):
    return recurrence(ops.gru, torch.nn.GRU(sizes[2], sizes[2], batch_first=True), 1, sizes)


def elman(ops, sizes):
    return recurrence(ops.rnn, torch.nn.RNN(sizes[2], sizes[2], batch_first=True), 1, sizes)


def stack(module, states, sizes):
    """Layers and directions with I = H, zero initial states, weights as PyTorch initialises them; both sides take and return them as PyTorch does."""
    time, batch, hidden = sizes
    layer = module(hidden, hidden)
    x = tensor(batch, time, hidden)
    sets = [list(weights) for weights in layer.all_weights]
    zeros = [torch.zeros(len(sets), batch, hidden) for _ in range(states)]
    return layer, x, sets, zeros


def stacked(ops, cell, module, states, sizes):
    layer, x, sets, zeros = stack(module, states, sizes)
    flat = [weight for weights in sets for weight in weights]

    def theirs():
        y, last = layer(x, tuple(zeros) if states == 2 else zeros[0])
        return y, *(last if states == 2 else [last])

    return Pair(lambda: getattr(ops, f"{cell}_stack")(x, *zeros, None, None, flat, layer.bidirectional), theirs, [x, *flat])


def wavefront(ops, cell, module, states, sizes):
    """Ours both ways: one operation for all layers and directions against one after the other."""
    layer, x, sets, zeros = stack(module, states, sizes)
    flat = [weight for weights in sets for weight in weights]
    directions = 2 if layer.bidirectional else 1

    def one_by_one():
        y, last = x, []
        for first in range(0, len(sets), directions):
            passes = [
                getattr(ops, cell)(y, *(zero[i] for zero in zeros), *sets[i], None, i % directions == 1) for i in range(first, first + directions)
            ]
            y = passes[0][0] if directions == 1 else torch.cat([outputs[0] for outputs in passes], 2)
            last += [outputs[1:] for outputs in passes]
        return y, *(torch.stack(states) for states in zip(*last))

    return Pair(lambda: getattr(ops, f"{cell}_stack")(x, *zeros, None, None, flat, layer.bidirectional), one_by_one, [x, *flat])


def deep(module, layers, bidirectional):
    return lambda inputs, hidden: module(inputs, hidden, layers, batch_first=True, bidirectional=bidirectional)


CELLS = {"lstm": (torch.nn.LSTM, 2), "gru": (torch.nn.GRU, 1)}
STACKS = {
    **{f"{cell}2": (cell, deep(module, 2, False), states) for cell, (module, states) in CELLS.items()},
    **{f"bi{cell}": (cell, deep(module, 1, True), states) for cell, (module, states) in CELLS.items()},
}


def eager_scan(a, b):
    """The best eager loop: each step's gradient is a slice of its own, not a full-size tensor of zeros, thanks to `unbind`."""
    h = torch.zeros_like(a[:, 0])
    steps = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1)):
        h = torch.addcmul(b_t, a_t, h)
        steps.append(h)
    return torch.stack(steps, 1), h


def scan(ops, sizes):
    time, batch, hidden = sizes
    a = torch.sigmoid(torch.randn(batch, time, hidden)).requires_grad_(torch.is_grad_enabled())
    b = tensor(batch, time, hidden)
    return Pair(lambda: ops.scan(a, b), lambda: eager_scan(a, b), [a, b])


def mingru(ops, sizes):
    time, batch, hidden = sizes
    p = tensor(batch, time, 2 * hidden)

    def theirs():
        z, c = p.chunk(2, -1)
        z = torch.sigmoid(z)
        return eager_scan(1 - z, z * c)

    return Pair(lambda: ops.mingru(p), theirs, [p])


def minlstm(ops, sizes):
    time, batch, hidden = sizes
    p = tensor(batch, time, 3 * hidden)

    def theirs():
        f, i, c = p.chunk(3, -1)
        f, i = torch.sigmoid(f), torch.sigmoid(i)
        total = f + i
        return eager_scan(f / total, i / total * c)

    return Pair(lambda: ops.minlstm(p), theirs, [p])


def chunked_delta(q, k, v, beta, chunk=32):
    """The WY form of Yang et al. 2024 by batched products: [B, N, T, E]. T is a multiple of the chunk."""
    batch, heads, time, width = q.shape
    q, k, v = (x.reshape(batch, heads, time // chunk, chunk, -1) for x in (q, k, v))
    beta = beta.reshape(batch, heads, time // chunk, chunk, 1)
    m = torch.eye(chunk) + (beta * k @ k.transpose(-1, -2)).tril(-1)
    solved = torch.linalg.solve_triangular(m, torch.cat([beta * v, beta * k], -1), upper=False, unitriangular=True)
    u, w = solved.split([v.shape[-1], width], -1)
    p = (q @ k.transpose(-1, -2)).tril()
    state, outputs = q.new_zeros(batch, heads, width, v.shape[-1]), []
    for q_c, k_c, u_c, w_c, p_c in zip(*(x.unbind(2) for x in (q, k, u, w, p))):
        u_c = u_c - w_c @ state
        outputs.append(q_c @ state + p_c @ u_c)
        state = state + k_c.transpose(-1, -2) @ u_c
    return torch.stack(outputs, 2).reshape(batch, heads, time, -1), state


def delta(ops, sizes):
    time, batch, heads, width = sizes
    training = torch.is_grad_enabled()
    q, v = tensor(batch, time, heads, width), tensor(batch, time, heads, width)
    k = functional.normalize(torch.randn(batch, time, heads, width), dim=-1).requires_grad_(training)
    beta = torch.rand(batch, time, heads).requires_grad_(training)

    def theirs():
        y, state = chunked_delta(*(x.transpose(1, 2) for x in (q, k, v)), beta.transpose(1, 2))
        return y.transpose(1, 2), state

    return Pair(lambda: ops.delta_rule(q, k, v, beta), theirs, [q, k, v, beta])


def slstm(ops, sizes):
    """Four heads."""
    time, batch, hidden = sizes
    size = hidden // 4
    x, weight = tensor(batch, time, 4 * hidden), tensor(4 * hidden, size, scale=hidden**-0.5)

    def theirs():
        # [heads, E, 4·E], so that all heads are one batched product.
        blocks = weight.reshape(4, 4, size, size).permute(1, 3, 0, 2).reshape(4, size, 4 * size)
        shared = x.reshape(batch, time, 4, 4, size).permute(1, 3, 0, 2, 4).reshape(time, 4, batch, 4 * size)
        h = c = n = m = x.new_zeros(4, batch, size)
        steps = []
        for x_t in shared.unbind(0):
            i, f, z, o = torch.baddbmm(x_t, h, blocks).chunk(4, -1)
            kept = functional.logsigmoid(f) + m
            m = torch.maximum(kept, i)
            i, f = torch.exp(i - m), torch.exp(kept - m)
            c, n = torch.addcmul(f * c, i, torch.tanh(z)), torch.addcmul(i, f, n)
            h = torch.sigmoid(o) * c / n
            steps.append(h)
        y = torch.stack(steps, 0).permute(2, 0, 1, 3).reshape(batch, time, hidden)
        return y, torch.stack([part.transpose(0, 1).reshape(batch, hidden) for part in (h, c, n, m)])

    return Pair(lambda: ops.slstm(x, weight), theirs, [x, weight])


def paragru(ops, sizes):
    time, batch, hidden = sizes
    p, weight = tensor(batch, time, 3 * hidden), tensor(3, hidden, scale=hidden**-0.5)

    def theirs():
        a_z, a_r, a_c = weight.unbind(0)
        h, steps = torch.zeros(batch, hidden), []
        for p_t in p.unbind(1):
            p_z, p_r, p_c = p_t.chunk(3, -1)
            z, r = torch.sigmoid(torch.addcmul(p_z, a_z, h)), torch.sigmoid(torch.addcmul(p_r, a_r, h))
            h = torch.lerp(h, torch.tanh(torch.addcmul(p_c, a_c, r * h)), z)
            steps.append(h)
        return torch.stack(steps, 1), h

    return Pair(lambda: ops.paragru(p, weight), theirs, [p, weight])


def paragru_newton(ops, sizes):
    """Ours both ways."""
    time, batch, hidden = sizes
    p, weight = tensor(batch, time, 3 * hidden), tensor(3, hidden, scale=hidden**-0.5)
    return Pair(lambda: ops.paragru(p, weight, None, None, True), lambda: ops.paragru(p, weight), [p, weight])


def paralstm(ops, sizes):
    time, batch, hidden = sizes
    p, weight = tensor(batch, time, 3 * hidden), tensor(5, hidden, scale=hidden**-0.5)

    def theirs():
        a_f, a_g, a_o, q_f, q_o = weight.unbind(0)
        h, c, steps = torch.zeros(batch, hidden), torch.zeros(batch, hidden), []
        for p_t in p.unbind(1):
            p_f, p_g, p_o = p_t.chunk(3, -1)
            f = torch.sigmoid(torch.addcmul(torch.addcmul(p_f, a_f, h), q_f, c))
            c = torch.lerp(torch.tanh(torch.addcmul(p_g, a_g, h)), c, f)
            h = torch.sigmoid(torch.addcmul(torch.addcmul(p_o, a_o, h), q_o, c)) * torch.tanh(c)
            steps.append(h)
        return torch.stack(steps, 1), h, c

    return Pair(lambda: ops.paralstm(p, weight), theirs, [p, weight])


def highway(ops, sizes):
    rows, width, layers = sizes
    x = tensor(rows, width)
    weight = tensor(layers, 2 * width, width, scale=width**-0.5)
    bias = tensor(layers, 2 * width, scale=0.1)

    def theirs():
        y = x
        for w, b in zip(weight.unbind(0), bias.unbind(0)):
            h, t = functional.linear(y, w, b).chunk(2, -1)
            y = torch.lerp(y, torch.tanh(h), torch.sigmoid(t))
        return (y,)

    return Pair(lambda: (ops.highway(x, weight, bias),), theirs, [x, weight, bias])


def residual_norm(ops, sizes):
    rows, width = sizes
    x, residual, weight, bias = tensor(rows, width), tensor(rows, width), tensor(width), tensor(width)

    def theirs():
        total = x + residual
        return functional.layer_norm(total, (width,), weight, bias), total

    return Pair(lambda: ops.residual_norm(x, residual, weight, bias), theirs, [x, residual, weight, bias])


def residual_mlp(ops, sizes):
    rows, width, hidden = sizes
    x, norm_weight, norm_bias = tensor(rows, width), tensor(width), tensor(width, scale=0.1)
    weight_1, bias_1 = tensor(hidden, width, scale=width**-0.5), tensor(hidden, scale=0.1)
    weight_2, bias_2 = tensor(width, hidden, scale=hidden**-0.5), tensor(width, scale=0.1)
    weights = [norm_weight, norm_bias, weight_1, bias_1, weight_2, bias_2]

    def theirs():
        normed = functional.layer_norm(x, (width,), norm_weight, norm_bias)
        u = functional.gelu(functional.linear(normed, weight_1, bias_1), approximate="tanh")
        return (x + functional.linear(u, weight_2, bias_2),)

    return Pair(lambda: (ops.residual_mlp(x, *weights),), theirs, [x, *weights])


PAIRS = {
    "lstm": lstm,
    "gru": gru,
    "elman": elman,
    **{name: lambda ops, sizes, of=of: stacked(ops, *of, sizes) for name, of in STACKS.items()},
    **{f"wavefront/{name}": lambda ops, sizes, of=of: wavefront(ops, *of, sizes) for name, of in STACKS.items()},
    "scan": scan,
    "mingru": mingru,
    "minlstm": minlstm,
    "delta": delta,
    "slstm": slstm,
    "paragru": paragru,
    "paragru-newton": paragru_newton,
    "paralstm": paralstm,
    "highway": highway,
    "residual-norm": residual_norm,
    "residual-mlp": residual_mlp,
}
