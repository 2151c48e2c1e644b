"""The same training script with PyTorch's modules and with the drop-in modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.torch_settings import dropin, torch

pytestmark = pytest.mark.usefixtures("one_torch_thread")

STEPS, ROWS, INPUTS, CLASSES = 12, 8, 5, 4
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    "Adam": ("Adam", {"lr": 3e-3}),
    "AdamW": ("AdamW", {"lr": 3e-3, "amsgrad": True, "foreach": True}),
    "RMSprop": ("RMSprop", {"lr": 1e-3, "centered": True, "eps": 1e-4}),
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "GRU": ("GRU", {"batch_first": True}),
    "RNN": ("RNN", {"num_layers": 2}),
    "projection": ("LSTM", {"proj_size": 6, "batch_first": True}),
}
RUNS = (("LSTM", "SGD"), ("LSTM", "Adam"), ("GRU", "AdamW"), ("RNN", "RMSprop"), ("projection", "Adam"))


class Classifier(torch.nn.Module):
    def __init__(self, rnn: Any) -> None:
        super().__init__()
        self.rnn = rnn
        directions = 2 if rnn.bidirectional else 1
        self.head = torch.nn.Linear((getattr(rnn, "proj_size", 0) or rnn.hidden_size) * directions, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0].mean(1 if self.rnn.batch_first else 0))


def losses_of(namespace: Any, model: str, optimizer: str, updates: int = 100) -> list[float]:
    """Train in float32 with a clipped norm and a schedule, and return the loss of each update."""
    kind, options = MODELS[model]
    name, settings = OPTIMIZERS[optimizer]
    torch.manual_seed(0)
    classifier = Classifier(getattr(namespace, kind)(INPUTS, 16, **options))
    torch.manual_seed(1)
    for parameter in classifier.parameters():
        torch.nn.init.uniform_(parameter, -0.3, 0.3)
    stepper = getattr(torch.optim, name)(classifier.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.StepLR(stepper, 40, 0.5)
    losses = []
    for _ in range(updates):
        shape = (ROWS, STEPS, INPUTS) if classifier.rnn.batch_first else (STEPS, ROWS, INPUTS)
        x, target = torch.randn(shape), torch.randint(0, CLASSES, (ROWS,))
        stepper.zero_grad()
        loss = torch.nn.functional.cross_entropy(classifier(x), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 0.5)
        stepper.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_loss_curves_agree_over_100_updates(subtests: pytest.Subtests) -> None:
    """The curve must move, so that equal curves mean equal gradients."""
    for model, optimizer in RUNS:
        with subtests.test(model=model, optimizer=optimizer):
            theirs = losses_of(torch.nn, model, optimizer)
            assert np.ptp(theirs) > 0.1
            np.testing.assert_allclose(losses_of(dropin, model, optimizer), theirs, rtol=0, atol=1e-4)


def closure_updates(classifier: Any, stepper: Any, data: list[tuple[Any, Any]]) -> None:
    """Run updates with a closure, which LBFGS needs, and all other optimizers accept."""
    for x, target in data:

        def closure(x: Any = x, target: Any = target) -> Any:
            stepper.zero_grad()
            loss = torch.nn.functional.cross_entropy(classifier(x), target)
            loss.backward()
            return loss

        stepper.step(closure)


def optimizers() -> dict[str, Any]:
    """Return the optimizers of torch.optim that update all of our parameters."""
    found = {
        name: value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    others = {"Optimizer", "SparseAdam", "Muon"}  # abstract; for sparse gradients; for matrices only
    return {name: value for name, value in found.items() if name not in others}


def test_every_optimizer_of_pytorch_makes_the_same_updates(subtests: pytest.Subtests) -> None:
    """In float64, so that differences do not grow."""
    assert len(optimizers()) >= 12
    for name, optimizer in optimizers().items():
        with subtests.test(name):
            trained = []
            for namespace in (torch.nn, dropin):
                torch.manual_seed(0)
                classifier = Classifier(namespace.LSTM(INPUTS, 7, num_layers=2)).double()
                torch.manual_seed(1)
                for parameter in classifier.parameters():
                    torch.nn.init.uniform_(parameter, -0.3, 0.3)
                data = [
                    (torch.randn(4, 3, INPUTS, dtype=torch.float64), torch.randint(0, CLASSES, (3,)))
                    for _ in range(5)
                ]
                before = torch.nn.utils.parameters_to_vector(classifier.parameters()).clone()
                closure_updates(classifier, optimizer(classifier.parameters(), lr=1e-2), data)
                trained.append(torch.nn.utils.parameters_to_vector(classifier.parameters()).detach())
                assert not torch.equal(trained[-1], before)
            torch.testing.assert_close(trained[1], trained[0], rtol=1e-7, atol=1e-9)


def test_muon_updates_the_weights() -> None:
    muon = getattr(torch.optim, "Muon", None)
    if muon is None:
        pytest.skip("this PyTorch has no Muon")
    trained = []
    for namespace in (torch.nn, dropin):
        torch.manual_seed(0)
        gru = namespace.GRU(3, 4)
        torch.manual_seed(1)
        for parameter in gru.parameters():
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
        stepper = muon([parameter for parameter in gru.parameters() if parameter.ndim == 2], lr=0.1)
        gru(torch.randn(5, 2, 3))[0].square().sum().backward()
        stepper.step()
        trained.append(torch.nn.utils.parameters_to_vector(gru.parameters()).detach())
    torch.testing.assert_close(trained[1], trained[0], rtol=1e-2, atol=1e-3)  # Muon computes in bfloat16
