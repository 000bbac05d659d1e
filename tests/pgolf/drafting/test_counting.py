"""Forms in which scripts construct modules: counted as torch counts them on its meta device, or not at all."""

from collections.abc import Callable
from typing import Any

import pytest

from pgolf.drafting.counting.model_code import ScriptModel, model_of
from pgolf.drafting.draft import Draft, draft_of, hyperparameters
from pgolf.drafting.parts import PartDifference, explaining_parts
from pgolf.scripts.program import ScriptProgram

HEAD = """\
import collections, copy, math, os, types
from dataclasses import dataclass, field
from functools import partial
import torch
import torch.nn as nn
from torch import Tensor

class Hyperparameters:
    model_dim = int(os.environ.get("MODEL_DIM", 8))
    num_layers = int(os.environ.get("NUM_LAYERS", 3))

class Block(nn.Module):
    def __init__(self, dim, gain=False):
        super().__init__()
        self.up = nn.Linear(dim, 2 * dim, bias=False)
        if gain:
            self.gain = nn.Parameter(torch.ones(dim))

"""
GPT = """\
class GPT(nn.Module):
    def __init__(self, dim, layers):
        super().__init__()
        self.table = nn.Embedding(16, dim)
{body}
def build():
    args = Hyperparameters()
    return GPT(args.model_dim, args.num_layers)
"""
COUNTED = {
    "a dictionary": "self.t = nn.ModuleDict(dict(a=Block(dim), b=nn.ModuleList([Block(dim)])))\nself.u = self.t.a.up",
    "a dictionary by keyword": "self.t = nn.ModuleDict(modules={'a': Block(dim)})",
    "a list by keyword": "self.t = nn.ModuleList(modules=[Block(dim) for _ in range(layers)])",
    "a plain list": "self.t = [Block(dim)]",
    "an attribute by name": "for i in range(layers): setattr(self, f'w_{i}', nn.Parameter(torch.ones(dim, i + 1)))",
    "a method by name": "self.add_module('a', Block(dim))\nself.register_parameter('p', nn.Parameter(torch.ones(3)))",
    "the same module twice": "b = Block(dim)\nself.t = nn.ModuleList([b] * layers)",
    "copies": "b = Block(dim)\nself.t = nn.ModuleList([copy.deepcopy(b) for _ in range(layers)])",
    "while": "self.t = nn.ModuleList()\nwhile len(self.t) < layers:\n    self.t.append(Block(dim))",
    "continue": "self.t = nn.ModuleList()\nfor i in range(9):\n"
    "    if i % 2: continue\n    self.t.append(Block(dim, i > 4))",
    "break": "self.t = nn.ModuleList()\nfor i in range(9):\n    if i == layers: break\n    self.t.append(Block(dim))",
    "an early return": "if layers: return\nself.t = Block(dim)",
    "match": "match layers:\n    case 1 | 2: self.t = Block(dim)\n    case _ if dim: self.t = Block(dim, True)",
    "a partial": "Linear = partial(nn.Linear, bias=False)\nself.t = Linear(dim, 3)\nself.u = Linear(3, dim, bias=True)",
    "an alias": "kind = Block if layers else nn.Linear\nself.t = kind(dim, gain=True)",
    "a table of classes": "self.t = {'a': Block, 'b': nn.Linear}['a'](dim)",
    "a deleted attribute": "self.t = Block(dim)\ndel self.t.up\nself.u = Block(dim, True)\ndelattr_ = None",
    "an inserted block": "t = []\nfor i in range(layers): t.insert(0, Block(dim, i == 0))\nself.t = nn.ModuleList(t)",
    "a named sequence": "self.t = nn.Sequential(collections.OrderedDict([('a', nn.Linear(dim, 3)), ('b', nn.ReLU())]))",
    "shapes": "s = (2, dim)\nself.a = nn.Parameter(torch.ones(*s))\nself.b = nn.Parameter(torch.zeros(size=s))\n"
    "self.c = nn.Parameter(torch.zeros_like(self.b))\nself.d = nn.Parameter(0.1 * torch.randn(s, dtype=torch.float32))",
    "rounding": "for i in range(math.ceil(layers / 2)): setattr(self, 'b' + str(i), Block(dim))",
    "a convolution": "self.t = nn.Conv1d(dim, dim, 3, groups=dim)\nself.u = nn.Conv2d(dim, 4, (3, 2), bias=False)",
    "attention": "self.t = nn.MultiheadAttention(dim, 2)\nself.u = nn.MultiheadAttention(dim, 2, bias=False)",
    "normalizations": "self.a, self.b = nn.GroupNorm(2, dim), nn.LayerNorm((2, dim), bias=False)\n"
    "self.c, self.d = nn.LayerNorm(dim, elementwise_affine=False), nn.RMSNorm(dim)\nself.e = nn.BatchNorm1d(dim)",
    "others": "self.a, self.b = nn.Bilinear(2, 3, dim), nn.PReLU()\nself.c = nn.EmbeddingBag(5, dim)",
    "a function": "def make(i, o):\n    m = nn.Linear(i, o)\n"
    "    nn.init.zeros_(m.weight)\n    return m\nself.t = make(dim, 5)",
    "a function of star arguments": "def make(n, *a, **k):\n"
    "    return nn.ModuleList([Block(*a, **k) for _ in range(n)])\n"
    "self.t = make(layers, dim, gain=True)",
    "two loops": "self.t = nn.ModuleList([Block(dim) for half in (1, 2) for _ in range(half)])",
    "an undecided condition without tensors": "if torch.cuda.is_available():\n"
    "    self.fast = True\nself.t = Block(dim)",
    "initialization": "self.t = Block(dim)\nself.apply(self.init)\nfor m in self.modules():\n"
    "    if isinstance(m, nn.Linear) and getattr(m, 'zero', False): nn.init.zeros_(m.weight)",
    "tied tables": "self.head = nn.Linear(dim, 16, bias=False)\nself.head.weight = self.table.weight",
    "ranges and sets": "self.a = nn.Parameter(torch.arange(2, dim, 2).float())\n"
    "self.b = nn.ModuleList([Block(n) for n in sorted({3, 1, 3})])",
    "a list of tensors": "self.t = nn.ParameterList([torch.ones(dim), torch.ones(2)])",
    "buffers": "self.register_buffer('b', torch.ones(100))\nself.t = torch.ones(100)",
}
CLASSES = {
    "a linear module without a bias": (
        "class Casted(nn.Linear):\n    def __init__(self, i, o):\n        super().__init__(i, o, bias=False)\n",
        "self.t = Casted(dim, 5)",
    ),
    "a linear module with a gain": (
        "class Gained(nn.Linear):\n    def __init__(self, i, o, bias=True):\n"
        "        super().__init__(i, o, bias=bias)\n"
        "        self.gain = nn.Parameter(torch.ones(o))\n",
        "self.t, self.u = Gained(dim, 5), Gained(dim, 5, bias=False)",
    ),
    "a static method": (
        "class Maker:\n    @staticmethod\n    def gain(n):\n        return nn.Parameter(torch.ones(n))\n",
        "self.t = Maker.gain(dim)",
    ),
    "a base class by name": (
        "class Wide(Block):\n    def __init__(self, dim):\n        Block.__init__(self, dim, gain=True)\n"
        "        self.more = nn.Linear(dim, 1)\n",
        "self.t = Wide(dim)",
    ),
    "a configuration": (
        "@dataclass\nclass Config:\n    dim: int = 99\n"
        "    layers: int = 5\n    wide: list = field(default_factory=list)\n",
        "c = Config(dim=dim)\nself.t = nn.ModuleList([Block(c.dim) for _ in range(c.layers)])",
    ),
    "another class with the same settings": (
        "class EvalConfig:\n    num_layers = 1\n    model_dim = 2\n",
        "self.t = nn.ModuleList([Block(dim) for _ in range(layers)])",
    ),
    "a class that is not used": (
        "class Huge(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.t = nn.Linear(999, 999)\n",
        "self.t = Block(dim)",
    ),
}
NOT_COUNTED = {
    "an unknown module of torch": ("", "self.t = nn.LSTM(dim, dim)"),
    "a module of another package": ("import fla\n", "self.t = fla.Layer(dim)"),
    "a function of another package": ("import fla\n", "fla.add_layers(self)"),
    "an unknown condition": ("", "if os.path.exists('x'): self.t = Block(dim)"),
    "an unknown loop": ("", "for name in os.listdir('.'): setattr(self, name, Block(dim))"),
    "an attribute of an unknown name": ("", "setattr(self, os.getcwd(), Block(dim))"),
    "the dictionary of attributes": ("", "self.__dict__['_modules']['a'] = Block(dim)"),
    "code from a file": ("", "exec(open('more.py').read())"),
    "an iterator": ("", "self.t = nn.ModuleList(map(Block, [dim]))"),
    "too many steps": ("", "x = 0\nfor i in range(4000):\n    for j in range(4000): x += 1\nself.t = Block(dim)"),
    "a shape that grows": ("", "self.t = nn.Parameter(torch.tensor(1.0).expand(dim).clone())"),
    "a sum of tensors": ("", "self.t = nn.Parameter(torch.ones(dim, 1) + torch.ones(1, dim))"),
    "a number of a changed name": (
        "",
        "n = 0\ndef more():\n    nonlocal n\n    n += 5\nmore()\nself.t = nn.Linear(n, 3)",
    ),
    "a handled error": (
        "",
        "try:\n    x = [][0]\n    self.t = Block(dim)\nexcept IndexError: self.t = nn.Linear(2, 2)",
    ),
    "a changed list": ("SIZES = [2]\nSIZES.append(4)\n", "self.t = nn.ModuleList([Block(n) for n in SIZES])"),
    "a decorated function": (
        "def twice(f):\n    return lambda n: nn.Sequential(f(n), f(n))\n@twice\ndef make(n):\n    return Block(n)\n",
        "self.t = make(dim)",
    ),
    "a changed constructor": (
        "def none(self, dim): nn.Module.__init__(self)\nBlock.__init__ = none\n",
        "self.t = Block(3)",
    ),
    "a changed module of torch": ("nn.Linear = partial(nn.Linear, bias=False)\n", "self.t = nn.Linear(2, 3)"),
    "a class that decides what it makes": (
        "class Made(nn.Module):\n    def __new__(cls): return nn.Linear(2, 3)\n",
        "self.t = Made()",
    ),
    "an error": ("", "raise ValueError(dim)"),
}
CHANGES = {
    "a setting": "    args = Hyperparameters()\n    args.num_layers = 7\n"
    "    return GPT(args.model_dim, args.num_layers)\n",
    "a module": "    model = GPT(8, 3)\n    model.more = nn.Linear(8, 8)\n    return model\n",
    "a module's method": "    model = GPT(8, 3)\n    model.add_module('more', nn.Linear(8, 8))\n    return model\n",
    "two models": "    small = GPT(2, 1)\n    return GPT(8, 3)\n",
}


