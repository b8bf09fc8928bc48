"""What each operation of the table is in PyTorch: name -> function of (inputs, attributes)."""
import torch
from torch.nn import functional as F

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dims(x, a):
    """The axes to reduce: an empty list means all of them."""
    return a["dims"] or list(range(x.dim()))


def operands(x, a):
    """Two operands, one of which may be a number."""
    return [a["scalar"] if item is None else item for item in x]


def with_tensors(fn, x, a):
    """For functions that take no number: it becomes a tensor without axes, which promotes as a number does."""
    tensor = next(item for item in x if item is not None)
    whole = isinstance(a.get("scalar"), int) and tensor.dtype != torch.bool
    dtype = tensor.dtype if tensor.is_floating_point() or whole else None
    return fn(*[torch.tensor(a["scalar"], dtype=dtype) if item is None else item for item in x])


def unary(fn):
    return lambda x, a: fn(x[0])


def binary(fn):
    return lambda x, a: fn(*operands(x, a))


def along(fn):
    return lambda x, a: fn(x[0], a["dim"])


def reduction(fn):
    return lambda x, a: fn(x[0], dims(x[0], a), a["keepDim"])


def prod(x, a):
    if a["dim"] >= 0:
        return torch.prod(x[0], a["dim"], a["keepDim"])
    y = torch.prod(x[0])
    return y.reshape([1] * x[0].dim()) if a["keepDim"] else y


def cross_entropy(x, a):
    return by_class(x, a, lambda *args, **options: F.cross_entropy(*args, label_smoothing=a["labelSmoothing"], **options))


def batch_norm(x, a):
    y = F.batch_norm(x[0], x[3], x[4], x[1], x[2], a["train"], a["momentum"], a["eps"])
    y = y if x[5] is None else y + x[5]
    return y.relu() if a["relu"] else y


def by_class(x, a, fn):
    """Class axis last; a weight for each class may follow."""
    scores, target, weight = [*x, None][:3]
    wanted = target.reshape(-1, scores.shape[-1]) if target.is_floating_point() else target.long().reshape(-1)
    loss = fn(scores.reshape(-1, scores.shape[-1]), wanted, weight, ignore_index=a["ignoreIndex"], reduction=a["reduction"])
    return loss.reshape(scores.shape[:-1]) if a["reduction"] == "none" else loss


def by_element(fn, *options):
    """The attributes named go in as they are, in snake case."""
    return lambda x, a: fn(x[0], x[1], reduction=a["reduction"], **{snake: a[name] for snake, name in options})


def attention(x, a):
    query, key, value, mask = x
    past = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    if a["causal"] and mask is not None:
        mask = mask & past if mask.dtype == torch.bool else mask.masked_fill(~past, -torch.inf)
    scale = None if a["scale"] == "NaN" else a["scale"]
    return F.scaled_dot_product_attention(query, key, value, mask, 0.0, a["causal"] and mask is None, scale=scale, enable_gqa=a.get("enableGqa", False))


def convolution(fn):
    return lambda x, a: fn(*x, a["stride"], a["padding"], a["dilation"], a["groups"])


def conv2d(x, a):
    x, weight, bias, residual = [*x, None][:4]
    y = F.conv2d(x, weight, bias, a["stride"], a["padding"], a["dilation"], a["groups"])
    y = y if residual is None else y + residual
    return y.relu() if a.get("relu") else y


def transposed(fn):
    return lambda x, a: fn(*x, a["stride"], a["padding"], a["outputPadding"], a["groups"], a["dilation"])


def pool(fn):
    return lambda x, a: fn(x[0], a["kernel"], a["stride"], a["padding"])


def adaptive(fn):
    return lambda x, a: fn(x[0], a["size"])


def interpolate(x, a):
    scales = a["scales"] or None
    align = None if a["mode"] == "nearest" else a["alignCorners"]
    return F.interpolate(x[0], None if scales else a["size"], scales, a["mode"], align)


