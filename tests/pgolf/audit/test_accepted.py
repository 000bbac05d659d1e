"""Audits of small folders in the forms that accepted submissions have: none fails. Changed in one number, each does."""

import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import pytest

from pgolf.audit.folder import audit_folder
from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
TOKENS, BYTES = 62_021_632, 151_080_000
BPB = {1337: 1.12213517, 42: 1.12271903, 7: 1.12340218}
MEAN = round(sum(BPB.values()) / 3, 8)
MODEL, CODE = 15_830_000, 50_000


def loss_of(bpb: float, tokens: int = TOKENS, text: float = BYTES) -> float:
    """Return nats per token from bits per byte."""
    return bpb * log(2) * text / tokens


def log_text(seed: int, bpb: float, **changes: Any) -> str:
    """Return a log in the baseline's dialect."""
    facts: dict[str, Any] = {
        "tokens": TOKENS,
        "text": BYTES,
        "train": 600_038,
        "eval": "432.1",
        "world": 8,
        "total": MODEL + CODE,
        "model": MODEL,
    }
    facts |= changes
    loss = loss_of(bpb, facts.get("true_tokens", facts["tokens"]), facts["text"]) * facts.get("loss_unit", 1)
    return "\n".join(
        [
            facts.get("before", ""),
            f"val_loader:shards pattern=data/fineweb_val_*.bin tokens:{facts['tokens']}",
            f"world_size:{facts['world']} grad_accum_steps:1",
            f"seed:{seed}",
            f"step:1000/20000 train_loss:{2.3 + seed / 1e5:.4f} train_time:43500ms step_avg:43.50ms",
            f"step:2000/20000 train_loss:{2.2 + seed / 1e5:.4f} train_time:87000ms step_avg:43.50ms",
            f"step:13780/20000 val_loss:{loss:.4f} val_bpb:{bpb:.4f} train_time:{facts['train']}ms step_avg:43.5ms",
            f"stopping_early: wallclock_cap train_time:{facts['train']}ms step:13780/20000",
            f"Serialized model int8+zlib: {facts['model']} bytes (payload:17178912 raw_torch:17224025)",
            f"Code size: {CODE} bytes",
            f"Total submission size int8+zlib: {facts['total']} bytes",
            f"final_int8_zlib_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}",
            f"total_eval_time:{facts['eval']}s",
            facts.get("after", ""),
        ]
    )


@dataclass
class Sample:
    """A folder on the 10-minute track, to be changed and then written."""

    files: dict[str, str | bytes] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    track: str = "track_10min_16mb"

    def keep(self) -> None:
        """Change nothing."""

    def write(self, root: Path) -> Path:
        folder = root / self.track / "2026-04-01_Sample"
        if self.claims:
            self.files.setdefault("submission.json", json.dumps(self.claims, indent=2))
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder


def sample(**changes: Any) -> Sample:
    """Return an accepted folder of three seeds; the changes are those of each log."""
    logs: dict[str, str | bytes] = {
        f"train_seed{seed}.log": log_text(seed, bpb, **changes) for seed, bpb in BPB.items()
    }
    results = {str(seed): {"val_bpb": bpb} for seed, bpb in BPB.items()}
    claims = {"track": "10min_16mb", "val_bpb": MEAN, "seeds": list(BPB), "seed_results": results}
    claims |= {"bytes_total": MODEL + CODE, "author": "a"}
    return Sample({**logs, "README.md": "# Sample\n", "train_gpt.py": "#" * CODE}, claims)


def failures(folder: Path) -> list[str]:
    return sorted(each.rule for each in audit_folder(folder, RULES, is_code_read=False) if each.severity == "fail")


def move(each: Sample, old: str, new: str) -> None:
    each.files[new] = each.files.pop(old)


def move_logs(each: Sample, pattern: str) -> None:
    for seed in BPB:
        move(each, f"train_seed{seed}.log", pattern.format(seed))


def wrapped(each: Sample) -> None:
    """Count the code unwrapped in the logs, so that their totals are over the limit, and ship it compressed."""
    each.files.pop("train_gpt.py")
    each.files["train_golf.py"] = b"exec(" + repr(lzma.compress(b"#" * 300_000)).encode() + b")"
    for seed, bpb in BPB.items():
        each.files[f"train_seed{seed}.log"] = log_text(seed, bpb, total=MODEL + 300_000).replace(
            f"Code size: {CODE}", "Code size: 300000"
        )


def zip_logs(each: Sample) -> None:
    for seed in BPB:
        name = f"train_seed{seed}.log"
        text = each.files.pop(name)
        assert isinstance(text, str)
        each.files[f"logs/{name}.gz"] = gzip.compress(text.encode())


def join_logs(each: Sample) -> None:
    texts = [str(each.files.pop(f"train_seed{seed}.log")) for seed in BPB]
    each.files["train.log"] = "\n".join(texts)


