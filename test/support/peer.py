"""What PyTorch makes of a network's weights: python peer.py torch_peer.py MODEL INPUT OUTPUT

MODEL is "unet" or "cunet"; INPUT a safetensors file of its weights, by PyTorch's names, in float32, with the image as "input" and the
times as "time". OUTPUT has "output" and the gradients of the output's mean square, by name, in float64; and again what begins with
"single.", in float32. It needs torch and safetensors.
"""

import functools
import importlib.util
import sys

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

script, name, given, written = sys.argv[1:]
spec = importlib.util.spec_from_file_location("torch_peer", script)
peer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peer)

# PyTorch cuts it off where it is wrong by 2e-9
functional.softplus = functools.partial(functional.softplus, threshold=500)
tensors = load_file(given)
image, time = tensors.pop("input"), tensors.pop("time")
model = {"unet": peer.UNet, "cunet": peer.CUNet}[name](image.shape[1])
live = {name: each for name, each in model.named_parameters() if each.requires_grad}
assert live.keys() == tensors.keys(), live.keys() ^ tensors.keys()
with torch.no_grad():
    for key, each in live.items():
        assert each.numel() == tensors[key].numel(), key
        each.copy_(tensors[key].reshape(each.shape))


def results(dtype):
    torch.set_default_dtype(dtype)
    model.to(dtype).zero_grad()
    output = model(image.to(dtype), time)
    output.square().mean().backward()
    return {"output": output.detach()} | {key: each.grad.clone() for key, each in live.items()}


single = {f"single.{key}": each for key, each in results(torch.float32).items()}
save_file(results(torch.float64) | single, written)
