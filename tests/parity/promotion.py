"""The promotion grid: for each operation, every pair of dtypes, with and without axes, and numbers; the dtype and values that PyTorch gives."""
import torch
from reference import DTYPES, NAMES, REFERENCE

BINARY = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge", "logicalAnd", "logicalOr"]
UNARY = (
    "neg abs square sign relu exp log log1p expm1 sqrt rsqrt reciprocal sin cos tanh sigmoid erf silu softplus floor ceil round "
    "logicalNot isNaN isFinite clone"
).split()
OVER = ["sum", "mean", "amax", "amin", "any", "all", "logSumExp", "variance"]
ATTRIBUTES = [
    *[(name, {"dims": [0], "keepDim": False, "correction": 1}) for name in OVER],
    *[(name, {"dim": 0, "keepDim": False}) for name in ("prod", "argmax", "argmin")],
    *[(name, {"dim": 0}) for name in ("cumsum", "cumprod", "softmax", "logSoftmax")],
    ("sort", {"dim": 0, "descending": False}),
    ("topk", {"dim": 0, "k": 2, "largest": True}),
    ("gelu", {"approximate": False}),
    ("leakyRelu", {"slope": 0.25}),
    ("roll", {"shifts": [1], "dims": [0]}),
    ("pad", {"padding": [1, 0], "mode": "constant", "value": 1}),
    ("oneHot", {"classes": 3}),
    ("norm", {"dims": [0], "keepDim": False, "p": 2}),
    ("clamp", {"low": 0, "high": 1}),
    ("clamp", {"low": 0.5, "high": 1}),
    ("clamp", {"low": "-Infinity", "high": 0.5}),
]
NUMBERS = [2, 0.5]
FIRST = [1, 0, 1]
SECOND = [1, 1, 0]


def operand(form, values):
    """A dtype: a tensor [3]; a dtype and "()": one without axes; a number: itself."""
    if not isinstance(form, str):
        return form
    dtype = DTYPES[form.removesuffix("()")]
    return torch.tensor(values[0] if form.endswith("()") else values, dtype=torch.float64).to(dtype)


def cell(op, forms, attributes, numbers):
    """[operands, dtype, values]; the dtype is null where PyTorch refuses."""
    x = [operand(form, values) for form, values in zip(forms, (FIRST, SECOND))]
    try:
        if op == "where":
            y = torch.where(torch.tensor([True, False, True]), *x)
        elif all(isinstance(item, torch.Tensor) for item in x):
            y = REFERENCE[op](x, attributes)
        else:
            scalar = next(item for item in x if not isinstance(item, torch.Tensor))
            y = REFERENCE[op]([item if isinstance(item, torch.Tensor) else None for item in x], {"scalar": scalar, **attributes})
    except (RuntimeError, TypeError, IndexError):
        return [forms, None, None]
    y = y[0] if isinstance(y, tuple) else y
    return [forms, NAMES[y.dtype], numbers(y)]


def grid(numbers):
    dtypes = list(DTYPES)
    bare = [f"{name}()" for name in dtypes]
    pairs = [
        [a, b]
        for rows, columns in ((dtypes, dtypes), (dtypes, bare), (bare, dtypes), (bare, bare), (dtypes, NUMBERS), (NUMBERS, dtypes), (bare, NUMBERS))
        for a in rows
        for b in columns
    ]
    rows = [{"op": op, "cells": [cell(op, pair, {}, numbers) for pair in pairs]} for op in BINARY]
    rows.append({"op": "where", "cells": [cell("where", pair, {}, numbers) for pair in [*pairs, *([a, b] for a in NUMBERS for b in NUMBERS)]]})
    tensors = [[a, b] for a in dtypes for b in dtypes]
    rows += [{"op": op, "attributes": {"dim": 0}, "cells": [cell(op, pair, {"dim": 0}, numbers) for pair in tensors]} for op in ("cat", "stack")]
    rows.append({"op": "matmul", "cells": [cell("matmul", pair, {}, numbers) for pair in tensors]})
    for op, attributes in [*((op, {}) for op in UNARY), *ATTRIBUTES]:
        rows.append({"op": op, "attributes": attributes, "cells": [cell(op, [name], attributes, numbers) for name in dtypes]})
    return rows
