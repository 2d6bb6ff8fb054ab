"""Recurrent layers, cells and packed sequences: PyTorch's, from printing to second gradients."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from functions_beside import compare, flattened, leaf  # noqa: E402
from nn_parity import array, copy_state, given, outcome, quietly, same_outcome  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # PyTorch's own

RNG = np.random.default_rng(3)
X = RNG.standard_normal((5, 2, 3))

LAYERS = [
    ("RNN", "3, 4"),
    ("RNN", "3, 4, nonlinearity='relu', bias=False"),
    ("RNN", "3, 4, 2, 'relu', True, True"),
    ("RNN", "3, 4, 2, bidirectional=True"),
    ("GRU", "3, 4"),
    ("GRU", "3, 4, num_layers=3, bias=False, batch_first=True"),
    ("GRU", "3, 1, bidirectional=True"),
    ("LSTM", "3, 4"),
    ("LSTM", "3, 4, 2, bias=False, bidirectional=True"),
    ("LSTM", "3, 4, proj_size=2"),
    ("LSTM", "3, 4, 2, True, True, 0.0, True, 3"),
]
IDS = [f"{name}({args})" for name, args in LAYERS]


def build(lib, name, args):
    return quietly(lambda: eval(f"nn.{name}({args})", {"nn": lib.nn}))


def pair(name, args, device, dtype="double"):
    theirs = getattr(build(torch, name, args), dtype)()
    mine = getattr(build(dt, name, args), dtype)().to(device)
    copy_state(theirs, mine, device)
    return theirs, mine


def state_of(layer, batch, rng):
    """A first state, as arrays."""
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 2 if is_pair(layer) else 1]
    lead = (count,) if batch is None else (count, batch)
    return [rng.standard_normal((*lead, size)) for size in sizes]


def is_pair(layer):
    return type(layer).__name__ == "LSTM"


def as_state(layer, parts):
    return tuple(parts) if is_pair(layer) else parts[0]


@pytest.mark.parametrize(("name", "args"), LAYERS, ids=IDS)
def test_text_and_state(name, args):
    def run(lib):
        layer = build(lib, name, args)
        facts = [(k, tuple(v.shape), str(v.dtype)) for k, v in layer.state_dict().items()]
        names = [[tuple(w.shape) for w in group] for group in layer.all_weights]
        return repr(layer), facts, names, layer.bias, layer.batch_first, layer.proj_size

    same_outcome(run)


@pytest.mark.parametrize("state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize(("name", "args"), LAYERS, ids=IDS)
def test_values_and_gradients(name, args, state, device):
    theirs, mine = pair(name, args, device)
    layers = {torch: theirs, dt: mine}
    batch = X.shape[0 if theirs.batch_first else 1]
    start = state_of(theirs, batch, RNG) if state else []

    def run(lib, x, *parts):
        layer = layers[lib]
        return layer(x, as_state(layer, parts)) if state else layer(x)

    compare(run, (X, *start), device)
    for layer in layers.values():
        layer.zero_grad()
    for lib in layers:
        outputs = flattened(
            run(lib, *(leaf(lib, a, device if lib is dt else None) for a in (X, *start)))
        )
        sum((o * o).sum() for o in outputs).backward()
    for (key, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(array(a.grad), array(b.grad), 1e-9, 1e-9, err_msg=key)


@pytest.mark.parametrize(("name", "args"), LAYERS, ids=IDS)
def test_without_a_batch_and_in_float32(name, args, device):
    theirs, mine = pair(name, args, device, "float")
    layers = {torch: theirs, dt: mine}
    start = state_of(theirs, None, RNG)
    arrays = [a.astype(np.float32) for a in (X[:, 0], *start)]

    def run(lib, x, *parts):
        return layers[lib](x, as_state(layers[lib], parts))

    compare(run, tuple(arrays), device, 2e-5, second=False)


@pytest.mark.parametrize("dtype", ["double", "float"])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_many_steps_of_a_wide_layer(name, dtype, device):
    """Long enough for errors to grow, with sizes that no block is a multiple of."""
    theirs, mine = pair(name, "9, 35, bidirectional=True", device, dtype)
    layers = {torch: theirs, dt: mine}
    x = np.random.default_rng(4).standard_normal((41, 7, 9))
    x = x.astype(np.float32) if dtype == "float" else x
    tolerance = 1e-10 if dtype == "double" else 1e-4
    compare(lambda lib, x: layers[lib](x), (x,), device, tolerance, second=False)
    for layer in layers.values():
        layer.zero_grad()
    for lib, where in ((torch, None), (dt, device)):
        layers[lib](leaf(lib, x, where))[0].square().mean().backward()
    for (key, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(array(a.grad), array(b.grad), tolerance, tolerance, err_msg=key)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_a_layer_leaves_its_weights_alone(name):
    """With one state the turned weight is the weight itself in memory."""
    layer = build(dt, name, "2, 1")
    before = {key: array(value).copy() for key, value in layer.state_dict().items()}
    layer(dt.tensor(X[:, :, :2]).float())[0].sum().backward()
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(array(value), before[key])


@pytest.mark.parametrize(("lengths", "is_sorted"), [([4, 4, 2], True), ([1, 5, 3], False)])
@pytest.mark.parametrize(("name", "args"), LAYERS, ids=IDS)
def test_packed(name, args, lengths, is_sorted, device):
    theirs, mine = pair(name, args, device)
    layers = {torch: theirs, dt: mine}
    x = RNG.standard_normal((5, 3, 3))
    start = state_of(theirs, 3, RNG)

    def run(lib, x, *parts):
        rnn = lib.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=is_sorted)
        output, last = layers[lib](packed, as_state(layers[lib], parts))
        assert type(output).__name__ == "PackedSequence"
        zero = layers[lib](packed)[0]
        return rnn.pad_packed_sequence(output, total_length=6), last, zero.data

    compare(run, (x, *start), device, second=False)


def test_dropout_between_layers():
    """The last layer's outputs are whole; with chance 1 it sees nothing of the first."""
    layer = dt.nn.GRU(3, 4, 2, dropout=1.0)
    x = dt.tensor(X).float()
    dropped, _ = layer(x)
    below = dt.nn.GRU(4, 4)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    below.load_state_dict({f"{n}_l0": getattr(layer, f"{n}_l1") for n in names})
    assert dt.equal(dropped, below(dt.zeros(5, 2, 4))[0])
    assert not dt.equal(dropped, layer.eval()(x)[0])


