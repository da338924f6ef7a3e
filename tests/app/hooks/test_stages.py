"""Which stages are timed, and when they end."""

from __future__ import annotations

from kedro.pipeline import Node

from semantic_ids.app.hooks.stages import StageHooks


def test_a_stage_ends_with_its_last_output_and_one_that_makes_nothing_when_it_is_done():
    hooks = StageHooks()
    made = Node(lambda x: (x, x), "x", ["first", "last"], name="made")
    nothing = Node(print, "x", None, name="nothing")
    for node in (made, nothing):
        hooks.before_dataset_loaded(node)
        hooks.after_node_run(node)
        assert ("made" in hooks.seconds) == (node is nothing)
        for name in node.outputs:
            hooks.after_dataset_saved(name, node)
    assert list(hooks.seconds) == ["made", "nothing"]
    assert hooks.written == ["first", "last"]
