"""One small call of each of our CUDA kernels, forward and backward, for compute-sanitizer: python scripts/gpu-sanitize.py ADDON"""

import sys

import torch

torch.ops.load_library(sys.argv[1])
ops = torch.ops.quarterturn


def tensor(*shape, dtype):
    return torch.randn(shape, device="cuda").to(dtype).requires_grad_()


def both(outputs):
    """Backward through all outputs."""
    sum(output.float().sum() for output in outputs).backward()


for dtype in [torch.float32, torch.bfloat16]:
    for batch, time, hidden in [(3, 5, 17), (16, 4, 256), (1, 1, 8)]:
        x = tensor(batch, time, hidden, dtype=dtype)
        lengths = torch.tensor([time] + [max(time - 1, 0)] * (batch - 1), device="cuda")
        for name, gates, states in [("lstm", 4, 2), ("gru", 3, 1), ("rnn", 1, 1)]:
            state = [tensor(batch, hidden, dtype=dtype) for _ in range(states)]
            weights = [tensor(gates * hidden, hidden, dtype=dtype) for _ in range(2)] + [tensor(gates * hidden, dtype=dtype) for _ in range(2)]
            both(getattr(ops, name)(x, *state, *weights))
            both(getattr(ops, name)(x, *state, *weights, lengths))
        state = tensor(batch, hidden, dtype=dtype)
        both(ops.scan(x, tensor(batch, time, hidden, dtype=dtype), state, lengths))
        both(ops.mingru(tensor(batch, time, 2 * hidden, dtype=dtype), state, lengths))
        both(ops.minlstm(tensor(batch, time, 3 * hidden, dtype=dtype), state, lengths))
        both([ops.highway(x, tensor(2, 2 * hidden, hidden, dtype=dtype), tensor(2, 2 * hidden, dtype=dtype))])
        both(ops.residual_norm(x, x, tensor(hidden, dtype=dtype), tensor(hidden, dtype=dtype)))
torch.cuda.synchronize()