CELLS = [
    ("RNNCell", "3, 4"),
    ("RNNCell", "3, 4, False, 'relu'"),
    ("GRUCell", "3, 4"),
    ("GRUCell", "3, 4, bias=False"),
    ("LSTMCell", "3, 4"),
    ("LSTMCell", "3, 4, bias=False"),
]


@pytest.mark.parametrize(("name", "args"), CELLS)
def test_cells(name, args, device):
    theirs, mine = pair(name, args, device)
    cells = {torch: theirs, dt: mine}
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    count = 2 if name == "LSTMCell" else 1

    def run(lib, x, *parts):
        state = parts if count == 2 else parts[0]
        alone = tuple(part[0] for part in parts)
        without_batch = cells[lib](x[0], alone if count == 2 else alone[0])
        return cells[lib](x, state), cells[lib](x), without_batch

    compare(run, (X[0], *(RNG.standard_normal((2, 4)) for _ in range(count))), device)


def test_state_goes_both_ways(device):
    theirs, mine = pair("LSTM", "3, 4, 2, bidirectional=True", device)
    with dt.no_grad():
        for p in mine.parameters():
            p.mul_(2)
    theirs.load_state_dict({k: torch.from_numpy(array(v)) for k, v in mine.state_dict().items()})
    np.testing.assert_allclose(
        array(mine(given(torch.tensor(X), device))[0]), array(theirs(torch.tensor(X))[0]), 1e-9
    )


def test_training_goes_as_pytorch_trains(device):
    theirs, mine = pair("GRU", "3, 4", device)
    for lib, layer in ((torch, theirs), (dt, mine)):
        optimizer = lib.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9)
        x = leaf(lib, X, device if lib is dt else None).detach()
        for _ in range(4):
            optimizer.zero_grad()
            (layer(x)[0] ** 2).mean().backward()
            optimizer.step()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(array(a), array(b), 1e-9, 1e-10)