def drop_logs(each: Sample, kept: int) -> None:
    for seed in list(BPB)[kept:]:
        each.files.pop(f"train_seed{seed}.log")


def keep_legacy_claims(each: Sample) -> None:
    """Leave one log and the oldest form of submission.json, which has the canonical seed's score."""
    drop_logs(each, 1)
    each.claims = {"author": "a", "val_bpb": BPB[1337], "bytes_total": MODEL + CODE, "seed": 1337}
    each.files["README.md"] = "# Sample\n\nSeeds 1337, 42 and 7 were run.\n"


def score_otherwise(each: Sample) -> None:
    """Print the claimed scores in a form that no dialect has."""
    for seed, bpb in BPB.items():
        each.files[f"train_seed{seed}.log"] = log_text(seed, bpb + 0.01, after=f"[result] <{bpb}>")


def claim_milliseconds(each: Sample) -> None:
    for result in each.claims["seed_results"].values():
        result["eval_time_s"] = 432_100


def print_size_otherwise(each: Sample) -> None:
    """Print the total of another stage in a known form, and the submitted one in a form that no dialect has."""
    for seed, bpb in BPB.items():
        after = f"[pack] {MODEL + CODE - 7:,}" if seed == 7 else f"[pack] {MODEL + CODE}"
        each.files[f"train_seed{seed}.log"] = log_text(seed, bpb, total=17_300_000, model=17_250_000, after=after)


def print_model_otherwise(each: Sample) -> None:
    for seed, bpb in BPB.items():
        text = log_text(seed, bpb, total=17_300_000, model=17_250_000, after=f"<{MODEL}> packed again")
        each.files[f"train_seed{seed}.log"] = text


def best_without_record(each: Sample) -> None:
    each.track, each.claims["track"] = "track_non_record_16mb", "non-record-16mb"
    each.claims["val_bpb"] = BPB[1337]


def train_for_hours(each: Sample) -> None:
    each.track, each.claims["track"] = "track_non_record_16mb", "non-record-16mb"
    drop_logs(each, 0)
    each.files["train.log"] = log_text(1337, BPB[1337], train=14_400_210, eval="1900.5", world=1, before="NVIDIA A100")
    each.claims |= {"val_bpb": BPB[1337], "seeds": [1337], "seed_results": {"1337": {"val_bpb": BPB[1337]}}}


def state_best_and_mean(each: Sample) -> None:
    each.claims |= {"val_bpb": BPB[1337], "mean_val_bpb": MEAN}


def name_mean_in_readme(each: Sample) -> None:
    each.claims["val_bpb"] = BPB[1337]
    each.files["README.md"] = f"# Sample\n\nOver three seeds we see {MEAN:.5f} on average.\n"


def state_mean_of_more_seeds(each: Sample) -> None:
    """Claim the best seed in submission.json and the mean in the README, and leave out a log."""
    drop_logs(each, 2)
    each.claims = {"track": "10min_16mb", "val_bpb": BPB[1337]}
    each.files["README.md"] = f"# Sample: val_bpb {MEAN:.5f} (three seeds)\n"


def claim_mean_only(each: Sample) -> None:
    """Claim the mean of scores that the logs print in a form that no dialect has."""
    score_otherwise(each)
    del each.claims["seed_results"]


