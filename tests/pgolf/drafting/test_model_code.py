"""Tensors counted in a script's code, compared with those of the model that torch builds from the same code."""

import ast
from types import SimpleNamespace

import pytest

from pgolf.drafting.counting.model_code import ScriptModel, model_of
from pgolf.drafting.values import Hyperparameter
from pgolf.scripts.program import ScriptProgram

SETTINGS = """
class Settings:
    vocab_size = int(os.environ.get("VOCAB_SIZE", 96))
    model_dim = int(os.environ.get("WIDTH", 32))
    num_layers = int(os.environ.get("NUM_LAYERS", 5))
    num_heads = 4
    mlp_mult = float(os.environ.get("MLP_MULT", 2.5))
    num_loops = int(os.environ.get("NUM_LOOPS", 2))
    tie = bool(int(os.environ.get("TIE", "1")))
    ve_layers = os.environ.get("VE_LAYERS", "1,3")
    ve_on = bool(int(os.environ.get("VE_ON", "1")))
"""
MODEL = """
class CastedLinear(nn.Linear):
    def forward(self, x):
        return x

class Attention(nn.Module):
    def __init__(self, dim, heads, kv_heads=2, *, gate=False):
        super().__init__()
        head_dim = dim // heads
        kv = kv_heads * head_dim
        self.c_q, self.c_kv = CastedLinear(dim, dim, bias=False), nn.Linear(dim, 2 * kv)
        self.q_gain = nn.Parameter(torch.full((heads,), 1.5, dtype=torch.float32))
        if gate:
            self.gate = nn.Parameter(torch.zeros(heads, 12))

class ValueEmbedding(nn.Module):
    def __init__(self, rows: int, width: int, out: int):
        super().__init__()
        self.embed = nn.Embedding(rows, width)
        self.proj = CastedLinear(width, out, bias=False) if width != out else None
        self.scale = nn.Parameter(torch.tensor(0.1))

class Base(nn.Module):
    is_wide = True

    def __init__(self, width):
        super().__init__()
        if self.is_wide:
            self.base = nn.Parameter(torch.zeros(width, 2))

class Loader:
    def __init__(self):
        self.model_dim = 9999

class Block(Base):
    def __init__(self, h, index):
        super().__init__(h.model_dim + 1)
        hidden = int(h.mlp_mult * h.model_dim)
        self.attn = Attention(h.model_dim, h.num_heads, gate=index % 2 == 0)
        up = CastedLinear(h.model_dim, hidden, bias=False)
        self.mlp = nn.Sequential(up, nn.ReLU(), nn.Linear(hidden, h.model_dim))
        self.norm = nn.LayerNorm(h.model_dim)
        self.resid_mix = nn.Parameter(torch.stack((torch.ones(h.model_dim), torch.zeros(h.model_dim))).float())

class GPT(nn.Module):
    def __init__(self, h):
        super().__init__()
        self.tok_emb = nn.Embedding(h.vocab_size, h.model_dim)
        self.blocks = nn.ModuleList([Block(h, i) for i in range(h.num_layers)])
        order = list(range(1))
        for _ in range(h.num_loops + 1):
            order.extend(range(1, 3))
        order += [3, 4]
        encoder = order[: len(order) // 2]
        self.skip_weights = nn.Parameter(torch.ones(min(len(encoder), len(order) - len(encoder)), h.model_dim))
        chosen = [int(x) for x in h.ve_layers.split(",") if x.strip()]
        if h.ve_on and chosen:
            self.ve_shared = ValueEmbedding(h.vocab_size, 8, h.model_dim // 2)
            self.ve_scales = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in chosen])
        for index, block in enumerate(self.blocks):
            if index > 2 and block.attn is not None:
                block.late = nn.Parameter(torch.zeros(index))
        self.bank = nn.Parameter(torch.empty(2 * h.num_layers, h.model_dim, h.model_dim))
        self.lm_head = CastedLinear(h.model_dim, h.vocab_size, bias=False)
        if h.tie:
            self.lm_head.weight = self.tok_emb.weight
        self.register_parameter("cap", nn.Parameter(torch.tensor([30.0, 30.0])))
        self.more()

    def more(self):
        self.extra = nn.ModuleDict({str(i): nn.Linear(3, i + 1) for i in range(2)})
        self.buffer = torch.zeros(100)
"""
VALUES = {"VOCAB_SIZE": 96, "WIDTH": 32, "NUM_LAYERS": 5, "MLP_MULT": 2.5, "NUM_LOOPS": 2, "TIE": 1, "VE_ON": 1,
          "VE_LAYERS": "1,3"}  # fmt: skip
