"""Shuffled batches of windows over [rows, width] float32 by a DataLoader with two workers, one batch per step, whose sum is read.

The dataset slices one tensor that the workers share; persistent workers, default prefetching and collation.
"""

from torch.utils.data import DataLoader, Dataset

from common import options, serve, spread

given = options()
past, future = given["past"], given["future"]


class Windows(Dataset):
    def __init__(self, series):
        self.series = series

    def __len__(self):
        return len(self.series) - past - future + 1

    def __getitem__(self, start):
        middle = start + past
        return self.series[start:middle], self.series[middle : middle + future]


if __name__ == "__main__":
    series = spread([given["rows"], given["width"]], 0, 1.0).share_memory_()
    loader = DataLoader(Windows(series), batch_size=given["batch"], shuffle=True, num_workers=2, persistent_workers=True)
    batches = iter(loader)

    def step():
        global batches
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        x, y = batch
        return (x.sum() + y.sum()).item()

    serve(step, "DataLoader(num_workers=2, persistent_workers=True)")
