"""`import lazygrad as torch`: every name that ordinary programs touch is there, and what only makes sense in torch
is a setting that holds what it is set to, or an error that says why not."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lazygrad as lg
from tests.torch_names import MEMBERS, NAMES

REPOSITORY = Path(__file__).resolve().parents[1]


def found(root, path):
    for part in path.split("."):
        if not hasattr(root, part):
            return False
        root = getattr(root, part)
    return True


@pytest.mark.parametrize("place", NAMES)
def test_names_are_where_torch_has_them(place):
    missing = [n for n in NAMES[place].split() if not found(lg, f"{place}.{n}".removeprefix("torch."))]
    assert not missing, f"{place} lacks {missing}"


def objects():
    layers = lg.nn.ModuleDict({"a": lg.nn.Linear(2, 2)}), lg.nn.ModuleList([lg.nn.Linear(2, 2)]), lg.nn.Linear(2, 2)
    optimizer = lg.optim.SGD(layers[2].parameters(), lr=0.1)
    return {
        "Tensor": [lg.ones(1, 1)],
        "Module": list(layers),
        "Optimizer": [optimizer],
        "LRScheduler": [lg.optim.lr_scheduler.StepLR(optimizer, 1)],
        "GradScaler": [lg.amp.GradScaler()],
    }


@pytest.mark.parametrize("kind", MEMBERS)
def test_members(kind):
    made = objects()[kind]
    missing = [n for n in MEMBERS[kind].split() if not any(hasattr(o, n) for o in made)]
    assert not missing, f"{kind} lacks {missing}"


# -- as programs import them ---------------------------------------------------------------------------
IMPORTS = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torch.optim.lr_scheduler as lr_scheduler
import torch.backends.cudnn as cudnn
import torch.distributed as dist
import torch.multiprocessing as mp
import torch._dynamo
import torch._inductor.config as config
import torch.utils.data.distributed
import torch.cuda.amp
import torch.testing
import torch.func
import torch.autograd.functional
import torch.linalg
import torch.random
import torch.special
import torch.version
import torch.compiler
import torch.nn.init as init
import torch.nn.utils.rnn
from torch import Tensor, nn, optim, amp, autocast
from torch.nn import functional as F, Parameter
from torch.nn.parameter import Parameter
from torch.nn.parallel import DistributedDataParallel as DDP, DataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, random_split
from torch.utils.data.dataloader import DataLoader
from torch.utils.data.dataset import Dataset
from torch.utils.data.sampler import Sampler
from torch.utils.data.distributed import DistributedSampler
from torch.utils.checkpoint import checkpoint
from torch.cuda.amp import GradScaler, autocast
from torch.amp import GradScaler
from torch.autograd import Function, grad
from torch.autograd.functional import jacobian
from torch.func import functional_call, vmap
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed import init_process_group, destroy_process_group
from torch.distributions import Categorical, Normal, kl_divergence
from torch.distributions.categorical import Categorical
from torch.distributions.normal import Normal
"""


@pytest.mark.parametrize("line", IMPORTS.strip().splitlines())
def test_imports(line):
    exec(line.replace("torch", "lazygrad"), {})