def filled_up(found, rows):
    """Zeros after what was found."""
    return torch.cat([found, found.new_zeros(rows - found.shape[0], *found.shape[1:])])


def nonzero(x, a):
    found = torch.nonzero(x[0])
    return filled_up(found, x[0].numel()), torch.tensor(found.shape[0])


def masked_select(x, a):
    found = torch.masked_select(x[0], x[1])
    return filled_up(found, x[0].numel()), torch.tensor(found.shape[0])


def unique(x, a):
    values, inverse, counts = torch.unique(x[0].detach(), return_inverse=True, return_counts=True)
    return filled_up(values, x[0].numel()), inverse, filled_up(counts, x[0].numel()), torch.tensor(values.shape[0])


def norm(x, a):
    return torch.linalg.vector_norm(x[0], float(a["p"]), dims(x[0], a), a["keepDim"])


def whole(index):
    """Indices of every dtype of whole numbers: PyTorch takes int64 alone."""
    return index.long() if index.dtype in (torch.int32, torch.uint8) else index


def one_hot(x, a):
    return F.one_hot(whole(x[0]), a["classes"])


def pad(x, a):
    return F.pad(x[0], a["padding"], a["mode"], a["value"] if a["mode"] == "constant" else None)


def ctc(x, a):
    logs, target, steps, lengths = x
    return F.ctc_loss(logs.transpose(0, 1), target, steps, lengths, a["blank"], a["reduction"], a["zeroInfinity"])


def clamp(x, a):
    """Infinite bounds are none; whole ones are integers, which leave an integer tensor what it is."""
    bounds = [float(a["low"]), float(a["high"])]
    return torch.clamp(x[0], *[None if abs(bound) == float("inf") else int(bound) if bound.is_integer() else bound for bound in bounds])


def where(x, a):
    return torch.where(x[0], a["a"] if x[1] is None else x[1], a["b"] if x[2] is None else x[2])


def over_time(step, steps, states, lengths, reverse):
    """Step by step: a row takes part in its first lengths[b] steps; in the others its state stays as it is and its output is 0."""
    outputs = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        real = (torch.tensor(True) if lengths is None else t < lengths).reshape(-1, 1)
        states = [torch.where(real, new, old) for new, old in zip(step(t, *states), states)]
        outputs[t] = torch.where(real, states[0], 0)
    return (torch.stack(outputs, 1) if steps else states[0].unsqueeze(1)[:, :0], *states)


def recurrence(fn, cell, states):
    """One layer in one direction, [B, T, I]: torch's operation, or its cell where rows have lengths or there is nothing to compute."""

    def run(x, a):
        sequence, state, weights, lengths, projection = x[0], x[1 : 1 + states], x[1 + states : 5 + states], x[5 + states], x[6 + states :]
        biases = [w for w in weights[2:] if w is not None]
        if len(biases) == 1:
            weights = [torch.zeros_like(biases[0]) if w is None else w for w in weights]
        if lengths is not None or sequence.shape[0] * sequence.shape[1] == 0:

            def step(t, *s):
                new = cell(a)(sequence[:, t], s if states == 2 else s[0], *weights)
                return new if states == 2 else [new]

            return over_time(step, sequence.shape[1], state, lengths, a["reverse"])
        turned = sequence.flip(1) if a["reverse"] else sequence
        hidden = [s.unsqueeze(0) for s in state]
        y, *final = fn(a)(
            turned, hidden if states == 2 else hidden[0], [w for w in [*weights, *projection] if w is not None], len(biases) > 0, 1, 0.0, True, False, True
        )
        return (y.flip(1) if a["reverse"] else y, *[s.squeeze(0) for s in final])

    return run


