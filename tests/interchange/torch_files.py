"""Writes the files of torch.save that tests/interchange/torch.test.ts reads, and what is in them as JSON.

Run with torch 2.11.0:  python tests/interchange/torch_files.py
"""
import json
import pathlib
import pickle
from collections import OrderedDict

import torch

FOLDER = pathlib.Path(__file__).parent / "fixtures"
torch.manual_seed(0)


def describe(tensor):
    # What Quarterturn makes of a dtype that it may lack is compared by value.
    values = tensor.detach().to(torch.float64).flatten().tolist()
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "values": [str(x) if x != x or x in (float("inf"), float("-inf")) else x for x in values],
    }


expected = {}


def write(name, value, tensors, **options):
    torch.save(value, FOLDER / name, **options)
    expected[name] = {key: describe(tensor) for key, tensor in tensors.items()}


# A model as everyone saves it.
model = torch.nn.Sequential(torch.nn.LSTM(3, 4, batch_first=True), torch.nn.BatchNorm1d(4))
write("model.pt", model.state_dict(), model.state_dict())

# Every dtype.
kinds = {
    "float32": torch.randn(3, 5),
    "float64": torch.randn(2, 2, dtype=torch.float64),
    "float16": torch.tensor([1.5, -0.0, 65504.0, 6e-8, float("inf"), float("nan")], dtype=torch.float16),
    "bfloat16": torch.randn(7).to(torch.bfloat16),
    "int64": torch.tensor([-1, 2**52, 0]),
    "int32": torch.tensor([[-(2**31), 2**31 - 1]], dtype=torch.int32),
    "int16": torch.tensor([-32768, 32767], dtype=torch.int16),
    "int8": torch.tensor([-128, 127], dtype=torch.int8),
    "uint8": torch.tensor([0, 255], dtype=torch.uint8),
    "uint16": torch.tensor([0, 65535], dtype=torch.uint16),
    "uint32": torch.tensor([0, 2**32 - 1], dtype=torch.uint32),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(3.25),
    "empty": torch.zeros(0, 3),
    "nan": torch.tensor([float("nan"), float("inf"), -float("inf")]),
}
write("dtypes.pt", kinds, kinds)

# Views: one storage, many tensors.
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
views = OrderedDict(
    base=base,
    again=base,
    transposed=base.t(),
    column=base[:, 1],
    stepped=base[1:, ::2],
    expanded=torch.tensor([7.0]).expand(3, 2),
    turned=torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
    parameter=torch.nn.Parameter(base[2]),
)
write("views.pt", views, views)

# A checkpoint that holds more than a model, by a later pickle protocol.
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model[0](torch.randn(2, 5, 3))[0].sum().backward()
model[1](torch.randn(6, 4)).sum().backward()
optimizer.step()
checkpoint = {
    "epoch": 3,
    "loss": 0.5,
    "note": "ünï",
    "big": 2**80 % 2**62,
    "model_state_dict": model.state_dict(),
    "optimizer": optimizer.state_dict(),
    "history": [{"loss": torch.tensor(0.25)}, (torch.tensor([1, 2]), None, {1, 2})],
}
state = optimizer.state_dict()["state"]
nested = {f"model_state_dict.{key}": value for key, value in model.state_dict().items()}
nested |= {f"optimizer.state.{i}.{key}": value for i, slot in state.items() for key, value in slot.items()}
nested |= {"history.0.loss": torch.tensor(0.25), "history.1.0": torch.tensor([1, 2])}
write("checkpoint.pt", checkpoint, nested)
write("checkpoint-protocol-5.pt", checkpoint, nested, pickle_protocol=5)

# Files that are refused: a whole model, the format before 1.6, a program, a sparse tensor.
torch.save(torch.nn.Linear(2, 2), FOLDER / "whole-model.pt")
torch.save({"w": torch.ones(2)}, FOLDER / "before-1.6.pt", _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), FOLDER / "program.pt")
torch.save({"w": torch.eye(3).to_sparse()}, FOLDER / "sparse.pt")
torch.save({"w": torch.ones(2, dtype=torch.complex64)}, FOLDER / "complex.pt")


class Command:
    """Unpickled, it would run a command."""

    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/quarterturn-was-here",)


torch.save({"w": torch.ones(2), "x": Command()}, FOLDER / "command.pt")
(FOLDER / "command.pkl").write_bytes(pickle.dumps(Command(), protocol=2))

(FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
print("\n".join(f"{path.name}: {path.stat().st_size}" for path in sorted(FOLDER.iterdir())))
