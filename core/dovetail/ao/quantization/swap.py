"""From float models to quantized ones: ``prepare``, ``convert``, and what puts them together.

Meanings follow PyTorch's page ``torch.ao.quantization`` (eager mode). Differences: a layer that was
to be quantized and is not is named in a warning and in ``quantization_report``, and convolutions
are quantized dynamically when asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import dovetail.dtypes as d
from dovetail import nn
from dovetail.ao.nn import quantized
from dovetail.ao.nn.intrinsic import _FusedModule
from dovetail.ao.quantization import mappings
from dovetail.ao.quantization import qconfig as configs
from dovetail.ao.quantization import report as reports
from dovetail.ao.quantization.fake_quantize import FakeQuantizeBase
from dovetail.ao.quantization.observer import ObserverBase
from dovetail.ao.quantization.report import LayerReport, QuantizationReport
from dovetail.ao.quantization.stubs import DeQuantStub, QuantWrapper
from dovetail.nn.module import Module
from dovetail.nn.utils.parametrize import type_before_parametrizations
from dovetail.warning import warn

__all__ = [
    "add_quant_dequant",
    "convert",
    "get_default_custom_config_dict",
    "prepare",
    "prepare_qat",
    "propagate_qconfig_",
    "quantize",
    "quantize_dynamic",
    "quantize_qat",
    "swap_module",
]

_WATCH = "activation_post_process"


def get_default_custom_config_dict() -> dict[str, dict[Any, Any]]:
    """Modules of one's own that ``prepare`` and ``convert`` swap: none."""
    return {
        "float_to_observed_custom_module_class": {},
        "observed_to_quantized_custom_module_class": {},
    }


def _is_leaf(module: Module) -> bool:
    return not [name for name in module._modules if name != "parametrizations"]


def _device_of(module: Module) -> Any:
    """The device of a module's tensors; None where it has none.

    Raises:
        AssertionError: there are several.
    """
    tensors = [*module.parameters(), *module.buffers()]
    devices = {t.device for t in tensors if t.device.type != "meta"}
    if len(devices) > 1:
        raise AssertionError(
            f"quantization works with modules on one device, but got devices {devices}"
        )
    return next(iter(devices), None)


# ---------------------------------------------------------------- qconfigs


