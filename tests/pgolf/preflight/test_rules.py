"""Each rule of preflight at its thresholds."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pgolf.data.manifests import Manifest, Split, TokenizerEntry
from pgolf.findings import Finding, failures
from pgolf.preflight import rules
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.duration import DurationEstimate
from pgolf.preflight.memory import training_memory_bytes
from pgolf.rulesets.ruleset import Limits, load_ruleset
from pgolf.specs.loading import load_spec
from pgolf.specs.parts import Launch
from trainer.recipe.cgroups import Memory
from trainer.recipe.recipe import Recipe

RULES = load_ruleset("parameter_golf")
LIMIT = 16_000_000


# Fixed values for the numbers below, so that they do not depend on how quickstart is tuned.
PINNED = ("recipe.budget.train=600", "recipe.schedule.batch_tokens=2048")


def recipe_of(*assignments: str) -> Recipe:
    return load_spec("quickstart", [], [*PINNED, *assignments]).spec.recipe


def manifest_of(name: str = "mine", train: int = 1_000_000, validation: int = 1000, lossless: bool = True) -> Manifest:
    def split(tokens: int) -> Split:
        return Split(documents=1, tokens=tokens, bytes=tokens, shards=[])

    tokenizer = TokenizerEntry(vocabulary_size=1024, sha256="0" * 64, lossless=lossless)
    return Manifest(name=name, tokenizer=tokenizer, train=split(train), validation=split(validation))


def test_the_limits_are_those_of_the_contest() -> None:
    assert RULES.limits == Limits(bytes=LIMIT, train_seconds=600, evaluate_seconds=600)
    assert RULES.label == "parameter_golf-1"


@pytest.mark.parametrize(
    ("low", "estimate", "high", "code", "severity"),
    [
        (14_000_000, 15_000_000, 15_900_000, 100_000, "pass"),
        (14_000_000, 15_000_000, 15_900_000, 100_001, "warn"),
        (14_000_000, 15_900_000, 15_950_000, 100_001, "warn"),
        (15_800_000, 15_900_000, 15_950_000, 200_000, "warn"),
        (15_800_000, 15_900_000, 15_950_000, 200_001, "fail"),
        (19_000_000, 20_000_000, 21_000_000, 0, "fail"),
    ],
)
def test_code_and_model_together_must_fit(low: int, estimate: int, high: int, code: int, severity: str) -> None:
    found = rules.artifact_size(ByteEstimate(estimate, low, high, "by hand"), code, LIMIT)
    assert (found.severity, found.rule) == (severity, "artifact_size")
    assert f"{estimate + code:,}" in found.message
    assert (found.fix is None) == (severity == "pass")


@pytest.mark.parametrize(
    ("train_tokens", "severity", "count"), [(2048 * 600, "pass", 1.0), (122_880, "pass", 10.0), (122_879, "warn", 10.0)]
)
def test_more_than_ten_epochs_are_a_warning(train_tokens: int, severity: str, count: float) -> None:
    found, finding = rules.epochs(recipe_of(), manifest_of(train=train_tokens))
    assert finding.severity == severity
    assert found == pytest.approx(count, rel=1e-4)


SECONDS = ("recipe.budget.clock=seconds", "recipe.schedule.clock=seconds")


def test_epochs_are_unknown_if_the_budget_is_in_seconds() -> None:
    count, finding = rules.epochs(recipe_of(*SECONDS), manifest_of())
    assert (count, finding.severity) == (None, "pass")


@pytest.mark.parametrize(("seconds", "severity"), [(599, "pass"), (600, "pass"), (600.5, "fail")])
def test_a_budget_in_seconds_must_be_within_the_rules(seconds: float, severity: str) -> None:
    found = rules.training_clock(recipe_of(*SECONDS, f"recipe.budget.train={seconds}"), RULES)
    assert found.severity == severity
    if severity == "fail":
        assert found.fix == "--set recipe.budget.train=600"


def test_a_budget_in_tokens_reports_the_required_speed() -> None:
    tokens = ("recipe.budget.clock=tokens", "recipe.schedule.clock=tokens", "recipe.budget.train=2048000")
    found = rules.training_clock(recipe_of(*tokens), RULES)
    assert found.message == "fits into 600 s on 8xH100 SXM at 3,413 tokens/s or more"


@pytest.mark.parametrize(
    ("seconds", "gpu", "severity"),
    [(None, "H100:8", "pass"), (600, "H100:8", "pass"), (601, "H100:8", "fail"), (601, "H100:1", "warn")],
)
def test_slow_evaluation_fails_only_on_the_contests_hardware(seconds: float | None, gpu: str, severity: str) -> None:
    launch = Launch(gpu=gpu)
    assert rules.evaluation_clock(DurationEstimate(1, seconds, "x"), RULES, launch).severity == severity


@pytest.mark.parametrize(
    ("steps", "warmup", "severity"),
    [(0, 0, "warn"), (600, 600, "pass"), (599, 600, "warn"), (100, 600, "pass"), (101, 600, "warn")],
)
def test_the_momentum_warmup_must_fit_into_the_run(steps: int, warmup: int, severity: str) -> None:
    recipe = recipe_of(f"recipe.budget.train={steps}", f"recipe.optimizer.momentum.warmup_steps={warmup}")
    found = rules.schedule_fits(recipe)
    assert found.severity == severity
    if steps == 599:
        assert found.fix == "--set recipe.optimizer.momentum.warmup_steps=149"


def test_published_data_must_have_the_published_token_count() -> None:
    _, tokens = RULES.data["fineweb10B_sp1024"].validation_tokens
    assert tokens == 62_021_845
    found = [
        rules.canonical_data(manifest_of(name, validation=count), RULES).severity
        for name, count in (("fineweb10B_sp1024", tokens), ("fineweb10B_sp1024", tokens + 1), ("mine", tokens))
    ]
    assert found == ["pass", "fail", "warn"]


def test_a_lossy_tokenizer_is_a_warning() -> None:
    assert rules.lossless_tokenizer(manifest_of()).severity == "pass"
    assert rules.lossless_tokenizer(manifest_of(lossless=False)).severity == "warn"


def test_missing_data_fails_with_the_reason_and_the_fix() -> None:
    found = rules.data_present(None, "data/x is not there")
    assert (found.severity, found.message) == ("fail", "data/x is not there")
    assert "pgolf data prepare" in str(found.fix)
    assert rules.data_present(manifest_of(), None).severity == "pass"


def test_memory_is_compared_with_free_memory() -> None:
    needed = training_memory_bytes(recipe_of())
    free = [None if size is None else Memory(needed, size, needed) for size in (needed, needed - 1, None)]
    assert [rules.memory(recipe_of(), memory).severity for memory in free] == ["pass", "warn", "pass"]
    found = rules.memory(recipe_of(), Memory(needed, needed - 1, 99 * needed))
    assert f"GB are free of the {needed / 1e9:.1f} GB that the container allows" in found.message


def gigabytes_of(finding: Finding) -> float:
    (number,) = re.findall(r"needs about ([\d.]+) GB", finding.message)
    return float(number)


def test_compiled_gpu_training_needs_as_much_memory_as_public_scripts() -> None:
    recipe = load_spec("pr549_leaky_ttt").spec.recipe
    found = rules.gpu_memory(recipe, "H100:8")
    assert found.severity == "pass"
    gigabytes = gigabytes_of(found)
    assert gigabytes * 1e9 == pytest.approx(21_471 * 2**20, rel=0.12)  # its log: 21471 MiB allocated
    wide = replace(recipe, compute=replace(recipe.compute, compile="never"))
    assert gigabytes_of(rules.gpu_memory(wide, "H100:8")) > 2 * gigabytes


def test_a_full_disk_fails_even_before_the_runs_folder_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "not" / "yet"
    assert rules.disk(recipe_of(), manifest_of(), runs).severity == "pass"
    monkeypatch.setattr("pgolf.preflight.rules.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000_000}))
    assert rules.disk(recipe_of(), manifest_of(), runs).severity == "fail"


@pytest.mark.parametrize(
    ("usd", "cap", "severity"),
    [(0.0, None, "pass"), (5.0, 5.0, "pass"), (5.01, 5.0, "fail"), (None, None, "warn"), (None, 5.0, "fail")],
)
def test_the_cost_must_be_within_the_spending_cap(usd: float | None, cap: float | None, severity: str) -> None:
    assert rules.spend(usd, cap, has_price=usd is not None).severity == severity


def test_failures_are_the_findings_of_severity_fail() -> None:
    findings = [Finding("pass", "a", ""), Finding("fail", "b", ""), Finding("warn", "c", "")]
    assert [finding.rule for finding in failures(findings)] == ["b"]


GPTQ = "recipe.quantizer={kind: gptq, bits: {default: 6}, clip: {kind: deviations, k: {default: 9}}, calibration: "
SECONDS = ("recipe.budget={clock: seconds, train: 590}", "recipe.schedule.clock=seconds")


@pytest.mark.parametrize(
    ("assignments", "severity", "pattern"),
    [
        ((), "pass", "no training text is read after"),
        ((GPTQ + "{kind: generated}}", *SECONDS), "pass", "no training text is read after"),
        ((GPTQ + "{kind: training}}",), "pass", "leave time for it within the 600 s"),
        ((GPTQ + "{kind: training}}", *SECONDS), "warn", "no time is reserved"),
        (
            (GPTQ + "{kind: training}}", *SECONDS, "recipe.budget.reserve_seconds=10"),
            "pass",
            "count that time as training",
        ),
        (("recipe.averaging={kind: candidates, ema_decay: 0.9}", *SECONDS), "warn", "no time is reserved"),
    ],
)
def test_reading_training_text_after_the_last_step_needs_reserved_time(
    assignments: tuple[str, ...], severity: str, pattern: str
) -> None:
    found = rules.calibration_clock(recipe_of(*assignments), RULES)
    assert found.severity == severity
    assert re.search(pattern, found.message)
    assert (found.fix is None) == (severity == "pass")
