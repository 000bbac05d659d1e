"""Whether a script needs CUDA, compared with running it by a torch that has none."""

import sys
from pathlib import Path

import pytest

from pgolf.scripts.program import ScriptProgram, Unreadable

IMPORTS = "import os, sys\nimport torch\nimport torch.distributed as dist\nfrom torch import nn\n"
FAILING = [
    'if not torch.cuda.is_available():\n    raise RuntimeError("CUDA is required")',
    'def main():\n    if not torch.cuda.is_available():\n        raise SystemExit("no GPU")\nmain()',
    'if not torch.cuda.is_available():\n    print("no")\n    sys.exit("no GPU")',
    "assert torch.cuda.is_available(), 'CUDA is required'",
    "from torch import cuda\nassert cuda.is_available()",
    "model = nn.Linear(2, 2).cuda()",
    'device = torch.device("cuda", 0)\nmodel = nn.Linear(2, 2).to(device)',
    'x = torch.zeros(2, device="cuda")',
    'device = f"cuda:{0}"\nx = torch.zeros(2, device=device)',
    "torch.cuda.set_device(0)",
    "torch.cuda.synchronize()",
    'if __name__ == "__main__":\n    class Trainer:\n        name = torch.cuda.get_device_name()',
    'dist.init_process_group("nccl", init_method="tcp://127.0.0.1:29599", rank=0, world_size=1)',
]
RUNNING = [
    'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")\nnn.Linear(2, 2).to(device)',
    "if torch.cuda.is_available():\n    torch.cuda.set_device(0)\n    nn.Linear(2, 2).cuda()",
    "x = nn.Linear(2, 2)\nx = x.cuda() if torch.cuda.is_available() else x",
    'try:\n    x = torch.zeros(2, device="cuda")\nexcept Exception:\n    x = torch.zeros(2)',
    'device = torch.device("cuda")\ntorch.manual_seed(1)\ntorch.cuda.manual_seed_all(1)\ntorch.cuda.empty_cache()',
    'if not torch.cuda.is_available():\n    print("this will be slow")',
    'device = "cuda"\ndevice = "cpu"\nx = torch.zeros(2, device=device)',
    'def train(device):\n    return torch.zeros(2, device=device)\ntrain("cpu")',
    "def require():\n    if not torch.cuda.is_available():\n        raise RuntimeError\n"
    'if os.environ.get("D", "cpu") == "cuda":\n    require()',
    "torch.cuda.is_available() and torch.cuda.synchronize()",
    'def main():\n    if "DRY" not in os.environ:\n        return\n    torch.cuda.synchronize()\nmain()',
    "step = lambda: torch.cuda.synchronize()",
    'with torch.autocast(device_type="cpu", dtype=torch.bfloat16):\n    x = torch.zeros(2)',
]


def demand_of(text: str) -> tuple[bool, bool]:
    """Return whether a script surely needs CUDA, and whether it may."""
    found = ScriptProgram({"train.py": text.encode()}).cuda
    return found is not None and found.is_certain, found is not None


@pytest.fixture
def torch_without_cuda() -> None:
    """Import torch; skip the test if it has a device, because then nothing fails."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")


@pytest.mark.usefixtures("torch_without_cuda")
@pytest.mark.parametrize("text", [*FAILING, *RUNNING])
def test_a_script_is_said_to_need_cuda_exactly_if_it_fails_without(text: str) -> None:
    text, is_failing = IMPORTS + text, text in FAILING
    if is_failing:
        with pytest.raises((Exception, SystemExit)):
            exec(compile(text, "train.py", "exec"), {"__name__": "__main__"})
    else:
        exec(compile(text, "train.py", "exec"), {"__name__": "__main__"})
    assert demand_of(text)[0] == is_failing


def test_a_place_that_may_not_be_reached_is_a_possible_demand() -> None:
    """Before it is a return that depends on a variable."""
    may = IMPORTS + 'def main():\n    if "DRY" in os.environ:\n        return\n    torch.cuda.synchronize()\nmain()\n'
    assert demand_of(may) == (False, True)
    assert demand_of(may + 'device = "cpu"\n') == (False, False)


@pytest.mark.usefixtures("torch_without_cuda")
def test_no_module_that_torch_imports_here_is_said_to_need_cuda() -> None:
    files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith("torch.")]
    checked = 0
    for file in sorted(file for file in files if file is not None and file.endswith(".py"))[::25]:
        try:
            is_certain, _ = demand_of(Path(file).read_text())
        except Unreadable:
            continue
        assert not is_certain, file
        checked += 1
    assert checked > 20