def propagate_qconfig_(
    module: Module, qconfig_dict: dict[Any, Any] | None = None,
    prepare_custom_config_dict: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Give every submodule a ``qconfig``: its own, that of its name or type, or its parent's.

    Args:
        module: the model.
        qconfig_dict: qconfigs by dotted name or by class.
        prepare_custom_config_dict: ``non_traceable_module_name`` and ``_class`` are left alone.
    """
    chosen, options = qconfig_dict or {}, prepare_custom_config_dict or {}
    names = options.get("non_traceable_module_name", ())
    kinds = options.get("non_traceable_module_class", ())

    def spread(part: Module, parent: Any, path: str) -> None:
        found = chosen.get(type_before_parametrizations(part), parent)
        found = chosen.get(path, found)
        part.qconfig = getattr(part, "qconfig", found)
        for name, child in part.named_children():
            if name not in names and type(child) not in kinds:
                spread(child, part.qconfig, f"{path}.{name}" if path else name)

    spread(module, None, "")


def _remove_qconfig(module: Module) -> None:
    for child in module.children():
        _remove_qconfig(child)
    module.__dict__.pop("qconfig", None)
    if isinstance(getattr(module, _WATCH, None), (ObserverBase, FakeQuantizeBase)):
        delattr(module, _WATCH)
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for key in [k for k, hook in hooks.items() if _plain(hook) in _HOOKS]:
            del hooks[key]


# --------------------------------------------------------------- observers


def _observe_output(self: Any, input: Any, output: Any) -> Any:
    return self.activation_post_process(output)


def _observe_input(self: Any, input: Any) -> Any:
    return self.activation_post_process(input[0])


_HOOKS = (_observe_output, _observe_input)


def _plain(hook: Any) -> Any:
    """The function that was registered."""
    return hook[0] if isinstance(hook, tuple) else hook


def _watch(module: Module, device: Any, factory: Callable[[], Any] | None = None) -> None:
    """Put an observer behind a module that has a qconfig."""
    qconfig = getattr(module, "qconfig", None)
    if qconfig is None or isinstance(module, DeQuantStub):
        return
    observer = (factory or qconfig.activation)()
    module.add_module(_WATCH, observer if device is None else observer.to(device))
    if configs.is_memoryless(qconfig):
        module.register_forward_pre_hook(_observe_input, prepend=True)
    else:
        module.register_forward_hook(_observe_output, prepend=True)


def _add_observers(
    module: Module, listed: Any, non_leaf: Any, device: Any, custom: dict[Any, Any]
) -> None:
    device = _device_of(module) if device is None else device
    for name, child in list(module.named_children()):
        kind = type_before_parametrizations(child)
        if kind is nn.Dropout or name == _WATCH:
            continue
        if issubclass(kind, (quantized.FloatFunctional, quantized.QFunctional)):
            if getattr(child, "qconfig", None) is not None:
                observer = child.qconfig.activation()
                child.activation_post_process = observer if device is None else observer.to(device)
        elif isinstance(child, _FusedModule) or kind in non_leaf:
            _watch(child, device)
        elif child.training and kind in mappings.FIXED_RANGE:
            _watch(child, device, mappings.FIXED_RANGE[kind])
        elif kind in custom and getattr(child, "qconfig", None) is not None:
            observed = custom[kind].from_float(child)
            setattr(module, name, observed)
            _watch(observed, device)
        else:
            _add_observers(child, listed, non_leaf, device, custom)
    is_plain = not isinstance(module, nn.Sequential) and not hasattr(module, _WATCH)
    if is_plain and _is_leaf(module) and type_before_parametrizations(module) in listed:
        _watch(module, device)


def prepare(
    model: Module,
    inplace: bool = False,
    allow_list: Any = None,
    observer_non_leaf_module_list: Any = None,
    prepare_custom_config_dict: dict[str, Any] | None = None,
) -> Any:
    """A model whose layers with a ``qconfig`` have observers behind them, to be calibrated.

    Args:
        model: has ``qconfig`` where it shall be quantized; parts without have their parent's.
        inplace: change ``model`` itself.
        allow_list: classes that are observed; all that can be quantized where None.
        observer_non_leaf_module_list: classes with children that are observed as one.
        prepare_custom_config_dict: ``float_to_observed_custom_module_class``.
    """
    options = prepare_custom_config_dict or get_default_custom_config_dict()
    if not inplace:
        model = copy.deepcopy(model)
    listed = mappings.get_default_qconfig_propagation_list() if allow_list is None else allow_list
    propagate_qconfig_(model)
    if not any(getattr(m, "qconfig", None) for m in model.modules()):
        warn(
            "None of the submodule got qconfig applied. Make sure you passed correct configuration "
            "through `qconfig_dict` or by assigning the `.qconfig` attribute directly on "
            "submodules",
        )
    custom = options.get("float_to_observed_custom_module_class", {})
    _add_observers(model, listed, observer_non_leaf_module_list or (), None, custom)
    return model


def prepare_qat(model: Module, mapping: dict[Any, Any] | None = None, inplace: bool = False) -> Any:
    """A model with fake quantizers, to be trained.

    Args:
        model: in training mode, with ``qconfig`` as for :func:`prepare`.
        mapping: classes of layers -> classes that train.
        inplace: change ``model`` itself.

    Raises:
        AssertionError: not in training mode.
    """
    if not model.training:
        raise AssertionError("prepare_qat only works on models in training mode")
    mapping = mappings.get_default_qat_module_mappings() if mapping is None else mapping
    if not inplace:
        model = copy.deepcopy(model)
    propagate_qconfig_(model)
    _convert(model, mapping, {})
    return prepare(model, inplace=True, observer_non_leaf_module_list=set(mapping.values()))


def add_quant_dequant(module: Module) -> Any:
    """A model whose leaves with a ``qconfig`` are each between stubs."""
    if _is_leaf(module) and getattr(module, "qconfig", None):
        return QuantWrapper(module)
    for name, child in module.named_children():
        module._modules[name] = add_quant_dequant(child)
    return module


# -------------------------------------------------------------- conversion


def swap_module(
    mod: Any, mapping: dict[Any, Any], custom_module_class_mapping: dict[Any, Any] | None = None,
    use_precomputed_fake_quant: bool = False,
) -> Any:  # fmt: skip
    """The module in the place of ``mod``; itself where there is none or it has no ``qconfig``.

    Hooks of ``mod`` go with it, and it stays on its device.
    """
    if getattr(mod, "qconfig", None) is None:
        return mod
    kind = type_before_parametrizations(mod)
    custom = custom_module_class_mapping or {}
    if kind in custom:
        made = custom[kind].from_observed(mod)
    elif kind in mapping:
        made = mapping[kind].from_float(mod)
    else:
        return mod
    for hook in mod._forward_pre_hooks.values():
        if _plain(hook) not in _HOOKS:
            made.register_forward_pre_hook(_plain(hook))
    for hook in mod._forward_hooks.values():
        if _plain(hook) not in _HOOKS:
            made.register_forward_hook(_plain(hook))
    device = _device_of(mod)
    return made if device is None else made.to(device)


def _own(module: Module) -> bool:
    """Whether a module has parameters of its own."""
    return any(p is not None for p in module._parameters.values())


def _convert(
    module: Module, mapping: dict[Any, Any], custom: dict[Any, Any],
    report: QuantizationReport | None = None, path: str = "",
) -> None:  # fmt: skip
    for name, child in list(module.named_children()):
        place = f"{path}.{name}" if path else name
        kind = type_before_parametrizations(child)
        is_one = isinstance(child, _FusedModule) or kind in mapping or kind in custom
        if not (is_one and getattr(child, "qconfig", None)) and name != _WATCH:
            _convert(child, mapping, custom, report, place)
        module._modules[name] = _swapped(child, mapping, custom, report, place)


def _swapped(
    mod: Any, mapping: dict[Any, Any], custom: dict[Any, Any], report: QuantizationReport | None,
    place: str,
) -> Any:  # fmt: skip
    reason = ""
    try:
        made = swap_module(mod, mapping, custom)
    except NotImplementedError as error:  # this layer cannot; the report says why
        if report is None:
            raise
        made, reason = mod, str(error)
    if report is None or isinstance(mod, (ObserverBase, FakeQuantizeBase)):
        return made
    is_layer = _own(mod) or isinstance(mod, _FusedModule)
    if made is not mod:
        if is_layer or hasattr(mod, "weight"):
            report.add(LayerReport(place, mod._get_name(), made._get_name()))
    elif is_layer:
        asked = getattr(mod, "qconfig", None) is not None
        if not asked:
            reason = "not asked for"
        elif not reason:
            reason = f"there is no quantized {mod._get_name()}"
        report.add(LayerReport(place, mod._get_name(), None, reason, asked))
    return made


def convert(
    module: Module,
    mapping: dict[Any, Any] | None = None,
    inplace: bool = False,
    remove_qconfig: bool = True,
    is_reference: bool = False,
    convert_custom_config_dict: dict[str, Any] | None = None,
    use_precomputed_fake_quant: bool = False,
) -> Any:
    """A calibrated or trained model as one that computes in integers.

    Layers with a ``qconfig`` that have no quantized form stay; a :class:`QuantizationWarning` names
    them, ``quantization_report(model)`` says what became of each.

    Args:
        module: from :func:`prepare` or :func:`prepare_qat`, after it has seen data.
        mapping: classes of layers -> quantized classes.
        inplace: change ``module`` itself.
        remove_qconfig: take qconfigs and observers away.
        is_reference: must be False: there are no reference modules.
        convert_custom_config_dict: ``observed_to_quantized_custom_module_class``.
        use_precomputed_fake_quant: taken for PyTorch's sake; observers of weights always look.

    Raises:
        NotImplementedError: reference modules are asked for.
    """
    return _converted(
        "convert", module, mapping, inplace, remove_qconfig, is_reference,
        convert_custom_config_dict, {},
    )  # fmt: skip


def _converted(
    function: str, module: Module, mapping: Any, inplace: bool, remove_qconfig: bool,
    is_reference: bool, custom_config: Any, named: dict[Any, Any],
) -> Any:  # fmt: skip
    if is_reference:
        raise NotImplementedError("convert: there are no reference modules (is_reference=True)")
    if mapping is None:
        mapping = mappings.get_default_static_quant_module_mappings()
    options = custom_config or get_default_custom_config_dict()
    custom = options.get("observed_to_quantized_custom_module_class", {})
    if not inplace:
        module = copy.deepcopy(module)
    report = QuantizationReport()
    for key in _unmatched(module, named):
        what = key if isinstance(key, str) else key.__name__
        report.add(LayerReport(str(what), "qconfig_spec", None, "the model has nothing of it"))
    _convert(module, mapping, custom, report)
    if remove_qconfig:
        _remove_qconfig(module)
    reports.keep(module, report)
    report.warn(function)
    return module


def _unmatched(module: Module, named: dict[Any, Any]) -> list[Any]:
    """The keys of a specification that nothing in a model answers to."""
    have: set[Any] = {name for name, _ in module.named_modules()}
    have |= {type_before_parametrizations(m) for m in module.modules()}
    return [key for key in named if key not in have]


def quantize(
    model: Module, run_fn: Callable[..., Any], run_args: Any, mapping: Any = None,
    inplace: bool = False,
) -> Any:  # fmt: skip
    """Prepare, calibrate with ``run_fn(model, *run_args)``, convert.

    Args:
        model: with ``qconfig`` as for :func:`prepare`.
        run_fn: runs the model on data.
        run_args: what more it takes.
        mapping, inplace: as for :func:`convert`.
    """
    if not inplace:
        model = copy.deepcopy(model)
    model.eval()
    prepare(model, inplace=True)
    run_fn(model, *run_args)
    return _converted("quantize", model, mapping, True, True, False, None, {})


def quantize_qat(
    model: Module, run_fn: Callable[..., Any], run_args: Any, inplace: bool = False
) -> Any:
    """Prepare for training, train with ``run_fn(model, *run_args)``, convert."""
    if not inplace:
        model = copy.deepcopy(model)
    model.train()
    prepare_qat(model, inplace=True)
    run_fn(model, *run_args)
    return _converted("quantize_qat", model, None, True, True, False, None, {})


_RECURRENT = (nn.LSTM, nn.GRU, nn.LSTMCell, nn.RNNCell, nn.GRUCell)
_BY_DTYPE: dict[Any, tuple[tuple[Any, ...], Any]] = {
    d.qint8: ((nn.Linear, *_RECURRENT), configs.default_dynamic_qconfig),
    d.float16: ((nn.Linear, *_RECURRENT), configs.float16_dynamic_qconfig),
    d.quint8: ((nn.EmbeddingBag, nn.Embedding), configs.float_qparams_weight_only_qconfig),
}


def quantize_dynamic(
    model: Module, qconfig_spec: Any = None, dtype: Any = d.qint8, mapping: Any = None,
    inplace: bool = False,
) -> Any:  # fmt: skip
    """A model whose weights are integers, and whose activations become integers as they come.

    The weights' scales are fixed; an activation's scale is that of its own range, in each call.
    Convolutions are quantized when ``qconfig_spec`` asks for them; PyTorch leaves them. Layers
    that were asked for and stay as they are are named in a :class:`QuantizationWarning`;
    ``quantization_report(model)`` says what became of each.

    Args:
        model: a float model.
        qconfig_spec: a set of classes or names of modules, or a dict of qconfigs by class or name;
            None: Linear and recurrent layers (``dtype=quint8``: embeddings).
        dtype: ``qint8``; float16: weights in half precision; ``quint8``: tables.
        mapping: classes -> classes in their place.
        inplace: change ``model`` itself.

    Raises:
        ValueError, RuntimeError: no default for this dtype.

    >>> import dovetail as dt
    >>> model = dt.nn.Sequential(dt.nn.Conv2d(3, 8, 3), dt.nn.ReLU())
    >>> dt.ao.quantization.quantize_dynamic(model, {dt.nn.Conv2d}, dtype=dt.qint8)
    Sequential(
      (0): DynamicQuantizedConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): ReLU()
    )
    """
    named: dict[Any, Any] = {}
    if qconfig_spec is None:
        if dtype not in _BY_DTYPE:
            raise ValueError(
                f"Don't know how to quantize with default settings for {dtype}. Provide full "
                "qconfig please"
            )
        kinds, qconfig = _BY_DTYPE[dtype]
        qconfig_spec = dict.fromkeys(kinds, qconfig)
    elif isinstance(qconfig_spec, dict):
        named = qconfig_spec
    else:
        if dtype not in _BY_DTYPE:
            raise RuntimeError(f"Unknown dtype specified for quantize_dynamic: {dtype}")
        named = qconfig_spec = dict.fromkeys(qconfig_spec, _BY_DTYPE[dtype][1])
    if mapping is None:
        mapping = mappings.get_default_dynamic_quant_module_mappings()
    if not inplace:
        model = copy.deepcopy(model)
    model.eval()
    propagate_qconfig_(model, qconfig_spec)
    return _converted("quantize_dynamic", model, mapping, True, True, False, None, named)