def layers_of(one, states):
    """Layers and directions, each by `one`; between layers the output is multiplied by a mask."""

    def run(x, a):
        read, state, lengths, masks, weights = x[0], x[1 : 1 + states], x[1 + states], x[2 + states], x[3 + states :]
        directions = 2 if a["bidirectional"] else 1
        sets = [weights[i : i + 4] for i in range(0, len(weights), 4)]
        last = []
        for first in range(0, len(sets), directions):
            layer = []
            for i in range(first, first + directions):
                initial = [read.new_zeros(read.shape[0], sets[i][1].shape[1]) if s is None else s[i] for s in state]
                layer.append(one([read, *initial, *sets[i], lengths], {"reverse": i % directions == 1}))
            read = torch.cat([outputs[0] for outputs in layer], 2)
            last += [outputs[1:] for outputs in layer]
            if masks is not None and first + directions < len(sets):
                read = read * masks[first // directions]
        return (read, *(torch.stack(s) for s in zip(*last)))

    return run


LSTM = recurrence(lambda a: torch.lstm, lambda a: torch.lstm_cell, 2)
GRU = recurrence(lambda a: torch.gru, lambda a: torch.gru_cell, 1)


def zeros_for(x, state, width):
    return x.new_zeros(x.shape[0], width) if state is None else state


def gated_scan(x, a):
    """h_t = a_t * h_(t-1) + b_t"""
    gate, added, state, lengths = x
    return over_time(lambda t, h: [gate[:, t] * h + added[:, t]], gate.shape[1], [zeros_for(gate, state, gate.shape[2])], lengths, a["reverse"])


def candidate(x, positive):
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x)) if positive else x


