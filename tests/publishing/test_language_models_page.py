"""The page on language models: its snippets run, the recipes with a stand-in of their servers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from semantic_ids import Trie, Vocabulary
from semantic_ids.publishing.inverse import ItemsById
from semantic_ids.publishing.language_files import write_language_files
from tests.publishing.test_hugging_face import words

PAGE = Path(__file__).parents[2] / "docs/language-models.md"
SIZES = (256, 256, 256)
RNG = np.random.default_rng(0)
IDS = np.vstack([[45, 123, 67], [9, 1, 200], RNG.integers(0, 256, (60, 3))]).astype(np.int32)
VALID = {tuple(row) for row in IDS.tolist()}


def blocks() -> list[str]:
    found = re.findall(r"```python[^\n]*\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [block for block in found if "import torch" not in block]  # without the recipes


def recipe(word: str) -> str:
    found = re.findall(r"```python title=[^\n]*\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (block,) = (block for block in found if word in block)
    return block


@pytest.fixture
def written(tmp_path, monkeypatch):
    """What a run has written, and a model of somebody else."""
    folder = tmp_path / "data/07_model_output"
    folder.mkdir(parents=True)
    item_ids = pa.array(range(len(IDS)))
    write_language_files(folder, IDS, item_ids, sizes=SIZES, levels=3)
    ItemsById(item_ids, IDS, SIZES).save(folder / "items_by_id.parquet")
    tokenizer = words()
    tokenizer.save_pretrained(tmp_path / "your_model")
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=128)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "your_model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def test_the_snippets_run_one_after_the_other(written):
    torch.manual_seed(0)
    names: dict = {}
    for number, block in enumerate(blocks()):
        exec(compile(block, f"snippet {number}", "exec"), names)
        if number == 0:
            assert names["ids"].tolist() == [[49, 383, 583]]
    assert len(names["found"]) == 20 and {tuple(row) for row in names["found"].tolist()} <= VALID
    assert {tuple(row) for row in names["recommended"].tolist()} <= VALID
    assert len(names["recommended"]) == 1
    assert Vocabulary.load("tuned") == names["vocabulary"] != Vocabulary.load(written)
    assert names["nodes"].tolist() == [names["trie"].node((45, 123)), names["trie"].node((9, 1))]


def greedy(step, prompt=0):
    """Write four tokens, each time the best of random scores: step(written, logits) → logits."""
    rng, ids = np.random.default_rng(prompt), []
    for _ in range(4):
        logits = torch.tensor(rng.normal(size=800), dtype=torch.float32)
        ids.append(int(step(ids, logits).argmax()))
    return ids


def test_the_recipe_for_vllm_writes_ids_of_items(written, monkeypatch):
    class Adapter:
        """What the documents of vLLM say of `AdapterLogitsProcessor`."""

        def __init__(self, vllm_config, device, is_pin_memory):
            self.device = device

    names = ("vllm", "vllm.v1", "vllm.v1.sample", "vllm.v1.sample.logits_processor")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[names[-1]].AdapterLogitsProcessor = Adapter
    monkeypatch.setenv("SEMANTIC_IDS", str(written))
    monkeypatch.setenv("SEMANTIC_IDS_VOCABULARY", str(written))
    found: dict = {}
    exec(compile(recipe("vllm"), "recipe", "exec"), found)
    processor = found["ItemsOnly"](None, torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    assert processor.new_req_logits_processor(SimpleNamespace(extra_args=None)) is None
    only = processor.new_req_logits_processor(SimpleNamespace(extra_args={"items_only": 1}))
    for seed in range(5):
        ids = greedy(only, seed)
        assert tuple(Vocabulary.load(written).codes_of([ids[:3]])[0].tolist()) in VALID
        assert ids[3] == 3


def test_the_recipe_for_sglang_writes_ids_of_items(written, monkeypatch):
    names = ("sglang", "sglang.srt", "sglang.srt.sampling")
    names = (*names, "sglang.srt.sampling.custom_logit_processor")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[names[-1]].CustomLogitProcessor = object
    monkeypatch.setenv("SEMANTIC_IDS", str(written))
    monkeypatch.setenv("SEMANTIC_IDS_VOCABULARY", str(written))
    found: dict = {}
    exec(compile(recipe("sglang"), "recipe", "exec"), found)
    processor = found["ItemsOnly"]()

    def step(ids, logits):
        wanted = {"items_only": True, "__req__": SimpleNamespace(output_ids=ids)}
        both = processor(logits.repeat(2, 1), [wanted, None])
        assert torch.equal(both[1], logits)  # that of somebody else
        return both[0]

    for seed in range(5):
        ids = greedy(step, seed)
        assert Trie.load(written).contains(Vocabulary.load(written).codes_of([ids[:3]])).all()
        assert ids[3] == 3