WRONG = {
    "dropout": lambda lib: lib.nn.LSTM(3, 4, dropout=2),
    "dropout of a bool": lambda lib: lib.nn.LSTM(3, 4, dropout=True),
    "bias": lambda lib: lib.nn.LSTM(3, 4, bias=1),
    "batch first": lambda lib: lib.nn.LSTM(3, 4, batch_first=0),
    "input size": lambda lib: lib.nn.LSTM(3.0, 4),
    "no input": lambda lib: lib.nn.GRU(0, 4),
    "no state": lambda lib: lib.nn.GRU(3, 0),
    "no layers": lambda lib: lib.nn.GRU(3, 4, 0),
    "projection": lambda lib: lib.nn.LSTM(3, 4, proj_size=4),
    "negative projection": lambda lib: lib.nn.LSTM(3, 4, proj_size=-1),
    "projection of a GRU": lambda lib: lib.nn.GRU(3, 4, proj_size=2),
    "projection of an RNN": lambda lib: lib.nn.RNN(3, 4, proj_size=2),
    "nonlinearity": lambda lib: lib.nn.RNN(3, 4, nonlinearity="sine"),
    "mode": lambda lib: lib.nn.RNNBase("SRU", 3, 4),
    "dims": lambda lib: lib.nn.RNN(3, 4)(lib.zeros(3)),
    "dims of a GRU": lambda lib: lib.nn.GRU(3, 4)(lib.zeros(2, 2, 2, 3)),
    "features": lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 4)),
    "state": lambda lib: lib.nn.GRU(3, 4)(lib.zeros(5, 2, 3), lib.zeros(1, 3, 4)),
    "state of an LSTM": lambda lib: lib.nn.LSTM(3, 4)(
        lib.zeros(5, 2, 3), (lib.zeros(1, 2, 4), lib.zeros(1, 2, 3))
    ),
    "dims of the state": lambda lib: lib.nn.GRU(3, 4)(lib.zeros(5, 2, 3), lib.zeros(1, 4)),
    "dims of a state without a batch": lambda lib: lib.nn.LSTM(3, 4)(
        lib.zeros(5, 3), (lib.zeros(1, 1, 4), lib.zeros(1, 1, 4))
    ),
    "three states": lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 3), (lib.zeros(1, 2, 4),) * 3),
    "three states of a cell": lambda lib: lib.nn.LSTMCell(3, 4)(
        lib.zeros(2, 3), (lib.zeros(2, 4),) * 3
    ),
    "cell": lambda lib: lib.nn.LSTMCell(3, 4)(lib.zeros(2, 2, 3)),
    "cell's state": lambda lib: lib.nn.GRUCell(3, 4)(lib.zeros(2, 3), lib.zeros(2, 2, 4)),
    "cell's parts": lambda lib: lib.nn.LSTMCell(3, 4)(
        lib.zeros(2, 3), (lib.zeros(2, 4), lib.zeros(2, 2, 4))
    ),
    "cell's nonlinearity": lambda lib: lib.nn.RNNCell(3, 4, nonlinearity="x")(lib.zeros(2, 3)),
    "total length": lambda lib: lib.nn.utils.rnn.pad_packed_sequence(
        lib.nn.utils.rnn.pack_sequence([lib.zeros(3)]), total_length=2
    ),
    "no batch sizes": lambda lib: lib.nn.utils.rnn.pad_packed_sequence(
        lib.nn.utils.rnn.PackedSequence(lib.zeros(0, 2), lib.zeros(0).long())
    ),
    "lists to pad": lambda lib: lib.nn.utils.rnn.pad_sequence([[1, 2], [3]]),
    "nothing to pad": lambda lib: lib.nn.utils.rnn.pad_sequence([]),
    "no sequences": lambda lib: lib.nn.utils.rnn.pad_sequence(3),
    "side": lambda lib: lib.nn.utils.rnn.pad_sequence([lib.zeros(1)], padding_side="up"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    assert outcome(WRONG[name], torch)[0] != "value"
    same_outcome(WRONG[name])


SAME_CLASS = {
    "dtype": lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 3).double()),
    "dtype of the state": lambda lib: lib.nn.GRU(3, 4)(
        lib.zeros(5, 2, 3), lib.zeros(1, 2, 4).double()
    ),
    "no steps": lambda lib: lib.nn.GRU(3, 4)(lib.zeros(0, 2, 3)),
    "cell's features": lambda lib: lib.nn.GRUCell(3, 4)(lib.zeros(2, 4)),
    "cell's state size": lambda lib: lib.nn.GRUCell(3, 4)(lib.zeros(2, 3), lib.zeros(2, 3)),
    "cell's batch": lambda lib: lib.nn.RNNCell(3, 4)(lib.zeros(2, 3), lib.zeros(3, 4)),
    "lengths that rise": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(
        lib.zeros(3, 2, 1), [1, 3]
    ),
    "a length of 0": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 2), [3, 0]),
    "lengths of others": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 2), [3]),
    "nothing to pack": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 0), []),
    "one state for both": lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 3), lib.zeros(2, 1, 2, 4)),
    "one state for both of a cell": lambda lib: lib.nn.LSTMCell(3, 4)(
        lib.zeros(2, 3), lib.zeros(2, 4)
    ),
    "state of packed sequences in another order": lambda lib: lib.nn.GRU(2, 4)(
        lib.nn.utils.rnn.pack_sequence([lib.zeros(1, 2), lib.zeros(2, 2)], False),
        lib.zeros(1, 1, 4),
    ),
    "one length for all": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 1), 3),
    "a list to pack": lambda lib: lib.nn.utils.rnn.pack_padded_sequence([1, 2], [1]),
    "scalars to pad": lambda lib: lib.nn.utils.rnn.pad_sequence([lib.tensor(1.0)]),
    "sequences of two widths": lambda lib: lib.nn.utils.rnn.pad_sequence(
        [lib.zeros(2, 3), lib.zeros(1, 2)]
    ),
}


