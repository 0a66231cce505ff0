"""The file of rates that the cost of a run is reckoned with."""

import pytest

from dnd.config.load import ConfigError
from dnd.run.cost import rates as cost_rates

TEXT = """\
stages: {topk: {device: EPYC, job: 1.5, item: 0.25}}
assumptions: {exemplars: 0.5, views: 0.8, questions: 0.5, candidates: 2, concepts: 0.25,
  caption_tokens: 10, answer_tokens: 3}
"""


def test_a_file_of_rates_is_read(tmp_path):
    path = tmp_path / "rates.yaml"
    path.write_text(TEXT)
    rates = cost_rates.read(path)
    assert rates.stages == {"topk": cost_rates.Rate(device="EPYC", gpu=False, threads=1, job=1.5, item=0.25, size=0)}
    assert (rates.assumptions.candidates, rates.assumptions.probe_images) == (2, 50_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {topk: {job: -1}}", r"rates\.yaml: .*stages\.topk\.device"),
        (TEXT.replace("1.5", "-1"), r"rates\.yaml: .*stages\.topk\.job"),
        (TEXT.replace("views: 0.8, ", ""), r"rates\.yaml: .*assumptions\.views"),
    ],
)
def test_a_rate_that_is_missing_or_below_zero_is_named(tmp_path, text, message):
    path = tmp_path / "rates.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        cost_rates.read(path)