def script(body: str, classes: str = "") -> str:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return HEAD + classes + GPT.format(body=lines + "\n    def init(self, m):\n        pass\n")


def counted(text: str) -> ScriptModel:
    program = ScriptProgram({"train.py": text.encode()})
    model = model_of(program, hyperparameters(program, None, {}), None)
    assert model is not None
    return model


def built(text: str) -> int:
    """Return the number of parameters that torch makes; the code is that of this test."""
    import torch

    scope: dict[str, Any] = {"__name__": "train"}
    with torch.device("meta"):
        exec(compile(text, "train.py", "exec"), scope)
        build: Callable[[], torch.nn.Module] = scope["build"]
        return sum(parameter.numel() for parameter in build().parameters())


@pytest.mark.parametrize(
    ("classes", "body"),
    [*(("", body) for body in COUNTED.values()), *CLASSES.values()],
    ids=[*COUNTED, *CLASSES],
)
def test_a_form_is_counted_as_torch_counts_it(classes: str, body: str) -> None:
    text = script(body, classes)
    model = counted(text)
    assert (model.parameters, model.doubt) == (built(text), None)


@pytest.mark.parametrize(("classes", "body"), NOT_COUNTED.values(), ids=NOT_COUNTED.keys())
def test_what_is_not_followed_is_not_counted(classes: str, body: str) -> None:
    assert counted(script(body, classes)).parameters is None