def test_everything_is_there_after_import_alone():
    """`import lazygrad` brings what `import torch` brings, so torch.utils.data.DataLoader needs no import of its own."""
    wanted = [f"{place}.{n}".removeprefix("torch.") for place, names in NAMES.items() for n in names.split()]
    script = (
        "import lazygrad, operator\n"
        f"print([n for n in {wanted!r} if not __import__('functools').reduce("
        "lambda o, p: getattr(o, p, None), n.split('.'), lazygrad)])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_reexported_modules_are_the_same_objects():
    assert lg.utils.data.DataLoader is lg.data.DataLoader is lg.utils.data.dataloader.DataLoader
    assert importlib.import_module("lazygrad.utils.data.sampler").Sampler is lg.data.Sampler
    assert lg.nn.Parameter is lg.nn.parameter.Parameter


# -- settings ------------------------------------------------------------------------------------------
def test_precision_is_one_setting_under_two_names():
    assert lg.get_float32_matmul_precision() == "highest" and not lg.backends.cuda.matmul.allow_tf32
    try:
        lg.set_float32_matmul_precision("high")
        assert lg.backends.cuda.matmul.allow_tf32 is True
        lg.backends.cuda.matmul.allow_tf32 = False
        assert lg.get_float32_matmul_precision() == "highest"
    finally:
        lg.set_float32_matmul_precision("highest")
    with pytest.raises(RuntimeError, match=r"test_names\.py"):
        lg.set_float32_matmul_precision("best")


def test_settings_hold_what_they_are_set_to():
    cudnn = lg.backends.cudnn
    cudnn.benchmark, cudnn.deterministic = True, True
    assert (cudnn.benchmark, cudnn.deterministic) == (True, True)
    with cudnn.flags(enabled=False, benchmark=False):
        assert (cudnn.enabled, cudnn.benchmark) == (False, False)
    assert (cudnn.enabled, cudnn.benchmark) == (True, True)
    cudnn.benchmark = cudnn.deterministic = False
    lg._inductor.config.coordinate_descent_tuning = True
    lg._dynamo.config.suppress_errors = True
    assert lg._inductor.config.coordinate_descent_tuning and lg._dynamo.config.suppress_errors
    lg._dynamo.reset()
    lg._dynamo.config.suppress_errors = False
    lg.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    lg.backends.cuda.enable_flash_sdp(False)
    assert not lg.backends.cuda.flash_sdp_enabled()
    lg.backends.cuda.enable_flash_sdp(True)
    lg.set_num_threads(3)
    assert lg.get_num_threads() == 3
    with pytest.raises(RuntimeError):
        lg.set_num_threads(0)


@pytest.mark.parametrize("T", [torch, lg])
def test_deterministic_algorithms(T):
    assert not T.are_deterministic_algorithms_enabled()
    T.use_deterministic_algorithms(True, warn_only=True)
    assert T.are_deterministic_algorithms_enabled() and T.is_deterministic_algorithms_warn_only_enabled()
    assert T.get_deterministic_debug_mode() == 1
    T.set_deterministic_debug_mode("error")
    assert T.get_deterministic_debug_mode() == 2 and not T.is_deterministic_algorithms_warn_only_enabled()
    T.use_deterministic_algorithms(False)
    assert T.get_deterministic_debug_mode() == 0


def test_compile_and_its_friends():
    @lg.compile(mode="max-autotune", fullgraph=True, dynamic=False)
    def double(x):
        return x * 2

    assert double(lg.ones(2)).tolist() == [2.0, 2.0]
    assert lg.compiler.disable(double) is double and not lg.compiler.is_compiling()


def test_default_device():
    assert lg.get_default_device() == lg.device("cpu")
    try:
        lg.set_default_device("cuda")
        assert lg.get_default_device().type == "cuda"
        with lg.device("cpu"):
            assert lg.zeros(2).device.type == lg.randn(2).device.type == lg.arange(3).device.type == "cpu"
        assert lg.zeros(2).device.type == "cuda"
        assert lg.zeros(2, device="cpu").device.type == "cpu"
    finally:
        lg.set_default_device(None)
    assert lg.zeros(2).device.type == "cpu"


def test_default_tensor_type():
    try:
        for T in (torch, lg):
            T.set_default_tensor_type("torch.DoubleTensor")
            assert T.zeros(1).dtype is T.float64
            T.set_default_tensor_type(T.FloatTensor)
            assert T.zeros(1).dtype is T.float32
        with pytest.raises(TypeError, match="NoTensor"):
            lg.set_default_tensor_type("torch.NoTensor")
    finally:
        for T in (torch, lg):
            T.set_default_dtype(T.float32)


def test_cuda_without_a_gpu():
    if lg.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert lg.cuda.device_count() == 0
    lg.cuda.manual_seed_all(3)
    lg.cuda.empty_cache()
    assert lg.cuda.memory_allocated() == lg.cuda.max_memory_allocated() == 0
    assert not lg.cuda.is_bf16_supported()
    for ask in (lg.cuda.current_device, lg.cuda.get_device_name, lg.cuda.synchronize, lg.cuda.mem_get_info):
        with pytest.raises(RuntimeError, match="cuda"):
            ask()
    with pytest.raises(NotImplementedError, match=r"test_names\.py"):
        lg.cuda.set_device(1)
    lg.cuda.set_device(0)


def test_cuda_seed_leaves_the_cpu_alone():
    for T in (torch, lg):
        T.manual_seed(5)
        want = T.rand(3).tolist()
        T.manual_seed(5)
        T.cuda.manual_seed(7)
        assert T.rand(3).tolist() == want


def test_fork_rng_and_generators():
    for T in (torch, lg):
        T.manual_seed(1)
        with T.random.fork_rng(devices=[]):
            T.manual_seed(2)
            inside = T.rand(2).tolist()
        after = T.rand(2).tolist()
        T.manual_seed(1)
        assert T.rand(2).tolist() == after != inside
        generator = T.Generator().manual_seed(4)
        T.rand(3, generator=generator)
        twin = generator.clone_state()
        assert T.rand(3, generator=twin).tolist() == T.rand(3, generator=generator).tolist()
        assert T.default_generator.initial_seed() == T.initial_seed()


def test_legacy_amp():
    scaler = lg.cuda.amp.GradScaler(init_scale=8.0)
    assert isinstance(scaler, lg.amp.GradScaler) and scaler.get_scale() == 8.0
    with lg.cuda.amp.autocast():
        assert lg.is_autocast_enabled("cuda") and lg.get_autocast_dtype("cuda") is lg.float16
    with lg.cuda.amp.autocast(enabled=False):
        assert not lg.is_autocast_enabled("cuda")


# -- one process ---------------------------------------------------------------------------------------
@pytest.fixture
def world():
    lg.distributed.init_process_group("nccl", rank=0, world_size=1)
    yield lg.distributed
    lg.distributed.destroy_process_group()


def test_a_world_of_one(world):
    assert world.is_available() and world.is_initialized()
    assert (world.get_rank(), world.get_world_size(), world.get_backend()) == (0, 1, "nccl")
    x = lg.arange(4.0)
    assert world.barrier() is None and world.all_reduce(x) is None and x.tolist() == [0, 1, 2, 3]
    assert world.all_reduce(x, op=world.ReduceOp.AVG, async_op=True).wait()
    world.broadcast(x, src=0)
    parts = [lg.zeros(4)]
    world.all_gather(parts, x)
    assert parts[0].tolist() == x.tolist()
    whole = lg.zeros(4)
    world.all_gather_into_tensor(whole, x)
    world.reduce_scatter_tensor(whole, x)
    assert whole.tolist() == x.tolist()
    objects = [None]
    world.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    with pytest.raises(ValueError, match="rank 1"):
        world.broadcast(x, src=1)
    with pytest.raises(ValueError):
        world.all_gather([lg.zeros(4), lg.zeros(4)], x)
    with pytest.raises(ValueError, match="twice"):
        world.init_process_group("gloo", rank=0, world_size=1)
    assert len(list(lg.utils.data.DistributedSampler(range(5), shuffle=False))) == 5


def test_the_environment_tells_the_world(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    lg.distributed.init_process_group(backend="nccl")
    assert lg.distributed.get_node_local_rank() == 0
    lg.distributed.destroy_process_group()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(NotImplementedError, match=r"several GPUs are not supported yet.*test_names.py"):
        lg.distributed.init_process_group(backend="nccl")


def test_without_a_world(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for T in (torch, lg):
        dist = T.distributed
        assert not dist.is_initialized()
        for ask in (dist.get_rank, dist.get_world_size, dist.barrier, lambda d=dist, T=T: d.all_reduce(T.ones(1))):
            with pytest.raises(ValueError, match="init_process_group"):
                ask()
        with pytest.raises(ValueError):
            dist.init_process_group("gloo")
        with pytest.raises(AssertionError):
            dist.destroy_process_group()
        with pytest.raises(ValueError):
            T.nn.parallel.DistributedDataParallel(T.nn.Linear(1, 1))


def test_parallel_wrappers(world):
    lg.manual_seed(0)
    plain = lg.nn.Linear(3, 2)
    for wrapped in (lg.nn.parallel.DistributedDataParallel(plain, device_ids=None), lg.nn.DataParallel(plain)):
        assert list(wrapped.state_dict()) == ["module.weight", "module.bias"] and wrapped.module is plain
        x = lg.ones(1, 3)
        assert wrapped(x).tolist() == plain(x).tolist()
    ddp = lg.nn.parallel.DistributedDataParallel(plain)
    with ddp.no_sync():
        assert not ddp.require_backward_grad_sync
        ddp(x).sum().backward()
    assert ddp.require_backward_grad_sync and plain.weight.grad is not None
    frozen = lg.nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(RuntimeError, match="parameter"):
        lg.nn.parallel.DistributedDataParallel(frozen)
    with pytest.raises(NotImplementedError, match=r"test_names\.py"):
        lg.nn.DataParallel(plain, device_ids=[0, 1])


def test_zero_redundancy_optimizer_is_the_optimizer_it_holds(world):
    weights = []
    for wrapped in (False, True):
        lg.manual_seed(0)
        model = lg.nn.Linear(3, 2)
        kind = lg.optim.AdamW
        zero = lg.distributed.optim.ZeroRedundancyOptimizer
        optimizer = zero(model.parameters(), kind, lr=0.1) if wrapped else kind(model.parameters(), lr=0.1)
        schedule = lg.optim.lr_scheduler.StepLR(optimizer, 1)
        for _ in range(3):
            optimizer.zero_grad()
            model(lg.ones(1, 3)).square().sum().backward()
            optimizer.step()
            schedule.step()
        weights.append(model.weight.tolist())
        if wrapped:
            with pytest.raises(RuntimeError, match="consolidate"):
                optimizer.state_dict()
            optimizer.consolidate_state_dict()
            state = optimizer.state_dict()
            assert state["param_groups"][0]["lr"] == optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)
            optimizer.load_state_dict(state)
    assert weights[0] == weights[1]


def _worker(rank, factor, path):
    Path(f"{path}.{rank}").write_text(str(rank * factor))


def _failing(rank):
    sys.exit(3)


def test_spawn(tmp_path):
    lg.multiprocessing.spawn(_worker, args=(10, str(tmp_path / "r")), nprocs=1)
    assert (tmp_path / "r.0").read_text() == "0"
    with pytest.raises(RuntimeError, match="exit code 3"):
        lg.multiprocessing.spawn(_failing, nprocs=1)


# -- what can't be followed -----------------------------------------------------------------------------
ABSENT = {
    "polar": lambda T: T.polar(T.ones(1), T.ones(1)),
    "view_as_complex": lambda T: T.view_as_complex(T.ones(1, 2)),
    "view_as_real": lambda T: T.view_as_real(T.ones(1, 2)),
    "complex": lambda T: T.complex(T.ones(1), T.ones(1)),
    "sparse": lambda T: T.sparse_coo_tensor(T.zeros(1, 1), T.ones(1), (1,)),
    "to_sparse": lambda T: T.ones(2).to_sparse(),
    "sparse layout": lambda T: T.ones(2, layout=T.layout("sparse_coo")),
    "names": lambda T: T.ones(2, names=("n",)),
    "eig": lambda T: T.linalg.eig(T.ones(2, 2)),
    "eigvals": lambda T: T.linalg.eigvals(T.ones(2, 2)),
    "ldl_factor": lambda T: T.linalg.ldl_factor(T.ones(2, 2)),
    "geqrf": lambda T: T.geqrf(T.ones(2, 2)),
    "storage": lambda T: T.ones(2).untyped_storage(),
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_cant_be_followed_says_so(name):
    with pytest.raises(NotImplementedError, match=r"test_names\.py:"):
        ABSENT[name](lg)


def test_missing_attributes_say_why():
    for name, why in (("complex64", "no complex numbers"), ("sparse_coo", "sparse"), ("qint8", "quantized")):
        assert not hasattr(lg, name)
        with pytest.raises(AttributeError, match=why):
            getattr(lg, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lg.nonsense


OUT = {
    "method": lambda T, out: T.add(T.ones(2), 1, out=out),
    "factory": lambda T, out: T.zeros(2, out=out),
    "function": lambda T, out: T.cat([T.ones(2)], out=out),
    "where": lambda T, out: T.where(T.ones(2) > 0, T.ones(2), T.zeros(2), out=out),
    "linalg": lambda T, out: T.linalg.inv(T.eye(2), out=out),
    "linalg-function": lambda T, out: T.linalg.solve(T.eye(2), T.ones(2), out=out),
    "special": lambda T, out: T.special.entr(T.ones(2), out=out),
    "copy": lambda T, out: T.squeeze_copy(T.ones(2), out=out),
}


@pytest.mark.parametrize("name", OUT)
def test_out_is_refused(name):
    for T in (torch, lg):
        assert isinstance(OUT[name](T, None), T.Tensor)
    with pytest.raises(NotImplementedError, match=r"assign instead.*test_names\.py:"):
        OUT[name](lg, lg.ones(2))


def test_layouts_and_formats():
    x = lg.ones(2, 3)
    assert x.layout is lg.strided and isinstance(x.layout, lg.layout)
    assert x.contiguous(memory_format=lg.contiguous_format) is x
    assert x.to(memory_format=lg.preserve_format).tolist() == x.tolist()
    image = lg.ones(2, 3, 4, 5)
    assert image.to(memory_format=lg.channels_last) is image.contiguous(memory_format=lg.channels_last) is image
    with pytest.raises(TypeError, match="memory_format"):
        image.to(memory_format="channels_last")


def test_is_contiguous():
    for T in (torch, lg):
        image = T.ones(2, 3, 4, 5)
        assert image.is_contiguous() and not image.is_contiguous(memory_format=T.channels_last)
        last = T.ones(2, 4, 5, 3).permute(0, 3, 1, 2)
        assert last.is_contiguous(memory_format=T.channels_last) and not last.is_contiguous()
        assert not T.ones(2, 3).is_contiguous(memory_format=T.channels_last)
        assert T.ones(2, 4, 5, 6, 3).movedim(-1, 1).is_contiguous(memory_format=T.channels_last_3d)


def test_grad_fn():
    for T in (torch, lg):
        x = T.ones(2, requires_grad=True)
        assert x.grad_fn is None and T.ones(1).grad_fn is None
        y = (x.sin() * 2).exp()
        assert y.grad_fn.name() == "ExpBackward0" and y.detach().grad_fn is None
        product = y.grad_fn.next_functions[0][0]
        sine = next(f for f, _ in product.next_functions if f is not None)
        assert sine.name() == "SinBackward0"
        leaf = sine.next_functions[0][0]
        assert leaf.name() == "torch::autograd::AccumulateGrad" and leaf.variable is x
        assert leaf.next_functions == ()


def test_version():
    text = (REPOSITORY / "pyproject.toml").read_text()
    assert "lazygrad.version.__version__" in text and lg.__version__ == lg.version.__version__
    assert lg.version.cuda is None


def test_constants():
    for name in ("pi", "e", "inf"):
        assert getattr(lg, name) == getattr(math, name)
    assert lg.nan != lg.nan
    assert [d.name for d in (lg.half, lg.float, lg.double, lg.short, lg.int, lg.long)] == [
        str(d).removeprefix("torch.")
        for d in (torch.half, torch.float, torch.double, torch.short, torch.int, torch.long)
    ]
    np.testing.assert_equal(lg.finfo(lg.bfloat16).eps, torch.finfo(torch.bfloat16).eps)