def min_gru(x, a):
    p, state, lengths = x
    z, c = p.chunk(2, 2)

    def step(t, h):
        gate = torch.sigmoid(z[:, t])
        return [(1 - gate) * h + gate * candidate(c[:, t], a["positive"])]

    return over_time(step, p.shape[1], [zeros_for(p, state, p.shape[2] // 2)], lengths, a["reverse"])


def min_lstm(x, a):
    p, state, lengths = x
    f, i, c = p.chunk(3, 2)

    def step(t, h):
        forget, take = torch.sigmoid(f[:, t]), torch.sigmoid(i[:, t])
        return [forget / (forget + take) * h + take / (forget + take) * candidate(c[:, t], a["positive"])]

    return over_time(step, p.shape[1], [zeros_for(p, state, p.shape[2] // 3)], lengths, a["reverse"])


def delta_rule(x, a):
    """Step by step, all heads at once."""
    query, key, value, beta, decay, state, lengths = x
    batch, steps, heads, width = key.shape
    state = key.new_zeros(batch, heads, width, value.shape[3]) if state is None else state
    outputs = [None] * steps
    for t in reversed(range(steps)) if a["reverse"] else range(steps):
        kept = state if decay is None else state * decay[:, t, :, None, None]
        error = value[:, t] - torch.einsum("bnev,bne->bnv", kept, key[:, t])
        new = kept + torch.einsum("bn,bne,bnv->bnev", beta[:, t], key[:, t], error)
        real = (torch.tensor(True) if lengths is None else t < lengths).reshape(-1, 1, 1, 1)
        state = torch.where(real, new, state)
        outputs[t] = torch.where(real[..., 0], torch.einsum("bnev,bne->bnv", new, query[:, t]), 0)
    return (torch.stack(outputs, 1) if steps else value[:, :0].clone(), state.clone())


def para_gru(x, a):
    p, weight, state, lengths = x

    def step(t, h):
        z, r, c = p[:, t].chunk(3, 1)
        z, r = torch.sigmoid(z + weight[0] * h), torch.sigmoid(r + weight[1] * h)
        return [(1 - z) * h + z * torch.tanh(c + weight[2] * r * h)]

    return over_time(step, p.shape[1], [zeros_for(p, state, p.shape[2] // 3)], lengths, a["reverse"])


def para_lstm(x, a):
    p, weight, hidden, cell, lengths = x

    def step(t, h, c):
        f, g, o = p[:, t].chunk(3, 1)
        f = torch.sigmoid(f + weight[0] * h + weight[3] * c)
        c = f * c + (1 - f) * torch.tanh(g + weight[1] * h)
        return [torch.sigmoid(o + weight[2] * h + weight[4] * c) * torch.tanh(c), c]

    width = p.shape[2] // 3
    return over_time(step, p.shape[1], [zeros_for(p, hidden, width), zeros_for(p, cell, width)], lengths, a["reverse"])


def s_lstm(x, a):
    read, weight, state, lengths = x
    width, size = read.shape[2] // 4, weight.shape[1]
    heads = width // size if size else 0
    state = read.new_zeros(4, read.shape[0], width) if state is None else state
    blocks = weight.reshape(4, heads, size, size)

    def step(t, h, c, n, m):
        shared = torch.einsum("bne,gnue->bgnu", h.reshape(-1, heads, size), blocks).reshape(-1, 4 * width)
        i, f, z, o = (read[:, t] + shared).chunk(4, 1)
        kept = F.logsigmoid(f) + m
        most = torch.maximum(kept, i)
        i, f = torch.exp(i - most), torch.exp(kept - most)
        c, n = f * c + i * torch.tanh(z), f * n + i
        return [torch.sigmoid(o) * c / n, c, n, most]

    y, *last = over_time(step, read.shape[1], list(state), lengths, a["reverse"])
    return y, torch.stack(last)


def highway(x, a):
    y, weights, biases = x
    for k, weight in enumerate(weights):
        h, t = F.linear(y, weight, None if biases is None else biases[k]).chunk(2, -1)
        h, t = torch.tanh(h) if a["nonlinearity"] == "tanh" else torch.relu(h), torch.sigmoid(t)
        y = t * h + (1 - t) * y
    return y


def residual_norm(x, a):
    x, residual, weight, bias = x
    total = x.clone() if residual is None else x + residual
    if not a["rms"]:
        return F.layer_norm(total, total.shape[-1:], weight, bias, a["eps"]), total
    y = F.rms_norm(total, total.shape[-1:], weight, a["eps"])
    return y if bias is None else y + bias, total


def residual_mlp(x, a):
    x, norm_weight, norm_bias, weight_1, bias_1, weight_2, bias_2 = x
    u = F.linear(F.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, a["eps"]), weight_1, bias_1)
    return x + F.linear(F.gelu(u, approximate="tanh"), weight_2, bias_2)


def foreach_clip(x, a):
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in x]))
    factor = torch.clamp(a["maxNorm"] / (norm + 1e-6), max=1.0)
    return tuple(g * factor for g in x)


REFERENCE = {
    "neg": unary(torch.neg),
    "abs": unary(torch.abs),
    "square": unary(torch.square),
    "sign": unary(torch.sign),
    "relu": unary(torch.relu),
    "exp": unary(torch.exp),
    "log": unary(torch.log),
    "log1p": unary(torch.log1p),
    "expm1": unary(torch.expm1),
    "sqrt": unary(torch.sqrt),
    "rsqrt": unary(torch.rsqrt),
    "reciprocal": unary(torch.reciprocal),
    "sin": unary(torch.sin),
    "cos": unary(torch.cos),
    "tanh": unary(torch.tanh),
    "sigmoid": unary(torch.sigmoid),
    "erf": unary(torch.erf),
    "silu": unary(F.silu),
    "softplus": unary(F.softplus),
    "floor": unary(torch.floor),
    "ceil": unary(torch.ceil),
    "round": unary(torch.round),
    "logicalNot": unary(torch.logical_not),
    "isNaN": unary(torch.isnan),
    "isFinite": unary(torch.isfinite),
    "gelu": lambda x, a: F.gelu(x[0], approximate="tanh" if a["approximate"] else "none"),
    "leakyRelu": lambda x, a: F.leaky_relu(x[0], a["slope"]),
    "add": binary(lambda a, b: a + b),
    "sub": binary(lambda a, b: a - b),
    "mul": binary(lambda a, b: a * b),
    "div": binary(lambda a, b: a / b),
    "pow": binary(lambda a, b: a**b),
    "maximum": lambda x, a: with_tensors(torch.maximum, x, a),
    "minimum": lambda x, a: with_tensors(torch.minimum, x, a),
    "eq": binary(lambda a, b: a == b),
    "ne": binary(lambda a, b: a != b),
    "lt": binary(lambda a, b: a < b),
    "le": binary(lambda a, b: a <= b),
    "gt": binary(lambda a, b: a > b),
    "ge": binary(lambda a, b: a >= b),
    "logicalAnd": lambda x, a: with_tensors(torch.logical_and, x, a),
    "logicalOr": lambda x, a: with_tensors(torch.logical_or, x, a),
    "where": where,
    "clamp": clamp,
    "sum": reduction(torch.sum),
    "mean": reduction(torch.mean),
    "amax": reduction(torch.amax),
    "amin": reduction(torch.amin),
    # PyTorch answers with uint8 for uint8 alone; we answer with bool throughout.
    "any": reduction(lambda *args: torch.any(*args).bool()),
    "all": reduction(lambda *args: torch.all(*args).bool()),
    "prod": prod,
    "variance": lambda x, a: torch.var(x[0], dims(x[0], a), correction=a["correction"], keepdim=a["keepDim"]),
    "logSumExp": reduction(torch.logsumexp),
    "argmax": lambda x, a: torch.argmax(x[0], a["dim"], a["keepDim"]),
    "argmin": lambda x, a: torch.argmin(x[0], a["dim"], a["keepDim"]),
    "cumsum": along(torch.cumsum),
    "cumprod": along(torch.cumprod),
    "norm": norm,
    "topk": lambda x, a: tuple(torch.topk(x[0], a["k"], a["dim"], a["largest"], sorted=True)),
    "sort": lambda x, a: tuple(torch.sort(x[0], dim=a["dim"], descending=a["descending"], stable=True)),
    "softmax": along(torch.softmax),
    "logSoftmax": along(torch.log_softmax),
    "matmul": binary(torch.matmul),
    "linear": lambda x, a: F.linear(*x),
    "reshape": lambda x, a: x[0].reshape(a["shape"]),
    "expand": lambda x, a: x[0].expand(a["shape"]),
    "einsum": lambda x, a: torch.einsum(a["equation"], *x),
    "qr": lambda x, a: tuple(torch.linalg.qr(x[0])),
    "svd": lambda x, a: tuple(torch.linalg.svd(x[0], full_matrices=False)),
    "solve": lambda x, a: torch.linalg.solve(*x),
    "roll": lambda x, a: x[0].roll(a["shifts"], a["dims"]),
    "tril": lambda x, a: x[0].tril(a["diagonal"]),
    "triu": lambda x, a: x[0].triu(a["diagonal"]),
    "pad": pad,
    "scatter": lambda x, a: torch.scatter(x[0], a["dim"], whole(x[1]), x[2]),
    "scatterAdd": lambda x, a: torch.scatter_add(x[0], a["dim"], whole(x[1]), x[2]),
    "oneHot": one_hot,
    "nonzero": nonzero,
    "maskedSelect": masked_select,
    "unique": unique,
    "permute": lambda x, a: x[0].permute(a["dims"]),
    "flip": lambda x, a: x[0].flip(a["dims"]),
    "slice": lambda x, a: x[0][(slice(None),) * a["dim"] + (slice(a["start"], a["end"], a["step"]),)],
    "cat": lambda x, a: torch.cat(x, a["dim"]),
    "stack": lambda x, a: torch.stack(x, a["dim"]),
    "gather": lambda x, a: torch.gather(x[0], a["dim"], whole(x[1])),
    "indexSelect": lambda x, a: torch.index_select(x[0], a["dim"], whole(x[1])),
    "embedding": lambda x, a: F.embedding(whole(x[1]), x[0], None if a["paddingIndex"] == -1 else a["paddingIndex"]),
    "layerNorm": lambda x, a: F.layer_norm(x[0], a["shape"], x[1], x[2], a["eps"]),
    "batchNorm": batch_norm,
    "groupNorm": lambda x, a: F.group_norm(x[0], a["groups"], x[1], x[2], a["eps"]),
    "rmsNorm": lambda x, a: F.rms_norm(x[0], a["shape"], x[1], None if a["eps"] == "NaN" else a["eps"]),
    "scaledDotProductAttention": attention,
    "crossEntropy": cross_entropy,
    "nllLoss": lambda x, a: by_class(x, a, F.nll_loss),
    "mseLoss": by_element(F.mse_loss),
    "l1Loss": by_element(F.l1_loss),
    "huberLoss": by_element(F.huber_loss, ("delta", "delta")),
    "smoothL1Loss": by_element(F.smooth_l1_loss, ("beta", "beta")),
    "klDiv": by_element(F.kl_div, ("log_target", "logTarget")),
    "binaryCrossEntropyWithLogits": lambda x, a: F.binary_cross_entropy_with_logits(
        x[0], x[1], x[2], reduction=a["reduction"], pos_weight=x[3]
    ),
    "ctcLoss": ctc,
    "cosineEmbeddingLoss": lambda x, a: F.cosine_embedding_loss(x[0], x[1], x[2], a["margin"], reduction=a["reduction"]),
    "tripletMarginLoss": lambda x, a: F.triplet_margin_loss(*x, a["margin"], a["p"], a["eps"], a["swap"], reduction=a["reduction"]),
    "conv1d": convolution(F.conv1d),
    "conv2d": conv2d,
    "convTranspose1d": transposed(F.conv_transpose1d),
    "convTranspose2d": transposed(F.conv_transpose2d),
    "maxPool1d": pool(F.max_pool1d),
    "avgPool1d": pool(F.avg_pool1d),
    "maxPool2d": pool(F.max_pool2d),
    "avgPool2d": pool(F.avg_pool2d),
    "adaptiveAvgPool1d": adaptive(F.adaptive_avg_pool1d),
    "adaptiveAvgPool2d": adaptive(F.adaptive_avg_pool2d),
    "adaptiveMaxPool1d": adaptive(F.adaptive_max_pool1d),
    "adaptiveMaxPool2d": adaptive(F.adaptive_max_pool2d),
    "interpolate": interpolate,
    "lstm": LSTM,
    "gru": GRU,
    "lstmStack": layers_of(LSTM, 2),
    "gruStack": layers_of(GRU, 1),
    "rnn": recurrence(
        lambda a: torch.rnn_tanh if a["nonlinearity"] == "tanh" else torch.rnn_relu,
        lambda a: torch.rnn_tanh_cell if a["nonlinearity"] == "tanh" else torch.rnn_relu_cell,
        1,
    ),
    "gatedScan": gated_scan,
    "minGRU": min_gru,
    "minLSTM": min_lstm,
    "deltaRule": delta_rule,
    "paraGRU": para_gru,
    "paraLSTM": para_lstm,
    "sLSTM": s_lstm,
    "highway": highway,
    "residualNorm": residual_norm,
    "residualMLP": residual_mlp,
    "full": lambda x, a: torch.full(a["shape"], a["value"], dtype=DTYPES[a["dtype"]]),
    "arange": lambda x, a: torch.arange(a["start"], a["end"], a["step"], dtype=DTYPES[a["dtype"]]),
    "clone": unary(torch.clone),
    "detach": unary(torch.detach),
    "variable": lambda x, a: x[0].detach().clone(),
    "to": lambda x, a: x[0].to(DTYPES[a["dtype"]]),
    "foreachAdd": lambda x, a: tuple(p + q for p, q in zip(x[: len(x) // 2], x[len(x) // 2 :])),
    "foreachScale": lambda x, a: tuple(g * a["factor"] for g in x),
    "foreachNorm": lambda x, a: torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in x])),
    "foreachClip": foreach_clip,
}
