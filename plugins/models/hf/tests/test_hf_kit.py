"""The model `hf` passes the conformance kit with a folder of its own."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path

from tokenizers import Tokenizer as Fast
from tokenizers import decoders, models, pre_tokenizers

from tokenbench_testing import ModelKit

FOLDER = Path(tempfile.mkdtemp(prefix="tokenbench-hf-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def _write() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(["<|end|>"])
    fast.save(str(FOLDER / "tokenizer.json"))
    config = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 264,
        "torch_dtype": "bfloat16",
    }
    (FOLDER / "config.json").write_text(json.dumps(config), encoding="utf-8")


_write()


class TestHf(ModelKit):
    """All checks. The tokenizer is tested with the folder's."""

    name = "hf"
    options = {"path": str(FOLDER)}
    texts = ("def f(x):\n    return x ** 2  # 10 %", "1234567890", " leading")
