"""Writes the .npz files that tests/interchange/npz.test.ts reads; with a path as argument, prints what that file holds instead.

Run with NumPy 2:  python tests/interchange/numpy_files.py
"""
import json
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "fixtures"


def describe(arrays):
    return {
        key: {
            "dtype": str(value.dtype),
            "shape": list(value.shape),
            "values": [str(x) if x != x or abs(x) == float("inf") else x for x in value.astype(np.float64).ravel().tolist()],
        }
        for key, value in arrays.items()
    }


if len(sys.argv) > 1:
    print(json.dumps(describe(dict(np.load(sys.argv[1])))))
    sys.exit()

generator = np.random.default_rng(0)
grid = generator.standard_normal((3, 4, 2)).astype(np.float32)
arrays = {
    "float32": grid,
    "fortran": np.asfortranarray(grid),
    "float64": generator.standard_normal(5),
    "float16": np.array([1.5, 65504, np.inf, np.nan], dtype=np.float16),
    "int64": np.array([-1, 2**52]),
    "int32": np.array([[-(2**31)], [2**31 - 1]], dtype=np.int32),
    "int16": np.array([-32768], dtype=np.int16),
    "int8": np.array([-128, 127], dtype=np.int8),
    "uint32": np.array([2**32 - 1], dtype=np.uint32),
    "uint16": np.array([65535], dtype=np.uint16),
    "uint8": np.array([0, 255], dtype=np.uint8),
    "bool": np.array([True, False]),
    "scalar": np.array(3.25, dtype=np.float32),
    "empty": np.zeros((0, 3), dtype=np.float32),
}
np.savez(FOLDER / "stored.npz", **arrays)
np.savez_compressed(FOLDER / "packed.npz", **arrays)
(FOLDER / "expected-npz.json").write_text(json.dumps(describe(arrays)) + "\n")
