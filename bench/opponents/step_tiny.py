"""A training step of 100 forward operations on tiny tensors: 33 x (matmul, add, tanh) and one sum; SGD.

float32, contiguous, optimizer torch.optim.SGD as it comes (foreach on CPU: no), one thread by default.
The loss is read every step, as a loop that logs does.
"""

import torch

from common import options, serve, spread

DIM, BATCH, LAYERS = 8, 4, 33

options()
weights = [spread([DIM, DIM], 1000 * k, 0.5).requires_grad_() for k in range(LAYERS)]
biases = [spread([DIM], 1000 * k + 500, 0.1).requires_grad_() for k in range(LAYERS)]
x = spread([BATCH, DIM], 77, 1.0)
optimizer = torch.optim.SGD([*weights, *biases], lr=0.01)


def step():
    optimizer.zero_grad(set_to_none=True)
    y = x
    for weight, bias in zip(weights, biases):
        y = torch.tanh(torch.matmul(y, weight) + bias)
    loss = y.sum()
    loss.backward()
    optimizer.step()
    return loss.item()


serve(step, "backward() and optim.SGD (defaults), float32")
