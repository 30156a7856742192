"""Loading a Hugging Face folder: no network, no code of the folder, weights from safetensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load_folder(folder: Path, dtype: str, attention: str | None = None) -> tuple[Any, Any, list[str]]:
    """Return tokenizer, model on the CPU, and the names of tensors that the weights lack.

    *dtype* is a torch dtype's name or `auto`, *attention* an implementation's name or None for the library's choice.
    transformers draws weights that it does not find at random and goes on: whoever calls must refuse the third value
    where it is not empty. Raises what the libraries raise for a folder they cannot load.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_fast=True
    )
    chosen = {} if attention is None else {"attn_implementation": attention}
    model, found = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=dtype,
        output_loading_info=True,
        **chosen,
    )
    return tokenizer, model, sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
