"""A CSV file to one float64 tensor [rows, columns] with pandas' default (C) engine, whose sum is read."""

import pandas
import torch

from common import options, serve

path = options()["path"]


def step():
    x = torch.from_numpy(pandas.read_csv(path).astype("float64").to_numpy())
    return x.sum().item()


serve(step, f"pandas {pandas.__version__}, float64")