ACCEPTED: dict[str, Callable[[Sample], object]] = {
    "as usual": Sample.keep,
    "wrapped script of another name": wrapped,
    "script in a folder": lambda each: move(each, "train_gpt.py", "code/train_gpt.py"),
    "notebook": lambda each: move(each, "train_gpt.py", "train.ipynb"),
    "several scripts": lambda each: each.files.update({"eval.py": "x", "train_v2.py": "y"}),
    "no script": lambda each: each.files.pop("train_gpt.py"),
    "README in lower case": lambda each: move(each, "README.md", "readme.md"),
    "no README": lambda each: each.files.pop("README.md"),
    "claims of another name": lambda each: each.files.update({"metadata.json": '{"val_bpb": 1.1}', "a": ""}),
    "no claims": lambda each: each.claims.clear(),
    "requirements": lambda each: each.files.update({"requirements.txt": "numpy\n"}),
    "logs in a folder": lambda each: move_logs(each, "logs/seed{}.txt"),
    "packed logs": zip_logs,
    "one log of three runs": join_logs,
    "one log": lambda each: drop_logs(each, 1),
    "no log": lambda each: drop_logs(each, 0),
    "the oldest form": keep_legacy_claims,
    "scores in an unknown form": score_otherwise,
    "mean of scores in an unknown form": claim_mean_only,
    "evaluation claimed in milliseconds": claim_milliseconds,
    "size in an unknown form": print_size_otherwise,
    "model in an unknown form": print_model_otherwise,
    "best beside the mean of more seeds": state_mean_of_more_seeds,
    "best and mean": state_best_and_mean,
    "mean in the README": name_mean_in_readme,
    "best run without a record": best_without_record,
    "four hours on another GPU without a record": train_for_hours,
}
ACCEPTED_LOGS: dict[str, dict[str, Any]] = {
    "stopped after the last step": {"train": 600_365},
    "a second evaluation on one process": {"after": "world_size:1"},
    "another GPU mentioned": {"before": "compile cache of A100 ignored"},
    "the oldest export": {"tokens": 63_779_840, "text": 155_770_000},
    "tokens of one process": {"tokens": TOKENS // 8, "true_tokens": TOKENS},
    "loss in bits": {"loss_unit": 1 / log(2)},
    "loss for each byte": {"loss_unit": TOKENS / BYTES},
    "a vocabulary of 50,000": {"tokens": 34_000_000},
}
BROKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "over the limit": ({"total": 16_800_000, "model": 16_750_000}, ["SIZE-CAP"]),
    "over by one byte": ({"total": 16_000_001, "model": 15_950_001}, ["SIZE-CAP"]),
    "too long a training": ({"train": 700_012}, ["TRAIN-600"]),
    "late by more than a step": ({"train": 601_153}, ["TRAIN-600"]),
    "too long an evaluation": ({"eval": "688.4"}, ["EVAL-600"]),
    "one GPU": ({"world": 1}, ["HARDWARE"]),
    "a tenth of the text": ({"tokens": 6_202_163, "text": 15_108_000}, ["VAL-IS-CANONICAL"]),
    "spaces counted twice": ({"text": BYTES * 1.1746}, ["BPB-IDENTITY", "SPACE-ONCE"]),
}


@pytest.mark.parametrize("form", ACCEPTED)
def test_no_form_of_an_accepted_folder_fails(form: str, tmp_path: Path) -> None:
    each = sample()
    ACCEPTED[form](each)
    assert failures(each.write(tmp_path)) == []


@pytest.mark.parametrize("form", ACCEPTED_LOGS)
def test_no_number_of_an_accepted_log_fails(form: str, tmp_path: Path) -> None:
    each = sample(**ACCEPTED_LOGS[form])
    each.claims["hardware"] = "8xH100 80GB SXM"
    assert failures(each.write(tmp_path)) == []


@pytest.mark.parametrize("form", BROKEN)
def test_one_broken_limit_fails_its_rule(form: str, tmp_path: Path) -> None:
    changes, rules = BROKEN[form]
    assert failures(sample(**changes).write(tmp_path)) == rules


def test_the_best_seed_as_headline_fails_and_the_mean_is_the_report_s(tmp_path: Path) -> None:
    each = sample()
    each.claims["val_bpb"] = BPB[1337]
    folder = each.write(tmp_path)
    assert failures(folder) == ["MEAN-NOT-BEST"]
    spread = record_groups(folder, RULES)[0].spread
    (found,) = [v for v in audit_folder(folder, RULES, is_code_read=False) if v.rule == "MEAN-NOT-BEST"]
    assert spread is not None and f"{spread.mean:.8f}" in found.message and f"{MEAN:.8f}" in found.message


def test_a_headline_that_is_no_mean_of_the_author_s_own_scores_fails(tmp_path: Path) -> None:
    each = sample()
    each.claims["val_bpb"] = MEAN - 0.003
    assert failures(each.write(tmp_path)) == ["MEAN-NOT-BEST"]


def test_a_claim_that_a_log_prints_elsewhere_is_a_warning_that_says_so(tmp_path: Path) -> None:
    each = sample()
    score_otherwise(each)
    (found,) = [v for v in audit_folder(each.write(tmp_path), RULES, is_code_read=False) if v.rule == "LOG-COMPLETE"]
    assert found.severity == "warn" and "they print it elsewhere" in found.message


def test_a_claimed_score_that_no_log_prints_fails(tmp_path: Path) -> None:
    each = sample()
    each.claims["seed_results"]["7"]["val_bpb"] = 1.12140218
    assert failures(each.write(tmp_path)) == ["LOG-COMPLETE"]


@pytest.mark.parametrize(("seeds", "rules"), [([42, 7], ["THREE-SEEDS-ONE-CONFIG"]), ([1337, 42, 7], [])])
def test_fewer_claimed_scores_than_three_fail(seeds: list[int], rules: list[str], tmp_path: Path) -> None:
    each = sample()
    each.claims |= {"seeds": seeds, "seed_results": {str(seed): {"val_bpb": BPB[seed]} for seed in seeds}}
    each.claims["val_bpb"] = round(sum(BPB[seed] for seed in seeds) / len(seeds), 8)
    for seed in set(BPB) - set(seeds):
        each.files.pop(f"train_seed{seed}.log")
    assert failures(each.write(tmp_path)) == rules
