"""Writes fixtures/weights.json: what the trained networks of tests/interchange/weights.test.ts answer by their authors' formulas.

Needs `node scripts/weights.mjs` before, NumPy 2, safetensors and torch 2.11.0:  python tests/interchange/weights.py
"""
import json
import os
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import conv1d, pad

FOLDER = pathlib.Path(os.environ.get("QUARTERTURN_CACHE", pathlib.Path.home() / ".cache/quarterturn")) / "weights"


def g2p(word):
    """The formulas of g2p_en/g2p.py in float64: phoneme numbers, and the logits of the first step."""
    w = {name: value.astype(np.float64) for name, value in np.load(FOLDER / "g2p_en/checkpoint20.npz").items()}

    def cell(x, h, side):
        gi = w[f"{side}_w_ih"] @ x + w[f"{side}_b_ih"]
        gh = w[f"{side}_w_hh"] @ h + w[f"{side}_b_hh"]
        (ri, zi, ni), (rh, zh, nh) = np.split(gi, 3), np.split(gh, 3)
        r, z = 1 / (1 + np.exp(-ri - rh)), 1 / (1 + np.exp(-zi - zh))
        n = np.tanh(ni + r * nh)
        return (1 - z) * n + z * h

    letters = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
    h = np.zeros(256)
    for letter in [*word, "</s>"]:
        h = cell(w["enc_emb"][letters.index(letter)], h, "enc")
    ids, last, first = [], 2, None
    for _ in range(20):
        h = cell(w["dec_emb"][last], h, "dec")
        logits = w["fc_w"] @ h + w["fc_b"]
        first = logits if first is None else first
        last = int(logits.argmax())
        if last == 3:
            break
        ids.append(last)
    return {"ids": ids, "first": first.tolist()}


def silero(chunks=40):
    """Probabilities of speech of a sound made by a formula, chunk by chunk: silero_vad/tinygrad_model.py, computed by PyTorch in float64.

    The ONNX and TorchScript files of the same wheel hold the weights of another training, and answer otherwise.
    """
    w = {name: value.double() for name, value in load_file(FOLDER / "silero_vad/data/silero_vad_16k.safetensors").items()}
    cell = torch.nn.LSTMCell(128, 128).double()
    cell.load_state_dict({name[10:]: value for name, value in w.items() if name.startswith("lstm_cell.")})
    t = np.arange(512 * chunks)
    voice = sum(np.sin(2 * np.pi * 140 * k * t / 16000 + k) / k for k in range(1, 12))
    sound = 0.15 * voice * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t / 16000)) * (t > 512 * 10)
    sound = torch.tensor(sound.astype(np.float32)).double()[None]
    context, state, out = torch.zeros(1, 64).double(), None, []
    for start in range(0, sound.shape[1], 512):
        chunk = torch.cat([context, sound[:, start : start + 512]], 1)
        context = chunk[:, -64:]
        x = conv1d(pad(chunk[:, None], (0, 64), mode="reflect"), w["stft_conv.weight"], stride=128)
        x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
        for i, stride in enumerate([1, 2, 2, 1], 1):
            x = conv1d(x, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride=stride, padding=1).relu()
        state = cell(x[..., 0], state)
        x = conv1d(state[0][..., None].relu(), w["final_conv.weight"], w["final_conv.bias"])
        out.append(x.sigmoid().mean().item())
    return out


torch.set_grad_enabled(False)
words = {word: g2p(word) for word in ["activationist", "hyundai", "recurrentnet"]}
path = pathlib.Path(__file__).parent / "fixtures/weights.json"
path.write_text(json.dumps({"g2p": words, "silero": silero()}) + "\n")
print(path.stat().st_size, {word: answer["ids"] for word, answer in words.items()}, silero()[8:20])
