"""Probes of scoring protocols: a valid one passes, and each violation fails the probe made for it."""

from pathlib import Path

import numpy as np
import pytest

from pgolf.audit.probes import adapter_answerer, make_questions, run_probes
from pgolf.audit.verdicts import Verdict
from pgolf.errors import UsageError
from tests.pgolf.audit import adapters

BEGIN = 1


def stream() -> np.ndarray:
    tokens = np.random.default_rng(5).integers(2, 384, 200).astype(np.uint16)
    tokens[[0, 60, 140]] = BEGIN
    return tokens


def verdicts(text: str, folder: Path) -> dict[str, Verdict]:
    adapter = folder / "adapter.py"
    adapter.write_text(text)
    return {
        found.rule: found
        for found in run_probes(make_questions(stream(), BEGIN, [64]), adapter_answerer(adapter)).verdicts
    }


def test_a_valid_protocol_passes_every_probe(tmp_path: Path) -> None:
    found = verdicts(adapters.VALID, tmp_path)
    assert {verdict.severity for verdict in found.values()} == {"pass"}
    assert set(found) == {"C1-CAUSAL", "C1-SELF", "C2-NORMALISED", "C3-SCORE-FIRST", "C4-SINGLE-PASS"}
    assert {verdict.basis for verdict in found.values()} == {"executed"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (adapters.PEEKING, "C1-CAUSAL"),
        (adapters.NEXT_TOKEN, "C1-CAUSAL"),
        (adapters.TARGET_KEY, "C2-NORMALISED"),
        (adapters.SLOT, "C1-SELF"),
        (adapters.MIN_OF_TWO, "C2-NORMALISED"),
    ],
    ids=["peeking", "next token", "target key", "slot", "the better of two"],
)
def test_each_violation_fails_its_probe(text: str, rule: str, tmp_path: Path) -> None:
    assert verdicts(text, tmp_path)[rule].severity == "fail"


def test_a_target_flip_finds_what_changing_the_future_does_not(tmp_path: Path) -> None:
    found = verdicts(adapters.SLOT, tmp_path)
    assert found["C1-CAUSAL"].severity == "pass"
    assert found["C1-SELF"].severity == "fail"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (adapters.NOISY, "scored twice differs"),
        (adapters.SHORT, "expected one for every token but the first"),
        (adapters.RAISING, "no GPU here"),
        (adapters.ONLINE, "Network is unreachable"),
        ("def score(tokens): ...", "no function distributions"),
        ("import sys; sys.exit(3)", "exit code 3"),
    ],
    ids=["noisy", "short", "raising", "online", "half an adapter", "leaving"],
)
def test_an_adapter_that_cannot_be_probed_is_unknown_with_the_reason(text: str, words: str, tmp_path: Path) -> None:
    found = verdicts(text, tmp_path)
    assert {verdict.severity for verdict in found.values()} == {"unknown"}
    assert words in found["C1-CAUSAL"].message


def test_questions_keep_document_boundaries() -> None:
    tokens = stream()
    questions = make_questions(tokens, BEGIN, [64, 128])
    for row in questions.streams:
        assert np.flatnonzero(row == BEGIN).tolist() == [0, 60, 140]
    for number, cut in enumerate(questions.cuts, start=2):
        assert (questions.streams[number][:cut] == tokens[:cut]).all()
        assert (questions.streams[number][cut:] != tokens[cut:]).mean() > 0.9
    for number, place in enumerate(questions.flips, start=2 + len(questions.cuts)):
        assert np.flatnonzero(questions.streams[number] != tokens).tolist() == [place]
    assert {63, 64, 65, 127, 128, 129} <= set(questions.cuts)


def test_a_missing_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such adapter"):
        adapter_answerer(tmp_path / "nothing.py")
