"""Every schedule against its formula or torch's own; warm-up, resume, growth, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from seefit.errors import UsageError
from seefit.training.schedule import SCHEDULES, Schedule, growth_note, make_schedule

PER_EPOCH = 10


def made(name: str, epochs: int = 12, **options: Any) -> Schedule:
    return make_schedule(name, steps_per_epoch=PER_EPOCH, epochs=epochs, **({"rate": 0.1} | options))


def factors(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.factor(step) for step in range(steps)]


def optimiser() -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def rates(of: torch.optim.Optimizer, schedule: Any, steps: int) -> list[float]:
    """Return the rates that one of torch's schedulers gives, step by step."""
    found = []
    for _ in range(steps):
        found.append(float(of.param_groups[0]["lr"]))
        of.step()
        schedule.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_lie_in_0_to_1_and_stay_finite_beyond_the_plan(name: str) -> None:
    for warmup in (0, 1.5):
        found = factors(made(name, warmup=warmup), 200)
        assert all(0 <= factor <= 1 + 1e-12 for factor in found)
        assert max(found) > 0.9


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "plateau"])
def test_factors_are_pure_functions_of_the_step(name: str) -> None:
    schedule, again = made(name), made(name)
    expected = factors(schedule, 120)
    schedule.observe(1.0)
    schedule.observe(1.0)
    assert factors(schedule, 120) == expected
    assert [again.factor(step) for step in reversed(range(120))] == expected[::-1]
    assert schedule.state() == {}


def test_constant() -> None:
    assert set(factors(made("constant"), 300)) == {1.0}


def test_step_is_k_to_the_floor_of_epoch_over_p() -> None:
    schedule = made("step", drop=0.3, every=4)
    expected = rates(one := optimiser(), torch.optim.lr_scheduler.StepLR(one, 40, 0.3), 120)
    assert factors(schedule, 120) == pytest.approx(expected)
    assert [made("step").factor(epoch * PER_EPOCH) for epoch in (0, 9, 10, 19, 20)] == [1, 1, 0.5, 0.5, 0.25]


def test_time_takes_its_decay_from_rate_and_epochs() -> None:
    schedule = make_schedule("time", steps_per_epoch=PER_EPOCH, epochs=50, rate=0.1)
    assert [schedule.factor(step) for step in (0, 500, 1000)] == pytest.approx([1, 1 / 2, 1 / 3])  # decay = 0.1 / 50
    assert made("time", decay=0.5).factor(4) == pytest.approx(1 / 3)
    assert (made("time").stretches, made("time", decay=0.5).stretches) == (True, False)


def test_time_without_rate_or_decay_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        make_schedule("time", steps_per_epoch=PER_EPOCH, epochs=50)
    assert caught.value.message == (
        "Cannot plan the learning rate: decay. Expected a number, or the rate to take it from (rate / epochs), got neither."
    )


def test_exponential() -> None:
    schedule = made("exponential", decay=0.2)
    per_step = torch.optim.lr_scheduler.ExponentialLR(one := optimiser(), math.exp(-0.2 / PER_EPOCH))
    assert factors(schedule, 120) == pytest.approx(rates(one, per_step, 120))
    assert made("exponential").factor(3 * PER_EPOCH) == pytest.approx(math.exp(-0.3))


def test_cosine() -> None:
    expected = rates(one := optimiser(), torch.optim.lr_scheduler.CosineAnnealingLR(one, 120), 120)
    schedule = made("cosine")
    assert factors(schedule, 120) == pytest.approx(expected, abs=1e-9)
    assert [schedule.factor(step) for step in (0, 60, 120, 500)] == pytest.approx([1, 0.5, 0, 0])


def test_cyclical_is_torchs_triangle() -> None:
    schedule = made("cyclical", low=0.1, half=1.5)
    triangle = torch.optim.lr_scheduler.CyclicLR(one := optimiser(), 0.1, 1.0, step_size_up=15, cycle_momentum=False)
    assert factors(schedule, 120) == pytest.approx(rates(one, triangle, 120))
    assert [made("cyclical").factor(step) for step in (0, 10, 20, 40, 60)] == pytest.approx([0.25, 0.625, 1, 0.25, 1])


def test_one_cycle_rises_from_a_25th_and_falls_from_the_maximum_to_0() -> None:
    schedule = make_schedule("one-cycle", steps_per_epoch=100, epochs=10)
    middle = (1 + 1 / 25) / 2
    assert [schedule.factor(step) for step in (0, 150, 300, 650, 1000, 2000)] == pytest.approx([1 / 25, middle, 1, 0.5, 0, 0])
    found = factors(schedule, 1000)
    assert found[:301] == sorted(found[:301]) and found[300:] == sorted(found[300:], reverse=True)
    assert made("one-cycle", rise=0.5).factor(60) == 1


