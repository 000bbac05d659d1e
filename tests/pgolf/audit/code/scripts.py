"""Miniature training scripts: a valid frame, and parts that replace its own. They are parsed, never run."""

FRAME = """
import glob, io, lzma, os
import numpy as np
import torch
import torch.nn.functional as F


class Hyperparameters:
    data = os.environ.get("DATA_PATH", "./data")
    train_files = {train_files}
    val_files = os.path.join(data, "fineweb_val_*.bin")
    adapt = bool(int(os.environ.get("ADAPT", "{adapt}")))


{functions}


def load_tokens(pattern):
    return torch.from_numpy(np.concatenate([np.fromfile(f, dtype="<u2") for f in sorted(glob.glob(pattern))]))


def token_bytes(luts, prev, cur):
    base, has_space, is_boundary = luts
    return base[cur] + (has_space[cur] & ~is_boundary[prev]).long()


def build_luts(sp):
    base, has_space = np.zeros(sp.vocab_size()), np.zeros(sp.vocab_size(), bool)
    for i in range(sp.vocab_size()):
        piece = sp.id_to_piece(i)
        if piece.startswith("\\u2581"):
            has_space[i] = True
            piece = piece[1:]
        base[i] = {length}
    return base, has_space


def eval_val(args, model, val_tokens):
    nll_sum = 0.0
    with torch.inference_mode():
        for lo in range(0, len(val_tokens) - 1, 1024):
            x, y = val_tokens[lo : lo + 1024], val_tokens[lo + 1 : lo + 1025]
            logits = model(x)
            byte_sum = token_bytes(args.luts, x, y).sum()
{scoring}
    return nll_sum


def main():
    args = Hyperparameters()
    val_tokens = load_tokens(args.val_files)
    train_tokens = load_tokens(args.train_files)
    args.luts = build_luts(args)
    model = torch.nn.Linear(8, 8)
    optimizer = torch.optim.AdamW(model.parameters())
    for step in range(1000):
        loss = F.cross_entropy(model(train_tokens[step:]), train_tokens[step + 1 :])
        loss.backward()
        optimizer.step()
{before_packing}
    blob = lzma.compress(b"weights")
{after_packing}
    print(eval_val(args, model, val_tokens))


{tail}
if __name__ == "__main__":
    main()
"""
VALID = {
    "train_files": 'os.path.join(data, "fineweb_train_*.bin")',
    "adapt": "1",
    "functions": "",
    "length": 'len(piece.encode("utf-8"))',
    "scoring": "            nll_sum += F.cross_entropy(logits, y, reduction='sum').item()",
    "before_packing": "",
    "after_packing": "",
    "tail": "",
}


def script(**parts: str) -> str:
    """Return the frame with some of its parts replaced."""
    return FRAME.format(**{**VALID, **parts})


FIT = """
def fit(model, tokens, epochs):
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        for lo in range(0, len(tokens) - 1, 1024):
            opt.zero_grad()
            F.cross_entropy(model(tokens[lo : lo + 1024]), tokens[lo + 1 : lo + 1025]).backward()
            opt.step()
"""
SCORE_FIRST = """
def adapt_and_score(model, val_tokens):
    opt, nll_sum = torch.optim.SGD(model.parameters(), lr=0.1), 0.0
    for lo in range(0, len(val_tokens) - 1, 1024):
        x, y = val_tokens[lo : lo + 1024], val_tokens[lo + 1 : lo + 1025]
        with torch.no_grad():
            nll_sum += F.cross_entropy(model(x), y, reduction="sum").item()
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()
    return nll_sum
"""
TABLE = """
def looked_up(ctx_table, full_table, ctx_hash, targets):
    full_key = (ctx_hash ^ (targets * 92821)) & 1048575
    return full_table[full_key] / np.maximum(ctx_table[ctx_hash & 1048575], 1)
"""
SLICED_TABLE = """
def looked_up(table, ctx_hash, tokens, start):
    now = tokens[start + 1 : start + 1025]
    return table[(ctx_hash ^ (now * 92821)) & 1048575]
"""
RUNNING_HASH = """
def looked_up(table, ctx_hash, targets):
    h = ctx_hash.copy()
    h ^= targets * 92821
    return table[h & 1048575]
"""
WHOLE_ROWS = """
def looked_up(table, ctx_hash, probs, targets):
    rows = table[ctx_hash % 65536]
    mixed = (rows + 4.0 * probs) / (rows.sum(-1, keepdim=True) + 4.0)
    return mixed.gather(1, targets[:, None])
"""
CALLED = "            looked_up(logits, logits, x, y)"
BASE = "            probs = torch.softmax(logits, -1)\n            p_model = probs.gather(-1, y)\n"
SLOT = """            delta = torch.zeros_like(logits, requires_grad=True)
            opt = torch.optim.AdamW([delta], lr=0.01)
            for _ in range(8):
                opt.zero_grad()
                F.cross_entropy(logits + delta, y).backward()
                opt.step()
            nll_sum += F.cross_entropy(logits + delta, y, reduction="sum").item()"""