ATTRIBUTES = {"WIDTH": "model_dim"}


def counted(text: str, **values: object) -> ScriptModel:
    found = {name: Hyperparameter(name, str(value), "given") for name, value in values.items()}
    model = model_of(ScriptProgram({"train.py": f"import os\n{text}".encode()}), found, None)
    assert model is not None
    return model


def built(values: dict[str, object]) -> dict[str, int]:
    """Return the sizes of the parameters that torch makes; the code is that of this test."""
    import torch
    from torch import nn

    scope = {"nn": nn, "torch": torch}
    exec(compile(ast.parse(MODEL), "model", "exec"), scope)
    settings = {ATTRIBUTES.get(name, name.lower()): value for name, value in values.items()}
    model = scope["GPT"](SimpleNamespace(**settings, num_heads=4))  # type: ignore[operator]
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    "changed",
    [
        {}, {"TIE": 0}, {"NUM_LAYERS": 8, "WIDTH": 48}, {"NUM_LOOPS": 0}, {"VE_ON": 0}, {"VE_LAYERS": ""},
        {"MLP_MULT": 3.3}, {"VE_LAYERS": "0,1,4"}, {"WIDTH": 16},
    ],
)  # fmt: skip
def test_the_tensors_are_those_that_torch_makes(changed: dict[str, object]) -> None:
    values = VALUES | changed
    model = counted(SETTINGS + MODEL + "model = GPT(Settings())\n", **values)
    assert model.is_certain
    assert sorted(tensor.size or 0 for tensor in model.tensors) == sorted(built(values).values())


def test_an_undecided_condition_and_an_unknown_size_are_said() -> None:
    start, end = "class A(nn.Module):\n def __init__(self, x):\n  ", "\n  self.v = nn.Linear(4, 5)"
    unsure = counted(f"{start}if x.odd: self.w = nn.Linear(2, 3){end}")
    assert not unsure.is_certain
    unknown = counted(f"{start}self.w = nn.Parameter(make(x)){end}")
    assert (unknown.parameters, [tensor.size for tensor in unknown.tensors]) == (None, [None, 20, 5])
    assert unknown.tensors[0].place == "train.py:4"


@pytest.mark.parametrize(
    "body",
    [
        "self.w = [nn.Linear(1, 1) for a in range(10**9)]",
        "x = [0]\n  for a in range(4096):\n   for b in range(4096):\n    for c in range(4096): x = x + x",
        "for a in range(4096):\n   for b in range(4096):\n    for c in range(4096): pass",
        "x = [[[0 for c in range(4096)] for b in range(4096)] for a in range(4096)]",
        "x = [0]\n  for a in range(4096): x = [x, x]\n  self.w = nn.Parameter(torch.tensor(x))",
        "x = [0]\n  for a in range(60): x = [x, x]\n  self.w = nn.Parameter(torch.tensor(x))\n  y = sum(x)",
        "x = y = [0]\n  for a in range(60): x, y = [x, x], [y, y]\n  self.x, z = x, x == y or y in x",
        "self.a = A()",
        "x = 2 ** 10 ** 10\n  self.w = nn.Linear(x, 9)",
        "x = 'a' * 10 ** 12\n  self.w = nn.Linear(len(x), 9)",
        "self.w = nn.Parameter(torch.zeros(*y))",
        "x = 1 / 0\n  y = [][3]\n  self.w = nn.Linear(-5, 1.5)",
    ],
)
def test_hostile_constructors_end(body: str) -> None:
    program = ScriptProgram({"a.py": f"class A(nn.Module):\n def __init__(self):\n  {body}\n".encode()})
    model = model_of(program, {}, None)
    assert model is None or model.parameters is None or model.parameters < 10**13
