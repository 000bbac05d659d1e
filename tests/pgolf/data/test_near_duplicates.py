"""Near duplicates, compared with the Jaccard similarity of all pairs."""

import os
import random
import subprocess
import sys
from itertools import pairwise

import pytest

from pgolf.data.near_duplicates import THRESHOLD, near_duplicates

VOCABULARY = [f"word{number}" for number in range(5000)]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}


def jaccard(one: str, other: str) -> float:
    """Divide what is in both sets by what is in either."""
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def by_comparing(train: list[str], validation: list[str]) -> list[int]:
    return [
        position
        for position, text in enumerate(train)
        if any(jaccard(text, other) >= THRESHOLD for other in validation)
    ]


def texts(number: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(VOCABULARY, k=chance.randint(1, 300))) for _ in range(number)]


def edited(text: str, share: float, chance: random.Random) -> str:
    """Return a text with a share of its words replaced, and another case and other white space."""
    words = [chance.choice(VOCABULARY) if chance.random() < share else word for word in text.split()]
    return chance.choice([" ", "\n", "  "]).join(word.upper() if chance.random() < 0.2 else word for word in words)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_minhash_finds_the_pairs_that_comparing_all_finds(seed: int) -> None:
    chance = random.Random(seed)
    validation = texts(60, seed)
    train = texts(60, seed + 100)
    train += [edited(text, chance.choice([0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3]), chance) for text in validation * 3]
    chance.shuffle(train)
    expected = by_comparing(train, validation)
    similarities = [max(jaccard(text, other) for other in validation) for text in train]
    assert sum(THRESHOLD - 0.1 < similarity < THRESHOLD + 0.1 for similarity in similarities) > 10
    assert 60 < len(expected) < 150
    assert near_duplicates(train, validation) == expected


@pytest.mark.parametrize(
    ("train", "validation", "is_near"),
    [
        ("a b c", "A  B\nc", True),
        ("a b c", "a b d", False),
        ("a", "b", False),
        (" ", "\n", True),
        (" ".join(VOCABULARY[:100]), " ".join(VOCABULARY[:40]), False),
    ],
    ids=["short", "short, different", "one word", "white space", "a part of it"],
)
def test_texts_at_the_edges(train: str, validation: str, is_near: bool) -> None:
    assert near_duplicates([train], [validation]) == [0] * is_near


def test_equal_documents_within_a_split_are_kept() -> None:
    one, other = texts(2, seed=4)
    assert near_duplicates([one, one], [other, other]) == []


def test_the_answer_does_not_depend_on_the_seed_of_pythons_hashes() -> None:
    program = (
        "from tests.pgolf.data.test_near_duplicates import *; chance = random.Random(5); v = texts(50, 5); "
        "print(near_duplicates([edited(text, 0.05, chance) for text in v], v))"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    ]
    assert "," in answers[0]
    assert all(one == other for one, other in pairwise(answers))