PREPARATION = (
    "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--val-docs', type=int, default={})"
)

VIOLATIONS: dict[str, tuple[str, str]] = {
    "target in a key": ("NGRAM-TARGET-KEY", script(functions=TABLE, scoring=CALLED)),
    "target in a key, switched on": (
        "NGRAM-TARGET-KEY",
        script(functions=TABLE, scoring=f"            if args.adapt:\n    {CALLED}", adapt="1"),
    ),
    "target in a key, by a slice one token later": (
        "NGRAM-TARGET-KEY",
        script(functions=SLICED_TABLE, scoring="            looked_up(logits, logits, val_tokens, lo)"),
    ),
    "target mixed into a running hash": (
        "NGRAM-TARGET-KEY",
        script(functions=RUNNING_HASH, scoring="            looked_up(logits, logits, y)"),
    ),
    "the better probability": (
        "NGRAM-TARGET-GATE",
        script(
            scoring=BASE + "            p_ngram = probs.gather(-1, y)\n            p = torch.maximum(p_model, p_ngram)"
        ),
    ),
    "weight by what the target is": (
        "NGRAM-TARGET-GATE",
        script(
            scoring="            hit = logits.argmax(-1) == y\n            lam = 0.3 * hit.float()\n"
            "            nll_sum += lam"
        ),
    ),
    "epochs before packing": ("NO-PREQUANT-TTT", script(functions=FIT, before_packing="    fit(model, val_tokens, 3)")),
    "epochs before packing, by another name": (
        "NO-PREQUANT-TTT",
        script(functions=FIT, before_packing="    held = val_tokens[:4096]\n    fit(model, held, epochs=2)"),
    ),
    "epochs before scoring": ("C3-SCORE-FIRST", script(functions=FIT, after_packing="    fit(model, val_tokens, 3)")),
    "adapted, and scored again": (
        "C4-SINGLE-PASS",
        script(functions=SCORE_FIRST, after_packing="    adapt_and_score(model, val_tokens)"),
    ),
    "the better of two scores": (
        "C4-SINGLE-PASS",
        script(
            after_packing="    nll_a, nll_b = eval_val(args, model, val_tokens), 1.0\n"
            "    best = np.minimum(nll_a, nll_b)"
        ),
    ),
    "an addition a window": ("SLOT", script(scoring=SLOT)),
    "the best temperature": (
        "NO-RESCORING-CALIBRATION",
        script(
            after_packing="    losses = []\n    for temp in (0.9, 1.0):\n"
            "        losses.append(eval_val(args, model, val_tokens))\n    print(min(losses))"
        ),
    ),
    "Hessians of validation text": (
        "NO-VAL-CALIBRATION",
        script(
            functions="def collect_hessians(model, tokens): ...",
            before_packing="    collect_hessians(model, val_tokens)",
        ),
    ),
    "validation shards to train on": (
        "NO-VAL-IN-ARTIFACT",
        script(train_files='os.path.join(data, "fineweb_val_*.bin")'),
    ),
    "all shards to train on": ("NO-VAL-IN-ARTIFACT", script(train_files='os.path.join(data, "fineweb_*.bin")')),
    "validation text in the artifact": (
        "NO-VAL-IN-ARTIFACT",
        script(before_packing="    torch.save({'prefix': val_tokens[:1000]}, 'm.pt')"),
    ),
    "training text after packing": (
        "NO-TRAIN-DATA-AT-EVAL",
        script(after_packing="    prior = load_tokens(args.train_files)"),
    ),
    "a space twice": ("SPACE-ONCE", script(length='len(piece.encode("utf-8")) + 1')),
    "a download": ("SELF-CONTAINED", script(after_packing="    import urllib.request")),
    "a download by a command": (
        "SELF-CONTAINED",
        script(functions="import subprocess", after_packing="    subprocess.run(['curl', '-O', 'http://x'])"),
    ),
    "a module that is not there": ("RUNS-IN-FOLDER", script(functions="import context_features")),
    "steps that ignore the clock": (
        "TRAIN-600",
        script(functions="force_stop_step = 4945", before_packing="    if step == force_stop_step:\n        pass"),
    ),
    "a leaky export": ("TRAIN-VAL-DISJOINT", script(functions=PREPARATION.format("10000"))),
    "a byte mixture": (
        "BYTE-PPM",
        script(
            functions="def mix_ppm(logp, n_bytes, ppm):\n    return np.exp(logp / n_bytes)",
            scoring="            mix_ppm(logits, 1, 1)",
        ),
    ),
}
"""Scripts that break a rule, with the rule, by what they do."""
LOOKALIKES: dict[str, tuple[str, str]] = {
    "nothing": ("C3-SCORE-FIRST", script()),
    "a table of whole rows": ("NGRAM-TARGET-KEY", script(functions=WHOLE_ROWS, scoring=CALLED)),
    "a table that nothing calls": ("NGRAM-TARGET-KEY", script(functions=TABLE)),
    "a table switched off": (
        "NGRAM-TARGET-KEY",
        script(functions=TABLE, scoring=f"            if args.adapt:\n    {CALLED}", adapt="0"),
    ),
    "a hit that is only read": (
        "NGRAM-TARGET-GATE",
        script(
            scoring="            hit = logits.argmax(-1) == y\n"
            "            nll_sum += torch.where(hit, logits, -logits).sum()"
        ),
    ),
    "epochs on training text": (
        "NO-PREQUANT-TTT",
        script(functions=FIT, before_packing="    fit(model, train_tokens, 3)"),
    ),
    "score first": (
        "C3-SCORE-FIRST",
        script(functions=SCORE_FIRST, after_packing="    return print(adapt_and_score(model, val_tokens))"),
    ),
    "score first, once": (
        "C4-SINGLE-PASS",
        script(functions=SCORE_FIRST, after_packing="    return print(adapt_and_score(model, val_tokens))"),
    ),
    "two strides, both printed": (
        "C4-SINGLE-PASS",
        script(after_packing="    for stride in (64, 512):\n        print(stride, eval_val(args, model, val_tokens))"),
    ),
    "Hessians of training text": (
        "NO-VAL-CALIBRATION",
        script(
            functions="def collect_hessians(model, tokens): ...",
            before_packing="    collect_hessians(model, train_tokens)",
        ),
    ),
    "a space once": ("SPACE-ONCE", script()),
    "an address in a comment": ("SELF-CONTAINED", script(functions="# see https://example.org for requests\n")),
    "a guarded import": (
        "RUNS-IN-FOLDER",
        script(functions="try:\n    import some_kernels\nexcept ImportError:\n    some_kernels = None"),
    ),
    "no fixed step": (
        "TRAIN-600",
        script(
            functions="force_stop_step = 0",
            before_packing="    if force_stop_step and step == force_stop_step:\n        pass",
        ),
    ),
    "a whole export": ("TRAIN-VAL-DISJOINT", script(functions=PREPARATION.format("50000"))),
}
"""Scripts that look like a violation of a rule and keep it."""
