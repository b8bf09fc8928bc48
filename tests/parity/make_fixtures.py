"""Writes the fixtures of the parity tests: what PyTorch computes for cases.jsonl, the promotion grid, the layers, encoder-decoders with attention, the optimizers and
their schedules.

    python tests/parity/make_fixtures.py            (torch 2.11.0 and safetensors; takes a few seconds)

The versions used are written into every fixture. Inputs are drawn from Python's random.Random, seeded by the text of the case,
and rounded to bfloat16, so that they are the same numbers in every dtype. Expected values and gradients are those of float64;
the dtypes of the results are recorded for every dtype.
"""
import hashlib
import json
import math
import platform
import random
import sys
from pathlib import Path

import safetensors.torch
import torch

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
from layers import layer_tensors  # noqa: E402
from optimizers import optimizer_tensors, schedule_rows  # noqa: E402
from promotion import grid  # noqa: E402
from reference import DTYPES, NAMES, REFERENCE  # noqa: E402
from seq2seq import seq2seq_tensors  # noqa: E402

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
FLOATS = ["float64", "float32", "bfloat16"]
VERSIONS = {"torch": torch.__version__, "python": platform.python_version()}


def parse(text):
    """An input of a case: kind, shape, range, layout."""
    kind, shape, span, layout = "float", [], None, "contiguous"
    for word in text.split():
        if ".." in word:
            span = tuple(float(end) for end in word.split(".."))
        elif word.isdigit():
            shape.append(int(word))
        elif word in ("transposed", "sliced", "expanded"):
            layout = word
        else:
            kind = word
    return kind, shape, span, layout


def values_of(kind, shape, span, layout, rng):
    """Row-major values. Floats lie on a shuffled grid: all distinct, none near a multiple of one half, where some functions jump."""
    if layout == "expanded":
        n = math.prod(shape[1:])
        return values_of(kind, shape[1:], span, "contiguous", rng) * (shape[0] if n else 1)
    n = math.prod(shape)
    if kind == "bool":
        return [rng.random() < 0.5 for _ in range(n)]
    if kind in ("int64", "int32", "uint8"):
        low, high = span or (0, 5)
        return [rng.randrange(int(low), int(high)) for _ in range(n)]
    if kind == "special":
        return [(0.0, math.nan, math.inf, -math.inf, -1.5, 3.0, 0.25)[i % 7] for i in range(n)]
    if kind == "halves":
        return [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5][:n]
    if kind == "ties":
        return [(1.0, 2.0, 2.0, -1.0)[i % 4] for i in range(n)]
    low, high = span or (-2, 2)
    grid = list(range(n))
    rng.shuffle(grid)
    shift = rng.uniform(0.3, 0.7)
    values = [rounded(low + (high - low) * (i + shift) / n) for i in grid]
    if high - low > 1:
        values = [rounded(v + 3 / 64) if abs(2 * v - round(2 * v)) < 1 / 32 else v for v in values]
    return values


def rounded(value):
    return torch.tensor(value, dtype=torch.bfloat16).item()


def cotangent(y, k):
    """The fixed gradient of result k: never 0, exact in bfloat16. checkOp.ts computes the same."""
    i = torch.arange(y.numel(), dtype=torch.float64)
    return (((7 * i + 3 * k) % 10 - 4.5) / 4).reshape(y.shape).to(y.dtype)


def run(case, inputs, dtype):
    """The results and gradients of one case in one dtype."""
    tensors = []
    for item in inputs:
        if item is None:
            tensors.append(None)
            continue
        kind, shape, _, _ = parse(item["text"])
        own = DTYPES.get(kind, DTYPES[dtype])
        x = torch.tensor(item["values"], dtype=torch.float64 if own.is_floating_point else own).reshape(shape).to(own)
        tensors.append(x.requires_grad_(own.is_floating_point and kind != "constant"))
    outputs = REFERENCE[case["op"]](tensors, case.get("attributes", {}))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    losses = [(y * cotangent(y, k)).sum() for k, y in enumerate(outputs) if y.requires_grad]
    leaves = [x for x in tensors if x is not None and x.requires_grad]
    if not losses:
        return outputs, None
    gradients = iter(torch.autograd.grad(sum(losses), leaves, allow_unused=True))
    found = [next(gradients) if x is not None and x.requires_grad else None for x in tensors]
    return outputs, [torch.zeros_like(x) if g is None and x is not None and x.requires_grad else g for g, x in zip(found, tensors)]


