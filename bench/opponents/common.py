"""What all opponents share: the JSON-lines loop on stdin and stdout, and inputs made by a formula that bench/ours/common.ts repeats."""

import json
import os
import sys
import time

import torch


def options():
    """The options that bench/runner.ts gives as the one argument: at least `threads`."""
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    return given


def spread(shape, seed, scale):
    """float32 values in [-scale, scale), the same on both sides: a multiplicative hash of the position, exact in float64."""
    count = 1
    for size in shape:
        count *= size
    position = torch.arange(count, dtype=torch.float64) + seed
    hashed = torch.remainder(position * 2654435761.0, 4294967296.0)
    return ((hashed / 2147483648.0 - 1.0) * scale).to(torch.float32).reshape(shape)


def tokens(shape, seed, vocabulary):
    """int64 values in [0, vocabulary), the same on both sides."""
    return ((spread(shape, seed, 1.0).to(torch.float64) + 1.0) * (vocabulary / 2)).to(torch.int64).clamp(0, vocabulary - 1)


def peak_megabytes():
    """Peak resident memory of this process so far."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def answer_requests(about, answer):
    """Answers requests, JSON lines on stdin, until it ends; an error of one of them is its answer."""
    out = os.fdopen(os.dup(1), "w")

    def reply(data):
        out.write(json.dumps(data) + "\n")
        out.flush()

    reply({"ready": f"PyTorch {torch.__version__}, {about}"})
    for line in sys.stdin:
        try:
            reply(answer(json.loads(line)))
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


def serve(step, about):
    """Answers for a model that trains. `step()` does one step and returns its loss as a float.

    {"losses": n} -> {"losses": [...]}: the losses of the next n steps
    {"run": n} -> {"ms": ...}: milliseconds per step over n steps
    {"peak": true} -> {"peak": ...}: MB
    """

    def answer(request):
        if "losses" in request:
            return {"losses": [step() for _ in range(request["losses"])]}
        if "run" in request:
            begin = time.perf_counter()
            for _ in range(request["run"]):
                step()
            return {"ms": (time.perf_counter() - begin) * 1000 / request["run"]}
        if "peak" in request:
            return {"peak": peak_megabytes()}
        raise ValueError(f"unknown request {request}")

    answer_requests(about, answer)
