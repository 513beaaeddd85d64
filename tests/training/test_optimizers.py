"""Every parameter is in one group with the right rule, and Muon's updates are orthogonal."""

import torch

from hala.training.optimizers import MuonAdamW, orthogonalise, parameter_groups
from hala.training.trainer import TrainSettings

MUON = TrainSettings(optimizer="muon", learning_rate=1e-3, muon_learning_rate=0.02, weight_decay=0.1)


def test_groups_cover_all_parameters_once(tiny):
    """Protects against a parameter that is never trained or trained twice, tied ones included."""
    net = tiny.model("lfm2")
    grouped = [id(p) for group in parameter_groups(net, MUON) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters())


def test_muon_takes_hidden_matrices_only(tiny):
    """Protects the embedding, the norms and the taps: they stay with AdamW, and only matrices decay."""
    net = tiny.model("lfm2")
    groups = parameter_groups(net, MUON)
    muon = {id(p) for group in groups if group["muon"] for p in group["params"]}
    matrices = {id(p) for name, p in net.named_parameters() if p.ndim == 2 and "embed" not in name}
    assert muon == matrices
    assert {group["lr"] for group in groups if group["muon"]} == {0.02}
    assert all(group["weight_decay"] == 0 for group in groups if any(p.ndim != 2 for p in group["params"]))
    plain = parameter_groups(net, TrainSettings(optimizer="adamw"))
    assert not any(group["muon"] for group in plain)


def test_orthogonalised_matrices_have_singular_values_near_one():
    """Protects Muon: wide, tall and square directions all come out with singular values near one and the same spaces."""
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 32, 32), (2, 16, 48), (2, 48, 16)):
        matrices = torch.randn(*shape, generator=generator)
        values = torch.linalg.svdvals(orthogonalise(matrices))
        assert values.min() > 0.3 and values.max() < 1.3
        u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
        assert (orthogonalise(matrices) * (u @ vh)).sum() / orthogonalise(matrices).norm() / (u @ vh).norm() > 0.95


def test_without_muon_it_is_adamw(tiny):
    """Protects continued training: the combined optimizer without Muon groups makes AdamW's steps bit for bit."""
    ours, theirs = tiny.model("llama"), tiny.model("llama")
    settings = TrainSettings(optimizer="adamw", learning_rate=1e-2, weight_decay=0.1)
    first = MuonAdamW(parameter_groups(ours, settings), lr=1e-2)
    second = torch.optim.AdamW([dict(group) for group in parameter_groups(theirs, settings)], lr=1e-2)
    ids = torch.arange(3, 20)[None]
    for _ in range(3):
        for net, optimizer in ((ours, first), (theirs, second)):
            net(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_steps_by_its_rate_whatever_the_gradient(tiny):
    """Protects the meaning of muon_learning_rate: an update's spectral norm is about the rate, for tiny and huge gradients."""
    net = tiny.model("lfm2")
    settings = TrainSettings(optimizer="muon", muon_learning_rate=0.02, weight_decay=0.0)
    weight = net.model.layers[0].conv.out_proj.weight
    for factor in (1e-6, 1e6):
        optimizer = MuonAdamW(parameter_groups(net, settings), lr=1e-3)
        before = weight.detach().clone()
        weight.grad = torch.randn(32, 32, generator=torch.Generator().manual_seed(0)) * factor
        optimizer.step()
        assert 0.01 < torch.linalg.matrix_norm(weight - before, ord=2) < 0.03
