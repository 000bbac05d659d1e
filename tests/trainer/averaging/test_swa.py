"""SwaAverage, CandidateAverages, and the choice of the exported candidate."""

import torch

from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.averaging.candidates import CandidateAverages
from trainer.averaging.choice import choose_candidate
from trainer.averaging.ema import EmaAverage
from trainer.averaging.last import LastWeights
from trainer.averaging.swa import SwaAverage
from trainer.recipe.averaging import Candidates


def test_swa_is_the_mean_of_every_third_step_below_a_learning_rate() -> None:
    weight = torch.zeros(2, dtype=torch.float64)
    average = SwaAverage({"w": weight}, every_steps=3, below_lr=0.5)
    taken = []
    for step in range(20):
        multiplier = 1.0 - step / 20
        weight.copy_(torch.randn(2, dtype=torch.float64))
        average.update(step, multiplier)
        if multiplier < 0.5 and (step + 1) % 3 == 0:
            taken.append(weight.clone())
    assert len(taken) == 3
    torch.testing.assert_close(average.candidates()["swa"]["w"], torch.stack(taken).mean(dim=0))


def test_swa_gives_the_last_weights_before_its_first_step() -> None:
    weight = torch.ones(2)
    average = SwaAverage({"w": weight}, every_steps=3, below_lr=0.5)
    average.update(2, 1.0)
    weight.fill_(4.0)
    assert average.candidates()["swa"]["w"].tolist() == [4.0, 4.0]


def test_each_candidate_equals_the_average_computed_alone() -> None:
    weight = torch.zeros(2, dtype=torch.float64)
    recipe = Candidates(kind="candidates", ema_decay=0.8, swa_every_steps=2, swa_below_lr=0.9)
    several = CandidateAverages({"w": weight}, recipe)
    alone = EmaAverage({"w": weight}, 0.8, from_initial=False), SwaAverage({"w": weight}, 2, 0.9)
    for step in range(9):
        weight.copy_(torch.randn(2, dtype=torch.float64))
        for average in (several, *alone):
            average.update(step, 1.0 - step / 10)
    found = several.candidates()
    assert list(found) == ["last", "ema", "swa"]
    assert torch.equal(found["last"]["w"], weight)
    for average in alone:
        for name, weights in average.candidates().items():
            assert torch.equal(found[name]["w"], weights["w"])


def test_the_candidate_with_the_least_training_loss_is_exported() -> None:
    recipe = small_recipe()
    good, bad = awake_model(recipe, seed=1), awake_model(recipe, seed=2)
    text = [random_tokens(1, 17, seed=seed) for seed in range(4)]
    with torch.no_grad():  # text that the good model finds likely
        for tokens in text:
            for position in range(1, 17):
                tokens[0, position] = good(tokens[:, :position], last=1).argmax()
    model = awake_model(recipe, seed=3)
    candidates = {"bad": dict(bad.named_parameters()), "good": dict(good.named_parameters())}
    ranked = choose_candidate(model, candidates, text)
    assert list(ranked) == ["good", "bad"]
    assert ranked["good"] < ranked["bad"]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), good.parameters(), strict=True))


def test_loading_other_candidates_does_not_change_the_last_weights() -> None:
    recipe = small_recipe()
    model, other = awake_model(recipe, seed=1), awake_model(recipe, seed=2)
    text = [random_tokens(1, 17, seed=seed) for seed in range(4)]
    with torch.no_grad():
        for tokens in text:
            for position in range(1, 17):
                tokens[0, position] = model(tokens[:, :position], last=1).argmax()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    own = LastWeights(dict(model.named_parameters())).candidates()  # the tensors that other candidates are loaded into
    ranked = choose_candidate(model, own | {"swa": dict(other.named_parameters())}, text)
    assert next(iter(ranked)) == "last"
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_a_single_candidate_is_not_measured() -> None:
    recipe = small_recipe()
    model, other = awake_model(recipe), awake_model(recipe, seed=1)
    assert choose_candidate(model, {"ema": dict(other.named_parameters())}, []) == {"ema": 0.0}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
