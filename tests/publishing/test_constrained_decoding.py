"""Models of transformers with random weights write IDs of items, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from semantic_ids.errors import BadInput
from semantic_ids.publishing.constrained_decoding import (
    IdConstraint,
    TrieLogitsProcessor,
    prefix_allowed_tokens_fn,
)
from semantic_ids.publishing.trie import Trie
from semantic_ids.publishing.vocabulary import Vocabulary

SIZES, LEVELS = (7, 9, 4), 3
RNG = np.random.default_rng(0)
IDS = np.unique(np.column_stack([RNG.integers(0, k, 40) for k in SIZES]), axis=0)
TRIE = Trie.build(IDS, SIZES)
VOCABULARY = Vocabulary.of(SIZES, 2, suffix_room=3)
VALID = {tuple(row) for row in IDS.tolist()}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY.ids[-1] + 1,
        n_positions=64,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        initializer_range=0.6,
    )
    return GPT2LMHeadModel(config).eval()


def prompts():
    """Histories of one, two and three items, padded on the left."""
    rows = [VOCABULARY.ids_of(IDS[:n]).ravel() for n in (1, 2, 3)]
    ids = torch.zeros((3, 10), dtype=torch.long)
    for row, history in zip(ids, rows, strict=True):
        row[len(row) - len(history) - 1 :] = torch.tensor([2, *history])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def constraints(inputs, kind, vocabulary=VOCABULARY, **options):
    width = inputs["input_ids"].shape[1]
    if kind == "function":
        made = prefix_allowed_tokens_fn(TRIE, vocabulary, width, **options)
        return {"prefix_allowed_tokens_fn": made}
    return {"logits_processor": [TrieLogitsProcessor(TRIE, vocabulary, width, **options)]}


def written(sequences, width=10):
    """Codes of what was written, one list of IDs a sequence; fails on what is no whole ID."""
    found = []
    for row in sequences[:, width:].tolist():
        ids = row[: row.index(3)] if 3 in row else row
        assert all(rest in (0, 3) for rest in row[len(ids) :])
        codes = VOCABULARY.codes_of(np.array(ids).reshape(-1, LEVELS))
        found.append([tuple(code) for code in codes.tolist()])
    return found


BEAMS = {"num_beams": 6, "num_return_sequences": 6, "do_sample": False}
SAMPLES = {"num_return_sequences": 20, "do_sample": True, "temperature": 1.5}
BOTH = pytest.mark.parametrize("kind", ["function", "processor"])


@BOTH
@pytest.mark.parametrize("how", [BEAMS, SAMPLES, {"num_beams": 3, "do_sample": True}, {}])
def test_every_id_is_one_of_an_item(model, kind, how):
    inputs = prompts()
    torch.manual_seed(1)
    made = model.generate(**inputs, **how, **constraints(inputs, kind), max_new_tokens=LEVELS + 1)
    assert made.shape[1] == 10 + LEVELS + 1 and (made[:, -1] == 3).all()  # the end comes after it
    ids = written(made)
    assert all(len(row) == 1 and row[0] in VALID for row in ids)
    if how is BEAMS:
        assert all(len({tuple(row) for row in ids[i : i + 6]}) == 6 for i in (0, 6, 12))


@pytest.mark.parametrize("how", [BEAMS, SAMPLES])
def test_without_the_trie_most_are_not(model, how):
    torch.manual_seed(1)
    made = model.generate(**prompts(), **how, max_new_tokens=LEVELS, min_new_tokens=LEVELS)
    rows = made[:, 10:].numpy()
    first = VOCABULARY.first_id + np.array(VOCABULARY.offsets)
    valid = [tuple(row) in VALID for row in (rows - first).tolist()]
    assert np.mean(valid) < 0.5


def test_both_ways_give_the_same_beams_and_scores(model):
    inputs = prompts()
    one, other = (
        model.generate(
            **inputs,
            **BEAMS,
            **constraints(inputs, kind),
            max_new_tokens=LEVELS,
            return_dict_in_generate=True,
            output_scores=True,
        )
        for kind in ("function", "processor")
    )
    torch.testing.assert_close(one.sequences, other.sequences, rtol=0, atol=0)
    torch.testing.assert_close(one.sequences_scores, other.sequences_scores, rtol=0, atol=0)


def test_as_many_beams_as_ids_find_them_all_in_the_order_of_their_scores(model):
    """Against scoring every item: no ID is lost, also with more beams than there are IDs."""
    inputs = {name: values[2:] for name, values in prompts().items()}
    n = len(VALID)
    made = model.generate(
        **inputs,
        **constraints(inputs, "processor", replace(VOCABULARY, end=None)),
        num_beams=n + 5,
        num_return_sequences=n,
        max_new_tokens=LEVELS,
        length_penalty=0.0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    tokens = torch.tensor(VOCABULARY.ids_of(IDS))
    whole = torch.cat([inputs["input_ids"].expand(n, -1), tokens], dim=1)
    mask = torch.cat([inputs["attention_mask"].expand(n, -1), torch.ones_like(tokens)], dim=1)
    with torch.no_grad():
        logs = model(
            input_ids=whole, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(0)
        ).logits
    logs = logs[:, -LEVELS - 1 : -1].log_softmax(-1).gather(2, tokens[..., None]).sum((1, 2))
    order = logs.argsort(descending=True)
    assert [row[0] for row in written(made.sequences)] == [tuple(IDS[i].tolist()) for i in order]
    torch.testing.assert_close(made.sequences_scores, logs[order], rtol=1e-4, atol=1e-4)


@BOTH
@pytest.mark.parametrize("how", [BEAMS, SAMPLES])
def test_several_items_in_a_row(model, kind, how):
    inputs = prompts()
    torch.manual_seed(2)
    made = model.generate(
        **inputs, **how, **constraints(inputs, kind, items=3), max_new_tokens=3 * LEVELS + 1
    )
    ids = written(made)
    assert all(len(row) == 3 and set(row) <= VALID for row in ids)


@BOTH
def test_up_to_several_items_where_fewer_are_allowed(model, kind):
    inputs = prompts()
    torch.manual_seed(3)
    made = model.generate(
        **inputs, **SAMPLES, **constraints(inputs, kind, items=3, fewer=True), max_new_tokens=10
    )
    ids = written(made)
    assert {len(row) for row in ids} == {1, 2, 3} and all(set(row) <= VALID for row in ids)


@BOTH
def test_the_end_ends_and_without_one_max_new_tokens_must(model, kind):
    inputs = prompts()
    made = model.generate(**inputs, **constraints(inputs, kind), max_new_tokens=20, num_beams=4)
    assert (made[:, 10 + LEVELS] == 3).all() and made.shape[1] == 10 + LEVELS + 1
    endless = constraints(inputs, kind, replace(VOCABULARY, end=None))
    made = model.generate(**inputs, **endless, max_new_tokens=LEVELS)
    assert all(row[0] in VALID for row in written(made))
    with pytest.raises(BadInput, match="expected max_new_tokens=3, or an end token"):
        model.generate(**inputs, **endless, max_new_tokens=LEVELS + 1, eos_token_id=None)


@BOTH
def test_a_prefix_in_the_prompt_is_completed(model, kind):
    prefix = VOCABULARY.ids_of(IDS[:, :2])[5:6]
    ids = torch.tensor([[2, *prefix[0]]])
    options = {"prompt_length": 1}
    if kind == "function":
        given = {"prefix_allowed_tokens_fn": prefix_allowed_tokens_fn(TRIE, VOCABULARY, **options)}
    else:
        given = {"logits_processor": [TrieLogitsProcessor(TRIE, VOCABULARY, **options)]}
    made = model.generate(ids, attention_mask=torch.ones_like(ids), **given, max_new_tokens=2)
    (found,) = written(made, width=1)
    assert found[0] in VALID and found[0][:2] == tuple(IDS[5, :2].tolist())


@BOTH
def test_an_encoder_with_a_decoder(kind):
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCABULARY.ids[-1] + 1,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        eos_token_id=3,
        pad_token_id=0,
    )
    given = (
        {"prefix_allowed_tokens_fn": prefix_allowed_tokens_fn(TRIE, VOCABULARY, 1)}
        if kind == "function"
        else {"logits_processor": [TrieLogitsProcessor(TRIE, VOCABULARY, 1)]}
    )
    made = T5ForConditionalGeneration(config).generate(
        **prompts(), **BEAMS, **given, max_new_tokens=4
    )
    assert all(len(row) == 1 and row[0] in VALID for row in written(made, width=1))


@pytest.mark.parametrize(("items", "fewer"), [(1, False), (2, False), (2, True)])
def test_what_is_allowed_is_what_sets_allow(items, fewer):
    """Both ways, at every step of random walks and of sequences that have gone astray."""
    rng = np.random.default_rng(4)
    constraint = IdConstraint(TRIE, VOCABULARY, 5, items=items, fewer=fewer)
    rows = IDS[rng.integers(0, len(IDS), (12, items))].reshape(12, -1)
    walks = VOCABULARY.ids_of(rows.reshape(-1, LEVELS)).reshape(12, -1)
    walks[3, 1] = walks[4, 0] = 5
    walks[5, 2:] = 3
    for t in range(items * LEVELS):
        level, allowed, may_end = constraint.after_all(walks[:, :t])
        first = VOCABULARY.first_id + VOCABULARY.offsets[level]
        for row, mask, ends in zip(walks[:, :t].tolist(), allowed, may_end, strict=True):
            found = {first + code for code in np.flatnonzero(mask)} | ({3} if ends else set())
            begun = row[t - level :]
            following = {
                VOCABULARY.first_id + VOCABULARY.offsets[level] + code[level]
                for code in VALID
                if VOCABULARY.ids_of([code])[0, :level].tolist() == begun and 3 not in row
            }
            over = not following or (fewer and t > 0 and level == 0)
            assert found == set(constraint.after(row)) == following | ({3} if over else set())


def test_what_does_not_go_together_is_refused(model):
    with pytest.raises(BadInput, match="the trie and the vocabulary of the same IDs"):
        IdConstraint(TRIE, Vocabulary.of((7, 9), 2), 0)
    with pytest.raises(BadInput, match="items is 0"):
        IdConstraint(TRIE, VOCABULARY, 0, items=0)
    large = replace(VOCABULARY, first_id=50)
    with pytest.raises(BadInput, match="resize_token_embeddings"):
        model.generate(**prompts(), **constraints(prompts(), "processor", large), max_new_tokens=3)
    with pytest.raises(BadInput, match="prompt_length to be where the first ID begins"):
        model.generate(
            **prompts(),
            logits_processor=[TrieLogitsProcessor(TRIE, VOCABULARY, 9)],
            max_new_tokens=3,
        )
