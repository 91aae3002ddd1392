"""A model's spec from its files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from tokenbench.api import (
    TOKENIZER_FILE,
    Architecture,
    FrozenMap,
    ModelSpec,
    Tokenizer,
    UsageError,
    Weights,
    expert_parameters,
    read_tokenizer,
)

from .config import architecture_of, text_part
from .folder import Folder, check_model, open_folder
from .hub import is_hub_id, open_repository
from .precision import UNKNOWN, dtype_label, kv_precision_of, precision_of, quantization_of
from .weight_files import WeightFiles, headers, is_mtp, main_dtype, parameters, weight_files

if TYPE_CHECKING:
    from .plugin import HfOptions

FORMAT = "hf"
"""A folder or repository in the format of Hugging Face transformers."""
_EXTRA = ("draft", "eagle", "mtp", "adapter")
_CACHED = re.compile(r"models--(?P<org>.+?)--(?P<name>.+)")
_LICENSE = re.compile(r"^license:\s*['\"]?([\w.-]+)", re.MULTILINE)


def make_model(options: HfOptions) -> ModelSpec:
    """The model that the options name.

    Raises:
        UsageError: the folder or repository holds no model, or a file of it is damaged.
    """
    if (options.path is None) == (options.id is None):
        raise UsageError(
            "the model hf needs path or id, but not both",
            hint="write hf:path=FOLDER or hf:id=ORG/NAME",
        )
    if options.path is not None:
        if options.revision is not None:
            raise UsageError(
                "revision has no effect with path",
                hint="remove revision, or use id=ORG/NAME",
            )
        folder, source = _local(options.path)
        name = _folder_name(folder.path)
    else:
        assert options.id is not None
        folder, source = open_repository(options.id, options.revision), f"hub:{options.id}"
        name = options.id
    config = check_model(folder)
    files = weight_files(folder, whole=options.path is not None)
    tensors = headers(files)
    quantised = folder.json("hf_quant_config.json")
    extra = {kind: _extra(getattr(options, kind), kind) for kind in _EXTRA}
    return ModelSpec(
        name=name,
        summary=f"{name}, from its files",
        weights=(_weights(folder, source, config, files, tensors),),
        architecture=_architecture(config, files, tensors),
        tokenizer=_tokenizer_of(folder),
        extra_weights=FrozenMap({kind: found for kind, found in extra.items() if found}),
        chat_template=_chat_template(folder),
        facts=FrozenMap(_facts(folder, config, quantised)),
    )


def _local(text: str) -> tuple[Folder, str]:
    folder = open_folder(text)
    return folder, f"file:{folder.path.absolute()}"


def _folder_name(path: Path) -> str:
    """The folder's name; ORG/NAME for a snapshot in the hub's cache."""
    real = path.resolve()
    cached = _CACHED.fullmatch(real.parent.parent.name) if real.parent.name == "snapshots" else None
    return f"{cached['org']}/{cached['name']}" if cached else real.name or "model"


def _weights(
    folder: Folder,
    source: str,
    config: Mapping[str, Any],
    files: WeightFiles,
    tensors: Mapping[str, Mapping[str, Any]],
    purpose: str = "main",
) -> Weights:
    precision = precision_of(config, folder.json("hf_quant_config.json"))
    if precision == UNKNOWN:
        precision = dtype_label(main_dtype(tensors)) or UNKNOWN
    return Weights(
        precision=precision,
        format=FORMAT,
        source=source,
        revision=folder.revision,
        size_bytes=files.size_bytes,
        license=_license(folder),
        purpose=purpose,
    )


def _architecture(
    config: Mapping[str, Any], files: WeightFiles, tensors: Mapping[str, Mapping[str, Any]]
) -> Architecture:
    shape = architecture_of(config)
    names = files.tensors or frozenset(tensors)
    if names and not any(is_mtp(name, shape.layers) for name in names):
        # Some configs name MTP heads that the published weights do not have.
        shape = attrs.evolve(shape, mtp_heads=None)
    total = parameters(tensors, shape.layers)
    return attrs.evolve(shape, parameters=total, active_parameters=_active(shape, total))


def _active(shape: Architecture, total: int | None) -> int | None:
    """Without the routed experts that a token does not take."""
    if total is None or shape.experts is None:
        return total
    routed = expert_parameters(shape)
    if routed is None or shape.active_experts is None or routed > total:
        return None
    return total - routed * (shape.experts - shape.active_experts) // shape.experts


def _extra(text: str | None, kind: str) -> Weights | None:
    """Extra weights: a folder or a repository with a config.json, or an adapter's."""
    if text is None:
        return None
    if is_hub_id(text):
        folder, source = open_repository(text, None), f"hub:{text}"
    else:
        folder, source = _local(text)
    adapter = folder.json("adapter_config.json")
    if kind == "adapter" and not adapter:
        raise UsageError(
            f"{folder.path} holds no LoRA adapter: it has no adapter_config.json",
            hint="name the folder that contains adapter_config.json",
        )
    config = adapter if kind == "adapter" else check_model(folder)
    files = weight_files(folder, whole=source.startswith("file:"))
    return _weights(folder, source, config, files, headers(files), kind)


def _tokenizer_of(folder: Folder) -> Any:
    """A function that reads the tokenizer on first use; None if the folder has no tokenizer that
    the library tokenizers can read.
    """
    file = folder.path / TOKENIZER_FILE
    if not file.exists():
        return None

    def read(_: str) -> Tokenizer:
        install = "pip install 'tokenbench-model-hf[tokenizer]'"
        return read_tokenizer(file, where="model hf: tokenizer", install=install)

    return read


def _chat_template(folder: Folder) -> str | None:
    """From ``chat_template.jinja``, ``chat_template.json`` or ``tokenizer_config.json``."""
    if (folder.path / "chat_template.jinja").exists():
        return folder.text("chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = folder.json(name).get("chat_template")
        if isinstance(found, str):
            return found
        for one in found if isinstance(found, list) else ():
            if isinstance(one, Mapping) and one.get("name") == "default":
                return str(one.get("template"))
    return None


def _license(folder: Folder) -> str | None:
    """As the model card's header says."""
    if not (folder.path / "README.md").exists():
        return None
    text = folder.text("README.md")
    header = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _LICENSE.search(header)
    return found[1] if found else None


def _facts(
    folder: Folder, config: Mapping[str, Any], quantised: Mapping[str, Any]
) -> dict[str, str]:
    """What can change results, for the records of a run."""
    found = {}
    kind = config.get("model_type") or text_part(config).get("model_type")
    if isinstance(kind, str):
        found["type"] = kind
    quantization = quantization_of(config, quantised)
    if quantization:
        found["quantization"] = str(quantization.get("quant_method", "unknown"))
    if (kv := kv_precision_of(quantization)) is not None:
        found["kv_precision"] = kv
    generation = {
        key: value
        for key, value in folder.json("generation_config.json").items()
        if not key.startswith("_") and key != "transformers_version"
    }
    if generation:
        found["generation_config"] = json.dumps(generation, sort_keys=True)
    return found
