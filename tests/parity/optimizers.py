"""What PyTorch's optimizers and schedules do: ten steps over given gradients in float64, and rates over sixty steps."""
import torch
from torch.optim import SGD, Adafactor, Adam, AdamW, NAdam, RMSprop, lr_scheduler as rates

# Name, class, options.
OPTIMIZERS = [
    ("sgd nesterov", SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("adam", Adam, {"lr": 0.01}),
    ("adam with decay", Adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("adamw", AdamW, {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("nadam", NAdam, {"lr": 0.01}),
    ("nadam with decay", NAdam, {"lr": 0.01, "betas": (0.85, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("rmsprop", RMSprop, {"lr": 0.01}),
    ("rmsprop centered", RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "centered": True, "weight_decay": 0.1}),
    ("rmsprop momentum", RMSprop, {"lr": 0.01, "momentum": 0.8}),
    ("rmsprop all", RMSprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "centered": True, "weight_decay": 0.05}),
    ("adafactor", Adafactor, {"lr": 0.01}),
    ("adafactor with decay", Adafactor, {"lr": 0.5, "beta2_decay": -0.5, "eps": (1e-6, 1e-2), "d": 1.5, "weight_decay": 0.1}),
]
SHAPES = [(4, 3), (5,), (2, 3, 4), ()]
STEPS = 10


def optimizer_tensors():
    """All tensors by name: parameters before (`start/0`) and after (`adam/0`), the gradients (`gradient/3/0`), the states (`adam/0/exp_avg`)."""
    generator = torch.Generator().manual_seed(1)

    def draw():
        return [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in SHAPES]

    start, gradients = draw(), [draw() for _ in range(STEPS)]
    tensors = {f"start/{i}": value for i, value in enumerate(start)}
    tensors |= {f"gradient/{t}/{i}": value for t, step in enumerate(gradients) for i, value in enumerate(step)}
    # NAdam keeps its product of momenta in the default dtype.
    torch.set_default_dtype(torch.float64)
    for name, make, options in OPTIMIZERS:
        parameters = [torch.nn.Parameter(value.clone()) for value in start]
        optimizer = make(parameters, **options)
        for step in gradients:
            for parameter, gradient in zip(parameters, step):
                parameter.grad = gradient.clone()
            optimizer.step()
        for i, parameter in enumerate(parameters):
            tensors[f"{name}/{i}"] = parameter.detach()
            for key, value in optimizer.state[parameter].items():
                if torch.is_tensor(value) and key not in ("step", "mu_product"):
                    tensors[f"{name}/{i}/{key}"] = value.detach()
    torch.set_default_dtype(torch.float32)
    # A tensor is saved once: what shares memory is copied.
    return {name: value.clone().contiguous() for name, value in tensors.items()}


LR = 0.4
# Name, and the scheduler of an optimizer whose rate is LR.
SCHEDULES = {
    "step": lambda o: rates.StepLR(o, 7, 0.5),
    "multiStep": lambda o: rates.MultiStepLR(o, [5, 20, 21], 0.3),
    "exponential": lambda o: rates.ExponentialLR(o, 0.9),
    "linear": lambda o: rates.LinearLR(o, 0.25, 0.75, 12),
    "polynomial": lambda o: rates.PolynomialLR(o, 30, 2.0),
    "cosine": lambda o: rates.CosineAnnealingLR(o, 59, 0.05),
    "cosineRestarts": lambda o: rates.CosineAnnealingWarmRestarts(o, 8, 2, 0.05),
    "cosineRestarts of one length": lambda o: rates.CosineAnnealingWarmRestarts(o, 9, 1, 0.05),
    "oneCycle": lambda o: rates.OneCycleLR(o, LR, 60),
    "oneCycle linear": lambda o: rates.OneCycleLR(o, LR, 60, pct_start=0.2, anneal_strategy="linear", div_factor=10, final_div_factor=100),
    "oneCycle three phases": lambda o: rates.OneCycleLR(o, LR, 60, pct_start=0.3, three_phase=True),
    "warmup": lambda o: rates.SequentialLR(o, [rates.LinearLR(o, 0.1, 1.0, 10), rates.ExponentialLR(o, 0.9)], [10]),
    "sequential": lambda o: rates.SequentialLR(o, [rates.ConstantLR(o, 1.0, 1), rates.StepLR(o, 4, 0.5), rates.ExponentialLR(o, 0.9)], [6, 20]),
    "chained": lambda o: rates.ChainedScheduler([rates.LinearLR(o, 0.2, 1.0, 10), rates.ExponentialLR(o, 0.95)]),
}
# Measurements for ReduceLROnPlateau, and its options; `eps` (the least change of a rate) is 0: ours has none.
MEASURED = [3.0, 2.0, 2.0, 2.1, 1.9999, 2.5, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.4, float("nan"), 1.4, 1.4, 1.4, 1.4, 1.4, 1.4, 0.1, 0.2, 0.2, 0.2]
PLATEAUS = [
    {"factor": 0.5, "patience": 1},
    {"factor": 0.5, "patience": 2, "cooldown": 2, "min_lr": 0.06},
    {"factor": 0.1, "patience": 0, "threshold": 0.3, "threshold_mode": "abs"},
    {"factor": 0.5, "patience": 1, "mode": "max", "threshold": 0.1},
]


def optimizer():
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def schedule_rows():
    rows = []
    for name, make in SCHEDULES.items():
        stepped = optimizer()
        scheduler = make(stepped)
        values = []
        for _ in range(60):
            values.append(stepped.param_groups[0]["lr"])
            stepped.step()
            if len(values) < 60:
                scheduler.step()
        rows.append({"name": name, "rates": values})
    for options in PLATEAUS:
        measured = optimizer()
        scheduler = rates.ReduceLROnPlateau(measured, eps=0, **options)
        values = []
        for value in MEASURED:
            scheduler.step(value)
            values.append(measured.param_groups[0]["lr"])
        rows.append({"plateau": options, "measured": ["NaN" if value != value else value for value in MEASURED], "rates": values})
    return rows
