"""Our CUDA kernels and PyTorch's in one process: the addon is loaded as an operator library, so both use one libtorch, one stream and the same
tensors. Batch first, I = H, biases, zero initial states, weights as PyTorch initialises them.

Options: threads, addon (its path), op (lstm, gru, scan), dtype of ours (bfloat16, float32), sizes (T, B, H), layers, train.

{"check": true} -> {"value": ...}: how much further than PyTorch's own our results are from float64's; an error if it is too much
{"time": "ours" | "theirs"} -> {"value": ...}: milliseconds per call, by the device's clock. Theirs: the best of what PyTorch offers for the op
"""

import torch

from common import answer_requests, options

MILLISECONDS = 200  # a side of a round lasts about so long
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
MODULES = {"lstm": (torch.nn.LSTM, 2), "gru": (torch.nn.GRU, 1)}


def device_name():
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


class Dense:
    """nn.LSTM or nn.GRU, by cuDNN in any of its dtypes and by ours."""

    def __init__(self, op, dtype, sizes, layers, train):
        time, batch, hidden = sizes
        module, self.states = MODULES[op]
        torch.manual_seed(1)
        self.op, self.train, self.hidden, self.layers = op, train, hidden, layers
        self.master = module(hidden, hidden, layers, batch_first=True).double().cuda()
        self.x = torch.randn(batch, time, hidden, dtype=torch.float64, device="cuda")
        self.dy = torch.randn(batch, time, hidden, dtype=torch.float64, device="cuda")
        self.dtype = dtype

    def module(self, dtype):
        """A function of no arguments: one pass of PyTorch's module in this dtype."""
        module = type(self.master)(self.hidden, self.hidden, self.layers, batch_first=True).to("cuda", dtype)
        module.load_state_dict(self.master.state_dict())
        module.flatten_parameters()
        x = self.x.to(dtype).requires_grad_(self.train)
        return self.pass_of(lambda: module(x)[0], [x, *module.parameters()], dtype)

    def ours(self):
        weights = [[w.detach().to(self.dtype).requires_grad_(self.train) for w in layer] for layer in self.master.all_weights]
        x = self.x.to(self.dtype).requires_grad_(self.train)
        zeros = [torch.zeros(x.shape[0], self.hidden, dtype=self.dtype, device="cuda") for _ in range(self.states)]
        operation = getattr(torch.ops.quarterturn, self.op)

        def run():
            y = x
            for layer in weights:
                y = operation(y, *zeros, *layer)[0]
            return y

        return self.pass_of(run, [x, *(w for layer in weights for w in layer)], self.dtype)

    def pass_of(self, run, variables, dtype):
        if not self.train:
            return lambda: [run()]
        dy = self.dy.to(dtype)

        def both():
            y = run()
            return [y, *torch.autograd.grad(y, variables, dy)]

        return both

    def theirs(self):
        """float16 is the faster one where cuDNN keeps its weights in registers, bfloat16 elsewhere."""
        dtypes = ["float16", "bfloat16"] if self.dtype == torch.bfloat16 else ["float32"]
        return [self.module(DTYPES[name]) for name in dtypes]

    def exact(self):
        return self.module(torch.float64)

    def same_dtype(self):
        return self.module(self.dtype)


class Scan:
    """Ours against a copy of as many bytes as the scan has to move."""

    def __init__(self, dtype, sizes, train):
        time, batch, hidden = sizes
        torch.manual_seed(1)
        self.a = torch.sigmoid(torch.randn(batch, time, hidden, device="cuda")).to(dtype).requires_grad_(train)
        self.b = torch.randn(batch, time, hidden, device="cuda").to(dtype).requires_grad_(train)
        self.dy = torch.randn(batch, time, hidden, device="cuda").to(dtype)
        self.train = train

    def run(self, a, b, scan):
        y = scan(a, b)
        return [y, *torch.autograd.grad(y, [a, b], self.dy.to(y.dtype))] if self.train else [y]

    def ours(self):
        return lambda: self.run(self.a, self.b, lambda a, b: torch.ops.quarterturn.scan(a, b)[0])

    def theirs(self):
        """Forward reads a, b and writes y; backward reads a, y, dy and writes two gradients: 3 or 8 tensors. A copy moves 2."""
        tensors = 8 if self.train else 3
        source = torch.empty(tensors * self.a.numel() // 2, dtype=self.a.dtype, device="cuda")
        target = torch.empty_like(source)
        return [lambda: target.copy_(source)]

    def loop(self, dtype):
        a, b = (tensor.detach().to(dtype).requires_grad_(self.train) for tensor in (self.a, self.b))

        def steps(a, b):
            h, all_h = torch.zeros_like(a[:, 0]), []
            for a_t, b_t in zip(a.unbind(1), b.unbind(1)):
                h = torch.addcmul(b_t, a_t, h)
                all_h.append(h)
            return torch.stack(all_h, 1)

        return lambda: self.run(a, b, steps)

    def exact(self):
        return self.loop(torch.float64)

    def same_dtype(self):
        return self.loop(self.a.dtype)


def milliseconds(function):
    """Per call, by events on the stream."""
    function()
    calls = 1
    while True:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            function()
        end.record()
        end.synchronize()
        elapsed = begin.elapsed_time(end)
        if elapsed >= MILLISECONDS:
            return elapsed / calls
        calls = max(calls + 1, int(calls * 1.2 * MILLISECONDS / max(elapsed, 1e-3)))


def error(found, exact):
    return max(((ours.double() - right).norm() / right.norm().clamp_min(1e-30)).item() for ours, right in zip(found, exact, strict=True))


def compare(problem):
    """Our relative error to float64 and PyTorch's own in the same dtype."""
    exact = problem.exact()()
    return error(problem.ours()(), exact), error(problem.same_dtype()(), exact)


def make(given):
    dtype = DTYPES[given["dtype"]]
    torch.set_grad_enabled(given["train"])
    if given["op"] == "scan":
        return Scan(dtype, given["sizes"], given["train"])
    return Dense(given["op"], dtype, given["sizes"], given.get("layers", 1), given["train"])


def main():
    given = options()
    sides = {}

    def answer(request):
        if not sides:
            torch.ops.load_library(given["addon"])
            problem = make(given)
            sides.update(problem=problem, ours=[problem.ours()], theirs=problem.theirs())
        if "check" in request:
            ours, theirs = compare(sides["problem"])
            # Three TF32 products stand for one of float32.
            if not ours <= 1.5 * theirs + 1e-6:
                raise RuntimeError(f"our relative error is {ours}, PyTorch's {theirs}")
            return {"value": ours / max(theirs, 1e-30)}
        if "time" in request:
            return {"value": min(milliseconds(function) for function in sides[request["time"]])}
        raise ValueError(f"unknown request {request}")

    answer_requests(f"CUDA {device_name()}", answer)


if __name__ == "__main__":
    main()