@pytest.mark.parametrize("name", SAME_CLASS)
def test_errors_of_the_same_class(name):
    assert outcome(SAME_CLASS[name], dt)[0] == outcome(SAME_CLASS[name], torch)[0] != "value"


def test_a_length_beyond_the_steps():
    """PyTorch reads what is not there."""
    with pytest.raises(RuntimeError, match="at least 4 steps, got 3"):
        dt.nn.utils.rnn.pack_padded_sequence(dt.zeros(3, 2), [4, 1])


def sequences(lib, device):
    rng = np.random.default_rng(5)
    place = {} if lib is torch else {"device": device}
    return [lib.tensor(rng.standard_normal((n, 2)), **place) for n in (3, 5, 1)]


UTILITIES = {
    "pad_sequence": lambda rnn, s: rnn.pad_sequence(s),
    "pad_sequence, batch first": lambda rnn, s: rnn.pad_sequence(s, True, 7.0, "left"),
    "pack_sequence": lambda rnn, s: tuple(rnn.pack_sequence(s, enforce_sorted=False)),
    "pack_sequence, sorted": lambda rnn, s: tuple(rnn.pack_sequence([s[1], s[0], s[2]])),
    "unpack_sequence": lambda rnn, s: rnn.unpack_sequence(rnn.pack_sequence(s, False)),
    "pad_packed_sequence": lambda rnn, s: rnn.pad_packed_sequence(
        rnn.pack_sequence(s, False), True, -1.0, 6
    ),
    "unpad_sequence": lambda rnn, s: rnn.unpad_sequence(
        rnn.pad_sequence(s, True), (s[0].sum() * 0).long() + 2 + s[0][:, 0].long() * 0, True
    ),
    "pad_sequence, two dtypes": lambda rnn, s: rnn.pad_sequence([s[0].long(), s[1]]),
    "unpad_sequence, float lengths": lambda rnn, s: rnn.unpad_sequence(
        rnn.pad_sequence(s), s[0][:, 0] * 0 + 2.0
    ),
    "to": lambda rnn, s: tuple(rnn.pack_sequence(s, False).float().double().to("cpu")),
    "invert": lambda rnn, s: rnn.invert_permutation(rnn.pack_sequence(s, False).sorted_indices),
    "invert nothing": lambda rnn, s: rnn.invert_permutation(None),
}


@pytest.mark.parametrize("name", UTILITIES)
def test_sequences(name, device):
    made = flattened(UTILITIES[name](dt.nn.utils.rnn, sequences(dt, device)))
    wanted = flattened(UTILITIES[name](torch.nn.utils.rnn, sequences(torch, None)))
    assert len(made) == len(wanted)
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(array(a), array(b))
        assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]


def test_gradients_through_packing(device):
    def run(lib, a, b):
        rnn = lib.nn.utils.rnn
        packed = rnn.pack_sequence([a, b], enforce_sorted=False)
        return rnn.pad_packed_sequence(packed)[0] * 2, rnn.unpack_sequence(packed)[1]

    compare(run, (RNG.standard_normal((2, 3)), RNG.standard_normal((4, 3))), device, second=False)


def test_packed_sequences_know_their_device():
    packed = dt.nn.utils.rnn.pack_sequence([dt.zeros(2)])
    assert packed.is_cuda is False
    with pytest.raises((RuntimeError, AssertionError), match=r"(?i)cuda"):
        packed.cuda(99)