def numbers(tensor):
    if tensor.dtype == torch.bool:
        return [int(v) for v in tensor.flatten().tolist()]
    if not tensor.is_floating_point():
        return tensor.flatten().tolist()
    return [number(v) for v in tensor.detach().double().flatten().tolist()]


def number(value):
    """JSON has no NaN and no infinity; whole numbers are written short."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return int(value) if value == int(value) and abs(value) < 2**53 and math.copysign(1, value) == math.copysign(1, int(value)) else value


def fixture(line):
    case = json.loads(line)
    inputs = []
    for index, text in enumerate(case["inputs"]):
        if text == "none":
            inputs.append(None)
            continue
        kind, shape, span, layout = parse(text)
        rng = random.Random(f"{case['op']} {case.get('attributes')} {case['inputs']} {index}")
        inputs.append({"text": text, "values": values_of(kind, shape, span, layout, rng)})
    generic = any(item is not None and parse(item["text"])[0] not in DTYPES for item in inputs)
    names = case.get("dtypes", FLOATS) if generic else ["float64"]
    outputs, gradients = run(case, inputs, names[0])
    dtypes = {name: [NAMES[y.dtype] for y in run(case, inputs, name)[0]] for name in names}
    return {
        "case": line,
        "inputs": [item and {"kind": parse(item["text"])[0], "shape": parse(item["text"])[1], "layout": parse(item["text"])[3], "values": [v if isinstance(v, (bool, int)) else number(v) for v in item["values"]]} for item in inputs],
        "dtypes": dtypes,
        "outputs": [{"shape": list(y.shape), "values": numbers(y)} for y in outputs],
        "gradients": gradients and [None if g is None else numbers(g) for g in gradients],
    }


def case_lines():
    lines = (HERE / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("//")]


def write(name, content, key):
    """One entry of content[key] a line."""
    head = json.dumps({**VERSIONS, **{k: v for k, v in content.items() if k != key}})[1:-1]
    entries = ",\n".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in content[key])
    (FIXTURES / name).write_text(f'{{{head},"{key}":[\n{entries}\n]}}\n', encoding="utf-8")
    print(name, (FIXTURES / name).stat().st_size, "bytes")


def make_ops():
    lines = case_lines()
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    cases = []
    for line in lines:
        try:
            cases.append(fixture(line))
        except Exception as error:
            raise SystemExit(f"{line}\n{type(error).__name__}: {error}") from error
    write("ops.json", {"casesSha256": digest, "cases": cases}, "cases")


if __name__ == "__main__":
    torch.set_num_threads(1)
    FIXTURES.mkdir(exist_ok=True)
    make_ops()
    tensors = layer_tensors(cotangent)
    # The file is sorted by name. One entry only: their order in the file would differ from run to run.
    made = json.dumps({**VERSIONS, "order": [name for name in tensors if "/state/" in name]})
    safetensors.torch.save_file(tensors, FIXTURES / "layers.safetensors", metadata={"made": made})
    print("layers.safetensors", (FIXTURES / "layers.safetensors").stat().st_size, "bytes")
    safetensors.torch.save_file(optimizer_tensors(), FIXTURES / "optimizers.safetensors", metadata={"made": json.dumps(VERSIONS)})
    safetensors.torch.save_file(seq2seq_tensors(), FIXTURES / "seq2seq.safetensors", metadata={"made": json.dumps(VERSIONS)})
    write("schedules.json", {"rows": schedule_rows()}, "rows")
    write("promotion.json", {"rows": grid(numbers)}, "rows")
