"""CPU time of one question's embedding against bare ONNX Runtime, and of batches; prints one JSON object.

    OMP_NUM_THREADS=1 python -m tests.bench.embedding

"Bare" is what a competent user would write without this project: a plain BERT exported with torch's own exporter, in
an ONNX Runtime session with one thread, the tokenizer's batch call, mean pooling and normalisation in numpy. Both are
timed in alternating rounds of one process; ratios are of medians. `time.process_time` counts every thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from server.embedding.folder import SentenceModel, read_folder
from server.embedding.onnx_embedder import load_onnx_embedder
from server.embedding.weights import find_default_folder

Rows = npt.NDArray[np.float32]

#: Twelve words each, invented for this measurement.
QUESTIONS = (
    "where can visitors leave their bicycles when the museum opens late today",
    "how many copper pipes fit into the crate beside the blue door",
    "please explain why the northern ferry stops running during the autumn storms",
    "which form must a beekeeper send before moving hives across the border",
    "what does the red lamp above the third boiler mean at night",
    "can my neighbour borrow the library ladder for two weeks in march",
    "when will the bakery on the corner start selling rye bread again",
    "who repairs the old clock tower after the winter frost breaks it",
)


class BareRuntime:
    """ONNX Runtime over an exported graph, as its documentation shows it."""

    def __init__(self, graph: Path, model: SentenceModel) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_str(model.tokenizer_json.decode("utf-8"))
        self.tokenizer.enable_truncation(model.tokens_max)
        self.tokenizer.enable_padding()

    def inputs(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        encodings = self.tokenizer.encode_batch(list(texts))
        return {
            "input_ids": np.array([each.ids for each in encodings], dtype=np.int64),
            "attention_mask": np.array([each.attention_mask for each in encodings], dtype=np.int64),
        }

    def forward(self, inputs: dict[str, npt.NDArray[np.int64]]) -> Rows:
        states: Rows = self.session.run(None, inputs)[0]
        return states

    def embed(self, texts: Sequence[str]) -> Rows:
        inputs = self.inputs(texts)
        states = self.forward(inputs)
        mask = inputs["attention_mask"][:, :, None].astype(np.float32)
        pooled = (states * mask).sum(axis=1) / mask.sum(axis=1)
        rows: Rows = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return rows


def export_plain_bert(model: SentenceModel, file: Path) -> None:
    """Write transformers' BertModel (eager attention) as ONNX with torch's exporter, opset 17."""
    import torch
    from transformers import BertModel

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel.from_pretrained(
                str(model.folder), local_files_only=True, attn_implementation="eager", add_pooling_layer=False
            )

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return states

    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    axes = {0: "rows", 1: "width"}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            States().eval(),
            example,
            str(file),
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["states"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "states": axes},
        )


def cpu_ms(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds of CPU per call."""
    start_s = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start_s) / repeats * 1e3


def compare(calls: dict[str, Callable[[], object]], *, rounds: int, repeats: int) -> dict[str, float]:
    """Medians over alternating rounds, milliseconds of CPU per call."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(cpu_ms(call, repeats))
    return {name: statistics.median(times) for name, times in found.items()}


def measure(*, rounds: int, repeats: int) -> dict[str, object]:
    """Load both, check that they agree, and measure."""
    model = read_folder(find_default_folder())
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "bare.onnx"
        export_plain_bert(model, graph)
        bare = BareRuntime(graph, model)
    start_s = time.perf_counter()
    ours = load_onnx_embedder(model)
    load_s = time.perf_counter() - start_s
    difference = float(np.abs(bare.embed(QUESTIONS) - ours.embed(QUESTIONS)).max())
    turns = [0, 0, 0]

    def following(turn: int) -> list[str]:
        turns[turn] += 1
        return [QUESTIONS[turns[turn] % len(QUESTIONS)]]

    prepared = [bare.inputs([question]) for question in QUESTIONS]

    def bare_forward() -> object:
        turns[2] += 1
        return bare.forward(prepared[turns[2] % len(prepared)])

    single = compare(
        {
            "ours": lambda: ours.embed(following(0)),
            "bare": lambda: bare.embed(following(1)),
            "bare_forward_alone": bare_forward,
        },
        rounds=rounds,
        repeats=repeats,
    )
    mixed = [question[: 12 + 9 * (place % 7)] for place, question in enumerate(QUESTIONS * 4)]
    batches = {}
    for name, texts in {"8_alike": list(QUESTIONS), "32_alike": list(QUESTIONS) * 4, "32_mixed": mixed}.items():
        both = compare(
            {"ours": lambda texts=texts: ours.embed(texts), "bare": lambda texts=texts: bare.embed(texts)},  # type: ignore[misc]
            rounds=max(3, rounds // 2),
            repeats=max(2, repeats // 10),
        )
        batches[name] = {
            "ours_ms_per_text": round(both["ours"] / len(texts), 3),
            "bare_ms_per_text": round(both["bare"] / len(texts), 3),
            "ratio": round(both["ours"] / both["bare"], 3),
        }
    return {
        "question_cpu_ms": {name: round(value, 3) for name, value in single.items()},
        "ratio_to_bare": round(single["ours"] / single["bare"], 3),
        "ratio_to_bare_forward_alone": round(single["ours"] / single["bare_forward_alone"], 3),
        "batches": batches,
        "largest_component_difference": difference,
        "load_s": round(load_s, 3),
        "rounds": rounds,
        "repeats": repeats,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    print(json.dumps(measure(rounds=arguments.rounds, repeats=arguments.repeats), indent=2))


if __name__ == "__main__":
    main()
