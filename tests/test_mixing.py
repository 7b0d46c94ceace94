"""Batches of constant images whose value is their number: what a mixed image is made of can be read off it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seefit.training.mixing import Mixing

SIZE = 8


def batch(size: int = SIZE, side: int = 14, dtype: torch.dtype = torch.float32) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Image i is i everywhere, its vector is i, its target is class i."""
    numbers = torch.arange(size, dtype=dtype)
    maps = numbers[:, None, None, None].expand(size, 3, side, side + 2).clone()
    return (maps, numbers[:, None].expand(size, 5).clone()), torch.eye(size)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def meant(targets: Tensor) -> Tensor:
    """What the constant images must be if they are made in the shares that the targets say."""
    return targets @ torch.arange(targets.shape[1], dtype=torch.float32)


def test_nothing_is_done_unless_asked() -> None:
    inputs, targets = batch()
    chance = generator()
    before = chance.get_state()
    mixed, same = Mixing()(inputs, targets, chance)
    assert mixed is inputs
    assert same is targets
    assert torch.equal(chance.get_state(), before)
    assert not Mixing().acts
    assert Mixing(noise=0.1).acts


@pytest.mark.parametrize("alpha", [0.2, 1.0, 100.0])
def test_mixup_blends_everything_in_the_shares_of_the_targets(alpha: float) -> None:
    for seed in range(20):
        inputs, targets = batch()
        (maps, vectors), mixed = Mixing(mixup=alpha)(inputs, targets, generator(seed))
        assert torch.allclose(mixed.sum(1), torch.ones(SIZE))
        expected = meant(mixed)
        assert torch.allclose(maps, expected[:, None, None, None].expand_as(maps), atol=1e-5)
        assert torch.allclose(vectors, expected[:, None].expand_as(vectors), atol=1e-5)
        own = mixed.diagonal()
        partners = own[own < 1 - 1e-6]  # an image may be drawn as its own partner
        assert torch.allclose(partners, partners[:1].expand_as(partners))  # one share for the whole batch


def test_alpha_says_how_even_the_shares_are() -> None:
    def shares(alpha: float) -> Tensor:
        targets = [Mixing(mixup=alpha)(*batch(), generator(seed))[1] for seed in range(200)]
        return torch.stack([target.diagonal().min() for target in targets])

    assert shares(0.1).std() > 0.4
    assert shares(1.0).std() == pytest.approx(12**-0.5, abs=0.03)  # Beta(1, 1) is even
    assert shares(100.0).std() < 0.05
    assert all(shares(alpha).mean() == pytest.approx(0.5, abs=0.1) for alpha in (0.1, 1.0, 100.0))


def test_cutmix_puts_in_a_box_whose_area_is_what_the_targets_say() -> None:
    for seed in range(40):
        inputs, targets = batch()
        (maps, vectors), mixed = Mixing(cutmix=1.0)(inputs, targets, generator(seed))
        for i in range(SIZE):
            foreign = maps[i, 0] != i
            share = 1 - foreign.float().mean()
            assert mixed[i, i] == pytest.approx(float(share), abs=1e-6)
            assert torch.equal(foreign, foreign.any(1, keepdim=True) & foreign.any(0, keepdim=True))  # a box
            assert len(set(maps[i, :, foreign].flatten().tolist())) <= 1
            assert maps[i].mean() == pytest.approx(float(meant(mixed)[i]), abs=1e-4)
        assert torch.allclose(vectors, meant(mixed)[:, None].expand_as(vectors), atol=1e-5)


def test_the_box_may_lie_anywhere_and_be_of_any_size() -> None:
    seen = torch.zeros(14, 16)
    shares = []
    for seed in range(200):
        inputs, targets = batch()
        (maps, _), mixed = Mixing(cutmix=1.0)(inputs, targets, generator(seed))
        i = int(mixed.diagonal().argmin())
        seen += maps[i, 0] != i
        shares.append(float(mixed[i, i]))
    assert seen.min() > 5
    assert min(shares) < 0.1
    assert max(shares) > 0.95


def test_cutmix_without_maps_blends() -> None:
    (_, vectors), targets = batch()
    (mixed,), soft = Mixing(cutmix=1.0)((vectors,), targets, generator(3))
    assert 0.01 < soft.diagonal().min() < 0.99
    assert torch.allclose(mixed, meant(soft)[:, None].expand_as(mixed), atol=1e-5)


def test_with_both_each_batch_gets_one_of_the_two() -> None:
    ways = []
    for seed in range(100):
        (maps, _), _ = Mixing(mixup=1.0, cutmix=1.0)(*batch(), generator(seed))
        ways.append(bool((maps == maps.round()).all()))  # patches leave whole numbers, blends do not
    assert 30 < sum(ways) < 70


def test_noise_is_as_large_as_was_said_in_units_of_each_tensor() -> None:
    maps = 100 * torch.randn(16, 3, 20, 20, generator=generator(1)) + 7
    vectors = 0.01 * torch.randn(16, 400, generator=generator(2))
    targets = torch.eye(16)
    mixed, same = Mixing(noise=0.25)((maps, vectors), targets, generator())
    assert same is targets
    for x, noisy in zip((maps, vectors), mixed, strict=True):
        added = noisy - x
        assert added.std() / x.std() == pytest.approx(0.25, rel=0.05)
        assert added.mean() / added.std() == pytest.approx(0, abs=0.05)


def test_noise_leaves_what_does_not_vary() -> None:
    still = torch.full((1, 3, 4, 4), 5.0)
    (mixed,), _ = Mixing(noise=1.0)((still,), torch.eye(1), generator())
    assert torch.equal(mixed, still)


def test_the_generator_decides_and_a_restored_one_goes_on_the_same() -> None:
    mixing = Mixing(mixup=0.4, cutmix=1.0, noise=0.1)
    chance = generator(5)
    mixing(*batch(), chance)
    state = chance.get_state()
    torch.manual_seed(1)
    first = mixing(*batch(), chance)
    again = torch.Generator()
    again.set_state(state)
    torch.manual_seed(2)
    second = mixing(*batch(), again)
    other = mixing(*batch(), generator(6))
    assert torch.equal(first[0][0], second[0][0])
    assert torch.equal(first[0][1], second[0][1])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0][0], other[0][0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mixing", [Mixing(mixup=1.0), Mixing(cutmix=1.0), Mixing(noise=0.5)])
def test_types_and_what_was_given_stay(mixing: Mixing, dtype: torch.dtype) -> None:
    inputs, targets = batch(dtype=dtype)
    kept = [x.clone() for x in (*inputs, targets)]
    mixed, soft = mixing(inputs, targets, generator())
    assert [x.dtype for x in (*mixed, soft)] == [dtype, dtype, torch.float32]
    assert [x.shape for x in (*mixed, soft)] == [x.shape for x in kept]
    assert all(torch.equal(x, y) for x, y in zip((*inputs, targets), kept, strict=True))


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.2), Mixing(cutmix=1.0), Mixing(mixup=1.0, cutmix=1.0)])
def test_an_image_alone_stays_as_it_is(mixing: Mixing) -> None:
    x = torch.rand(1, 3, 1, 1)
    (mixed,), targets = mixing((x,), torch.tensor([[0.3, 0.7]]), generator())
    assert torch.allclose(mixed, x)
    assert torch.allclose(targets, torch.tensor([[0.3, 0.7]]))