@pytest.mark.parametrize("patience", [1, 3])
def test_plateau_is_torchs(patience: int) -> None:
    losses = [1.0, 0.9, 0.9, 0.95, 0.89, 0.8899999, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    schedule = made("plateau", drop=0.5, patience=patience)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(one := optimiser(), factor=0.5, patience=patience - 1)
    for loss in losses:
        schedule.observe(loss)
        torchs.step(loss)
        assert schedule.factor(0) == one.param_groups[0]["lr"]
    assert schedule.factor(0) < 1


@pytest.mark.parametrize("warmup", [0, 1])
def test_plateau_goes_on_from_its_state(warmup: float) -> None:
    losses = [1.0, 1.1, 1.2, 0.9, 1.0, 1.0, 1.0]
    unbroken = made("plateau", warmup=warmup)
    for cut in range(len(losses)):
        first, second = made("plateau", warmup=warmup), made("plateau", warmup=warmup)
        for loss in losses[:cut]:
            first.observe(loss)
        second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
        for loss in losses[cut:]:
            second.observe(loss)
        if cut == 0:
            for loss in losses:
                unbroken.observe(loss)
        assert second.state() == unbroken.state()
        assert second.factor(50) == unbroken.factor(50) == pytest.approx(0.01)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_in_equal_steps_then_the_schedule_fills_the_rest(name: str) -> None:
    schedule = made(name, epochs=12, warmup=2)
    after = make_schedule(name, steps_per_epoch=PER_EPOCH, epochs=10, rate=0.1 * 10 / 12)  # `time` divides by all epochs
    found = factors(schedule, 120)
    start = after.factor(0)
    assert found[:20] == pytest.approx([start * step / 20 for step in range(1, 21)])
    assert found[20:] == pytest.approx(factors(after, 100))


def test_a_warm_up_may_be_part_of_an_epoch() -> None:
    assert factors(made("constant", warmup=0.3), 5) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])
    assert factors(made("constant", warmup=0.01), 2) == [1, 1]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1])
def test_a_schedule_that_does_not_stretch_is_the_same_in_a_longer_plan(name: str, warmup: float) -> None:
    short, long = made(name, epochs=12, warmup=warmup), made(name, epochs=24, warmup=warmup)
    assert short.stretches == long.stretches == (factors(short, 120) != factors(long, 120))
    assert growth_note(name, 24).startswith(f"With 24 epochs the schedule '{name}' ")
    assert growth_note(name, 24).endswith("goes on as it was.") == (not short.stretches)


def test_what_growth_says() -> None:
    assert growth_note("cosine", 20) == (
        "With 20 epochs the schedule 'cosine' is stretched over all epochs: the rate jumps up to where the longer curve stands, and falls "
        "from there."
    )


def test_an_unknown_schedule_gets_the_closest() -> None:
    with pytest.raises(UsageError, match=r"^Unknown schedule: onecycle\. Expected a known schedule, got 'onecycle'\.") as caught:
        made("onecycle")
    assert caught.value.hint == (
        "Did you mean 'one-cycle'? Choose one of: constant, cosine, cyclical, exponential, one-cycle, plateau, step, time."
    )


def test_everything_wrong_is_named_together() -> None:
    with pytest.raises(UsageError) as caught:
        made("cyclical", epochs=3, warmup=3, low=2, half=0, rise=0.2)
    assert caught.value.message.splitlines() == [
        "Cannot plan the learning rate: warmup. Expected 0 or more and fewer than the 3 epochs, got 3.",
        "Cannot plan the learning rate: low. Expected a number from 0 to 1, got 2.",
        "Cannot plan the learning rate: half. Expected more than 0, got 0.",
        "Cannot plan the learning rate: rise. Expected low, half for the schedule 'cyclical', got 'rise'.",
    ]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("constant", {"epochs": 0}, "epochs. Expected 1 or more, got 0."),
        ("constant", {"warmup": -1}, "warmup. Expected 0 or more and fewer than the 12 epochs, got -1."),
        ("constant", {"drop": 0.5}, "drop. Expected no option for the schedule 'constant', got 'drop'."),
        ("step", {"drop": 1}, "drop. Expected a number between 0 and 1, got 1."),
        ("step", {"every": 0.5}, "every. Expected 1 or more, got 0.5."),
        ("exponential", {"decay": math.nan}, "decay. Expected 0 or more, got nan."),
        ("exponential", {"decay": math.inf}, "decay. Expected 0 or more, got inf."),
        ("one-cycle", {"rise": 1}, "rise. Expected a number between 0 and 1, got 1."),
    ],
)
def test_values_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        made(name, **options)
    assert caught.value.message == f"Cannot plan the learning rate: {message}"
