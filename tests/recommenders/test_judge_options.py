from __future__ import annotations

import pytest

from semantic_ids.errors import BadInput
from semantic_ids.options import from_text, types_of
from semantic_ids.recommenders.judge_options import JudgeOptions


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ks": [5, 1]}, r"judge.ks: \[5, 1\]; expected ascending"),
        ({"ks": [5, 5]}, r"judge.ks: \[5, 5\]; expected ascending"),
        ({"beams": [0, 10]}, "judge.beams: 'beams' is"),
        ({"slices": [1, 2, 3]}, "judge.slices: 3 bounds; expected two"),
        ({"slices": [30, 5]}, "judge.slices: .* ascending"),
        ({"baselines": ["popular"]}, "judge.baselines: 'popular'; the nearest is 'popularity'"),
        ({"controls": ["random", "random"]}, "judge.controls: .* each name once"),
    ],
)
def test_what_cannot_be_judged_is_refused(values, said):
    with pytest.raises(BadInput, match=said):
        JudgeOptions.of(values)


def test_nothing_is_compared_where_nothing_is_asked_for():
    hint = types_of(JudgeOptions)["baselines"]
    typed = {name: from_text("[]", hint) for name in ("baselines", "controls", "beams")}
    assert JudgeOptions.of(typed).baselines == JudgeOptions.of(typed).beams == ()
    assert from_text("popularity+sasrec", hint) == ["popularity", "sasrec"]
