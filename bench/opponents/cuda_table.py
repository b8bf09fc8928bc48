"""Markdown tables of what recurrences and scans take on this machine's device: python bench/opponents/cuda_table.py ADDON [--quick]

nn.LSTM and nn.GRU of PyTorch in float16, bfloat16 and float32 (TF32), and ours in bfloat16 and float32, T = 1024, one and two layers, forward and
forward with backward; scans against a copy. Our errors are compared with PyTorch's first: a row whose errors are too large has no times.
"""

import os
import sys

import torch

from cuda import DTYPES, Dense, Scan, compare, milliseconds

TIME = 1024
BATCHES, WIDTHS = [16, 32, 64, 128], [256, 512, 768, 1024, 2048]
SCANS = [(1024, 16, 1024), (1024, 64, 2048), (65536, 8, 1536), (4096, 1, 256)]
OURS = ["bfloat16", "float32"]
THEIRS = ["float16", "bfloat16", "float32"]


def row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def head(cells):
    row(cells)
    row(["---"] * len(cells))


def timed(function):
    """A cell: milliseconds, or why there are none."""
    try:
        return f"{milliseconds(function):.3f}"
    except Exception as error:
        return type(error).__name__


def errors(problem):
    ours, theirs = compare(problem)
    return ("" if ours <= 1.5 * theirs + 1e-6 else "WRONG ") + f"{ours:.1e}/{theirs:.1e}"


def attempt(make):
    """What `make` gives, or the name of what it raised, as a cell."""
    try:
        return make()
    except Exception as error:
        return type(error).__name__


def dense(op, layers, train, batches, widths):
    print(f"\n### {op}, {layers} layer{'s' if layers > 1 else ''}, {'forward and backward' if train else 'forward'}, T = {TIME}, ms\n")
    head(["B", "H", *(f"PyTorch {dtype}" for dtype in THEIRS), *(f"ours {dtype}" for dtype in OURS), *(f"error {dtype} ours/PyTorch" for dtype in OURS)])
    torch.set_grad_enabled(train)
    for batch in batches:
        for hidden in widths:
            problems = {dtype: Dense(op, DTYPES[dtype], (TIME, batch, hidden), layers, train) for dtype in OURS}
            theirs = [attempt(lambda dtype=dtype: timed(problems["float32"].module(DTYPES[dtype]))) for dtype in THEIRS]
            ours = [attempt(lambda dtype=dtype: timed(problems[dtype].ours())) for dtype in OURS]
            found = [attempt(lambda dtype=dtype: errors(problems[dtype])) for dtype in OURS]
            row([str(batch), str(hidden), *theirs, *ours, *found])


def scans(sizes):
    print("\n### scan against a copy of as many bytes\n")
    head(["T", "B", "H", "dtype", "pass", "copy ms", "ours ms", "share of the copy's bandwidth"])
    for time, batch, hidden in sizes:
        for dtype in OURS:
            for train in [False, True]:
                torch.set_grad_enabled(train)
                problem = Scan(DTYPES[dtype], (time, batch, hidden), train)
                copy, ours = milliseconds(problem.theirs()[0]), milliseconds(problem.ours())
                row([str(time), str(batch), str(hidden), dtype, "both" if train else "forward", f"{copy:.4f}", f"{ours:.4f}", f"{copy / ours:.2f}"])


def main():
    if not torch.cuda.is_available():
        sys.exit("no CUDA device")
    torch.ops.load_library(sys.argv[1])
    quick = "--quick" in sys.argv
    card = torch.cuda.get_device_properties(0)
    commit = os.environ.get("QUARTERTURN_COMMIT", "unknown")
    print(f"## {card.name}, {card.multi_processor_count} multiprocessors; PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}; commit {commit}")
    for op in ["lstm", "gru"]:
        for layers in [1, 2]:
            for train in [False, True]:
                dense(op, layers, train, BATCHES[:1] if quick else BATCHES, WIDTHS[:2] if quick else WIDTHS)
    scans(SCANS)


if __name__ == "__main__":
    main()
