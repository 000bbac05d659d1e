"""A plain PyTorch training loop, as in public scripts, to compare the trainer with.

It uses nothing from the trainer. The model has the shape of the challenge's baseline script (U-Net skips, input mix,
scales, tied and softcapped head). It uses `nn.Linear`, Newton-Schulz on one matrix at a time, and torch's AdamW.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The sizes that define a model of the baseline's kind."""

    vocabulary: int
    width: int
    order: tuple[int, ...]
    """Block numbers in the order in which they run; a number that appears twice is one block with shared weights."""
    heads: int
    kv_heads: int
    hidden: int
    rope_dims: int
    softcap: float


class PlainBlock(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, head = shape, shape.width // shape.heads
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, shape.kv_heads * head, bias=False)
        self.v = nn.Linear(shape.width, shape.kv_heads * head, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)
        self.gain = nn.Parameter(torch.full((shape.heads,), 1.5))
        self.attention_scale = nn.Parameter(torch.ones(shape.width))
        self.mlp_scale = nn.Parameter(torch.ones(shape.width))
        self.mix = nn.Parameter(torch.stack([torch.ones(shape.width), torch.zeros(shape.width)]))

    def forward(self, x: Tensor, first: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        shape, (batch, length, _) = self.shape, x.shape
        x = narrow_on_gpu(self.mix[0] * x + self.mix[1] * first)
        y = F.rms_norm(x, (shape.width,))
        q = self.q(y).view(batch, length, shape.heads, -1).transpose(1, 2)
        k = self.k(y).view(batch, length, shape.kv_heads, -1).transpose(1, 2)
        v = self.v(y).view(batch, length, shape.kv_heads, -1).transpose(1, 2)
        q = rotate(F.rms_norm(q, (q.size(-1),)), cos, sin) * self.gain[:, None, None]
        k = rotate(F.rms_norm(k, (k.size(-1),)), cos, sin)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shape.heads != shape.kv_heads)
        attended = self.out(attended.transpose(1, 2).reshape(batch, length, shape.width))
        x = narrow_on_gpu(x + self.attention_scale * attended)
        mlp: Tensor = self.down(F.relu(self.up(F.rms_norm(x, (shape.width,)))).square())
        return narrow_on_gpu(x + self.mlp_scale * mlp)


def narrow_on_gpu(x: Tensor) -> Tensor:
    """Return `x` in bfloat16 on a GPU, where public scripts keep their residual stream so."""
    return x.bfloat16() if x.is_cuda else x


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = cos.size(-1)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos + b * sin, b * cos - a * sin, rest], dim=-1)


class PlainGpt(nn.Module):
    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, length: int) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        nn.init.normal_(self.embedding.weight, std=0.005)
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(max(shape.order) + 1))
        self.skips = nn.Parameter(torch.ones(len(shape.order) // 2, shape.width))
        angle = torch.outer(torch.arange(length), 10_000.0 ** -(torch.arange(0, shape.rope_dims, 2) / shape.rope_dims))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = F.cross_entropy(self.logits(tokens).flatten(0, 1), targets.flatten())
        return loss

    def logits(self, tokens: Tensor) -> Tensor:
        x = first = narrow_on_gpu(F.rms_norm(self.embedding(tokens), (self.shape.width,)))
        executions, length = len(self.shape.order), tokens.size(1)
        half, blocks = executions // 2, list(self.blocks)
        kept: list[Tensor] = []
        for number, block in enumerate(self.shape.order):
            if number >= executions - half:
                x = narrow_on_gpu(x + self.skips[number - (executions - half)] * kept.pop())
            x = blocks[block](x, first, self.cos[:length], self.sin[:length])
            if number < half:
                kept.append(x)
        logits = F.rms_norm(x, (self.shape.width,)) @ self.embedding.weight.T
        capped: Tensor = self.shape.softcap * torch.tanh(logits / self.shape.softcap)
        return capped


class PlainMuon(torch.optim.Optimizer):
    """Muon that orthogonalizes one matrix after the other, as public scripts do."""

    def __init__(self, matrices: list[nn.Parameter], lr: float, products: torch.dtype) -> None:
        super().__init__(matrices, {"lr": lr})
        self.products = products

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                buffer = state["momentum"]
                buffer.mul_(0.95).add_(weight.grad)
                x = weight.grad.add(buffer, alpha=0.95)
                tall = x.size(0) > x.size(1)
                x = x.to(self.products)
                x = (x.T if tall else x) / (x.norm() + 1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                weight.add_(x.T if tall else x, alpha=-group["lr"] * max(1, weight.size(0) / weight.size(1)) ** 0.5)


class PlainLoop:
    """A training loop that takes one optimizer step a call.

    With `products=torch.bfloat16` forward passes run under autocast and Newton-Schulz in bfloat16, on a CPU as on a
    GPU, as public scripts do. With `torch.float32` everything is float32.
    """

    def __init__(
        self,
        shape: Shape,
        shard: Path,
        batch: int,
        micro: int,
        length: int,
        use_muon: bool,
        device: torch.device,
        products: torch.dtype,
        is_compiled: bool = False,
    ) -> None:
        torch.manual_seed(0)
        self.device, self.products = device, products
        self.model = PlainGpt(shape, length).to(device)
        self.loss = torch.compile(self.model, dynamic=False) if is_compiled else self.model
        self.data = np.memmap(shard, dtype="<u2", mode="r", offset=1024)
        self.batch, self.micro, self.length, self.position = batch, micro, length, 0
        weights = list(self.model.parameters())
        matrices = [w for block in self.model.blocks for w in block.parameters() if w.ndim == 2 and min(w.shape) > 2]
        chosen = {id(w) for w in matrices}
        rest = [w for w in weights if not use_muon or id(w) not in chosen]
        self.optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95))]
        if use_muon:
            self.optimizers.append(PlainMuon(matrices, 0.02, products))

    def step(self) -> float:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        for _ in range(self.batch // self.micro):
            if self.position + self.micro >= len(self.data):
                self.position = 0
            span = torch.from_numpy(self.data[self.position : self.position + self.micro + 1].astype(np.int64))
            self.position += self.micro
            x, y = span[:-1].view(-1, self.length).to(self.device), span[1:].view(-1, self.length).to(self.device)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.products == torch.bfloat16):
                loss = self.loss(x, y) * (self.micro / self.batch)
            loss.backward()
            total += loss.detach()
        for optimizer in self.optimizers:
            optimizer.step()
        return float(total)
