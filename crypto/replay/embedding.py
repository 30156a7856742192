"""An auditor's own embedder: the vector of a question, to hold an opened query against.

Computed by transformers on torch, whatever the gateway used; the last bits may differ, and so a component of the
quantised vector by 1, which is what the comparison allows. Found through the entry point group `hitproof.embedders`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import ReplayUnavailable
from .sentence_folder import INDEX_NAME, SentenceFolder, read_sentence_folder

TEXT_CHARACTERS_MAX: Final = 131_072
_LENGTH_MIN: Final = 1e-6
#: Heads that some folders lack and no pooling here uses; the library draws them at random and warns.
_UNUSED: Final = ("pooler.",)


class FolderEmbedder:
    """A loaded sentence embedder; one text at a time, on the CPU, in single precision."""

    def __init__(self, files: SentenceFolder, tokenizer: Any, network: Any) -> None:
        self._files = files
        self._tokenizer = tokenizer
        self._network = network
        #: Every embedder digest that a gateway gives this model, the one on CPUs first: on GPUs its arithmetic has
        #: another name.
        self.digests: Final = tuple(files.digest(variant) for variant in files.variants())

    def embed(self, text: str) -> Sequence[float]:
        """Return the unit vector of *text*. Raises `ReplayUnavailable` for a text without one."""
        import torch

        try:
            with torch.inference_mode():
                ids = torch.tensor([self._tokens(text)], dtype=torch.int64)
                states = self._network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
                pooled = (states[0] if self._files.pooling == "cls" else states.mean(dim=0)).to(torch.float64)
                length = float(torch.linalg.vector_norm(pooled))
                if not _LENGTH_MIN <= length < float("inf"):
                    raise ReplayUnavailable("the embedder gives this text a vector without direction")
                return [float(part) for part in (pooled / length).to(torch.float32)]
        except (RuntimeError, IndexError) as error:
            raise ReplayUnavailable(f"torch cannot run the embedder: {type(error).__name__}") from error

    def _tokens(self, text: str) -> list[int]:
        if len(text) > TEXT_CHARACTERS_MAX or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ReplayUnavailable(f"the text is longer than {TEXT_CHARACTERS_MAX} characters or is not Unicode")
        lowered = text.lower() if self._files.lowercases else text
        ids: list[int] = self._tokenizer.encode(self._files.prompt + lowered).ids
        if not ids:
            raise ReplayUnavailable("the text has no tokens")
        return ids


class FolderEmbedderLoader:
    """Loads sentence-transformers folders; among them that of the default embedder, in its package's folder `model`."""

    name: Final = "transformers"

    def load(self, folder: Path) -> FolderEmbedder:
        """Load *folder*, without network and without code of the folder. Raises `ReplayUnavailable`."""
        try:
            import tokenizers
            import torch
            import transformers
        except ImportError as error:
            raise ReplayUnavailable(
                f"an embedder needs hitproof-verify[replay], which is not here ({error.name})"
            ) from None
        files = read_sentence_folder(folder)
        try:
            tokenizer = tokenizers.Tokenizer.from_str(files.tokenizer.decode("utf-8"))
        except Exception as error:  # the library raises bare Exception for a malformed file
            raise ReplayUnavailable("the embedder's tokenizer.json is not a tokenizer") from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(files.tokens_max)
        network = _load_network(files, transformers, torch.float32)
        return FolderEmbedder(files, tokenizer, network)


def _load_network(files: SentenceFolder, transformers: Any, dtype: Any) -> Any:
    with tempfile.TemporaryDirectory() as staged:
        # A folder with nothing in it but what was hashed, so that the library finds no other file.
        contents = {**files.weights, "config.json": files.config}
        if files.index is not None:
            contents[INDEX_NAME] = files.index
        for name, content in contents.items():
            Path(staged, name).write_bytes(content)
        try:
            network, found = transformers.AutoModel.from_pretrained(
                staged,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=dtype,
                output_loading_info=True,
            )
        except Exception as error:  # whatever the library raises for a folder that it cannot load
            raise ReplayUnavailable(f"transformers cannot load the embedder: {type(error).__name__}") from error
    missing = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    lacking = [name for name in missing if not name.startswith(_UNUSED)]
    if lacking:
        raise ReplayUnavailable(f"the embedder's weights lack {len(lacking)} tensors, the first being {lacking[0]}")
    return network.eval()


LOADER: Final = FolderEmbedderLoader()
