"""A BERT of a few kilobytes with random weights, as the sentence-transformers folder it would be saved to."""

import json
from pathlib import Path

import numpy as np

HIDDEN, HEADS, LAYERS, INNER, POSITIONS = 8, 2, 2, 16, 12
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "boat", "sails", "far", "##ther", "Red")


def write_tiny_bert(folder: Path, *, pooling: str = "mean", seed: int = 0, prefix: str = "") -> Path:
    """Write the model into *folder*; *prefix* stands in front of every tensor's name."""
    from safetensors.numpy import save_file

    (folder / "1_Pooling").mkdir(parents=True)
    write_json(folder / "config.json", tiny_config())
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 10, "do_lower_case": False})
    write_json(folder / "tokenizer.json", tiny_tokenizer())
    modes = {"pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_cls_token": pooling == "cls"}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, **modes})
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    write_json(folder / "modules.json", modules)
    save_file({prefix + name: value for name, value in tiny_tensors(seed).items()}, folder / "model.safetensors")
    return folder


def write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")


def tiny_config() -> dict[str, object]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "vocab_size": len(WORDS),
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def tiny_tokenizer() -> dict[str, object]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=32)  # as published folders do: the embedder must undo it
    written: dict[str, object] = json.loads(tokenizer.to_str())
    return written


def tiny_tensors(seed: int) -> dict[str, np.ndarray]:
    source = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return source.standard_normal(shape).astype(np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": 1 + draw(HIDDEN) * np.float32(0.1), f"{name}.bias": draw(HIDDEN)}

    def dense(name: str, out: int, into: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": draw(out, into), f"{name}.bias": draw(out)}

    tensors = {
        "embeddings.word_embeddings.weight": draw(len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": draw(POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": draw(2, HIDDEN),
        **norm("embeddings.LayerNorm"),
    }
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            tensors |= dense(f"{name}.{part}", HIDDEN, HIDDEN)
        tensors |= norm(f"{name}.attention.output.LayerNorm") | norm(f"{name}.output.LayerNorm")
        tensors |= dense(f"{name}.intermediate.dense", INNER, HIDDEN) | dense(f"{name}.output.dense", HIDDEN, INNER)
    return tensors
