"""Our kernels and PyTorch's operations in one process: the addon is loaded as an operator library, so both use one libtorch, one thread team
and one allocator. Batch first, PyTorch eager as it comes.

Options: threads, addon (its path), op and sizes (see kernel_pairs.py), train (forward and backward; otherwise forward without gradients),
dtype (of all tensors: float32 or bfloat16).

{"check": true} -> {"value": ...}: the largest difference of outputs and gradients, relative to the largest of each; an error if it is too large
{"time": "ours" | "theirs" | "compiled"} -> {"value": ...}: milliseconds per call
{"others": true} -> {"value": ...}: the share of all processors that other processes took since this was last asked
"""

import os
import time

import torch

from common import answer_requests, options
from kernel_pairs import PAIRS

SECONDS, CALLS = 0.08, 2  # a side of a round lasts at least this long, and as many calls
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1}  # PyTorch's own bfloat16 is a few hundredths off
TICKS = os.sysconf("SC_CLK_TCK")

given = options()
training = given["train"]
torch.manual_seed(1)
dtype = given.get("dtype", "float32")
torch.set_default_dtype(getattr(torch, dtype))
torch.set_grad_enabled(training)
torch.ops.load_library(given["addon"])
pair = PAIRS[given["op"]](torch.ops.quarterturn, given["sizes"])
dy = torch.randn_like(pair.theirs()[0])


def pass_of(function):
    """What is timed: a forward pass without gradients, or forward and backward with the gradients of all inputs and weights."""
    if not training:
        return function
    return lambda: torch.autograd.grad(function()[0], pair.variables, dy)


sides = {"ours": pass_of(pair.ours), "theirs": pass_of(pair.theirs)}


def measure(side):
    if side == "compiled" and side not in sides:
        torch._inductor.config.compile_threads = 1  # no helpers that would stay and take processor time
        sides[side] = pass_of(torch.compile(pair.theirs))
        sides[side]()
    function = sides[side]
    calls, begin = 0, time.perf_counter()
    while calls < CALLS or time.perf_counter() - begin < SECONDS:
        function()
        calls += 1
    return (time.perf_counter() - begin) * 1000 / calls


def difference(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)).item()


def check():
    pairs = list(zip(pair.ours(), pair.theirs(), strict=True))
    if training:
        pairs += zip(sides["ours"](), sides["theirs"](), strict=True)
    worst = max(difference(ours, theirs) for ours, theirs in pairs)
    if not worst <= TOLERANCE[dtype]:
        raise RuntimeError(f"the two sides do not compute the same: they differ by {worst} of the largest value")
    for side in ("ours", "theirs"):
        measure(side)  # starts the team
        used = threads_used(side)
        if used > given["threads"]:
            raise RuntimeError(f"{side} uses {used} threads instead of {given['threads']}")
    return worst


def threads_used(side):
    """How many threads of this process work while a side runs."""
    before, begin = thread_ticks(), time.perf_counter()
    while time.perf_counter() - begin < 0.3:
        sides[side]()
    enough = 0.1 * TICKS * (time.perf_counter() - begin)
    return sum(ticks - before.get(thread, 0) > enough for thread, ticks in thread_ticks().items())


def thread_ticks():
    ticks = {}
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        ticks[thread] = int(fields[11]) + int(fields[12])
    return ticks


def clocks():
    """Seconds by the clock, processor seconds of the whole machine (those that its host took included), and those of this process."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return time.perf_counter(), (user + nice + system + irq + softirq + steal) / TICKS, time.process_time()


def others():
    global last
    before, last = last, clocks()
    clock, machine, own = (now - then for now, then in zip(last, before))
    return max(0.0, machine - own) / (clock * os.cpu_count())


last = clocks()


def answer(request):
    if "check" in request:
        return {"value": check()}
    if "time" in request:
        return {"value": measure(request["time"])}
    if "others" in request:
        return {"value": others()}
    raise ValueError(f"unknown request {request}")


answer_requests(f"{dtype}, batch first", answer)