@pytest.mark.parametrize("body", CHANGES.values(), ids=CHANGES.keys())
def test_a_model_that_changes_is_not_counted(body: str) -> None:
    text = script("self.t = nn.ModuleList([Block(dim) for _ in range(layers)])").partition("def build")[0]
    assert counted(f"{text}def build():\n{body}").parameters is None


def draft(body: str) -> Draft:
    return draft_of(ScriptProgram({"train.py": script(body).encode()}), None, {})


def test_an_uncertain_count_confirms_nothing_and_names_no_part() -> None:
    unsure = draft("self.t = nn.LSTM(dim, dim)")
    assert (unsure.script_parameters, unsure.differing) == (None, [])
    assert "(its code was not counted: train.py:23 is not followed)" in unsure.verdict
    unsure.logged_parameters = 7
    assert "the part that differs is not known, since train.py:23 is not followed" in unsure.verdict
    certain = draft("self.t = Block(dim)")
    assert certain.script_parameters == 16 * 8 + 8 * 16
    assert certain.differing != []


def test_a_log_confirms_a_count_of_code_that_was_not_followed() -> None:
    """The call that is not followed adds nothing, as the log shows."""
    text = script("self.t = Block(dim)\nself.hook = register(self)", "from hooks import register\n")
    program, size = ScriptProgram({"train.py": text.encode()}), 16 * 8 + 8 * 16
    values = hyperparameters(program, None, {})
    unsure, confirmed, other = (model_of(program, values, logged) for logged in (None, size, size + 1))
    assert [each and each.parameters for each in (unsure, confirmed, other)] == [None, size, None]


def test_the_fewest_parts_that_add_up_to_the_difference_are_named() -> None:
    parts = [
        PartDifference("MLP", 100, 900, ""),
        PartDifference("gates", 36, 0, "a:1"),
        PartDifference("skips", 8, 18, ""),
    ]
    assert [part.name for part in explaining_parts(parts, -36)] == ["gates"]
    assert [part.name for part in explaining_parts(parts, -26)] == ["gates", "skips"]
    assert explaining_parts(parts, 5) == []
