"""Sentence vectors and token vectors of tiny encoders, and of the embedded one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_models import one_thread  # noqa: F401
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from dnd.backends.hub import ModelError
from dnd.config.evaluation import SentenceSettings
from dnd.evaluation.sentences import SentenceEncoder
from training import sentences

EMBEDDED = Path(__file__).parents[3] / "resources" / "shapeworld" / "sentences"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "stars", "circles", "on", "snow", "a", "of"]
TEXTS = ["red stars", "a circles of snow", "blue", "red stars", "stars on snow on snow on snow", ""]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def build(folder, config):
    torch.manual_seed(3)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=12, **SMALL)
    return build(tmp_path_factory.mktemp("bert"), config)


def encoder(folder, batch=4):
    found = SentenceEncoder(SentenceSettings(model=str(folder)))
    found.size.items = batch
    return found


def alone(folder, text):
    """Last hidden states of one text, without any filling."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        return model(input_ids=tokens["input_ids"]).last_hidden_state[0].numpy()


def test_a_vector_is_the_mean_over_the_text_alone(folder):
    found = encoder(folder).embed(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        mean = alone(folder, text).mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_vectors_do_not_depend_on_company(folder):
    whole = encoder(folder).embed(TEXTS)
    np.testing.assert_array_equal(whole[0], whole[3])
    np.testing.assert_array_equal(encoder(folder).embed(TEXTS[2:3])[0], whole[2])


def test_no_text_has_no_vector(folder):
    assert encoder(folder).embed([]).shape == (0, 0) and encoder(folder).tokens([]) == []


def test_tokens_are_those_of_the_text_with_special_ones_marked(folder):
    found = encoder(folder).tokens(["red stars", "red dog"])
    assert found[0].ids == (2, 4, 6, 3) and found[1].ids == (2, 4, 1, 3)
    assert found[1].special.tolist() == [True, False, False, True]  # an unknown word is a word
    hidden = alone(folder, "red stars")
    np.testing.assert_allclose(found[0].vectors, hidden / np.linalg.norm(hidden, axis=1)[:, None], atol=1e-5)


def test_a_long_text_is_cut_and_the_log_says_so(folder, caplog):
    found = encoder(folder).tokens(["red " * 20])
    assert len(found[0].ids) == 12 and "reads the first 12 of 22 tokens" in caplog.text


def test_positions_of_mpnet_begin_after_the_filling(tmp_path):
    config = transformers.MPNetConfig(vocab_size=len(WORDS), max_position_embeddings=12, pad_token_id=0, **SMALL)
    found = encoder(build(tmp_path, config))
    assert found.longest == 10 and np.isfinite(found.embed(["red " * 30])).all()


def test_a_model_of_images_is_refused(tmp_path):
    with pytest.raises(ModelError, match="reads no texts"):
        SentenceEncoder(SentenceSettings(model=str(EMBEDDED.parent / "target")))
    with pytest.raises(ModelError, match="no plain text encoder"):
        SentenceEncoder(SentenceSettings(model=str(EMBEDDED.parent / "embedder")))


def test_phrases_say_what_their_meaning_is():
    drawn = sentences.phrases(300, 3, seed=9)
    groups = drawn.extensions.reshape(300, 3, -1)
    assert (groups == groups[:, :1]).all()
    assert len(set(drawn.lines)) > 600 and 0.02 < drawn.held_out.mean() < 0.2


def test_wanted_vectors_have_the_overlaps_as_cosines():
    drawn = sentences.phrases(250, 1, seed=4)
    meanings = torch.unique(torch.from_numpy(drawn.extensions), dim=0)[: sentences.WIDTH]
    vectors = sentences.wanted_vectors(meanings, meanings)  # as many dimensions as meanings: exact
    shared = meanings @ meanings.T
    union = (meanings[:, None] + meanings[None] > 0).sum(2)
    np.testing.assert_allclose((vectors @ vectors.T).numpy(), (shared / union).numpy(), atol=1e-4)


def test_the_embedded_encoder_orders_unseen_phrases_by_overlap():
    found = sentences.sentences_quality(*sentences.load_sentences(EMBEDDED), meanings=2500)
    assert found["pairs"] > 10000
    assert found["spearman"] > 0.65 and found["overlapping"] > 0.8 and found["error"] < 0.05
    assert found["paraphrase"] > 0.95


def test_the_embedded_encoder_is_read_as_any_other():
    words = ["red stars", "crimson stars", "green stars", "blue circles on sand"]
    vectors = SentenceEncoder(SentenceSettings(model=str(EMBEDDED))).embed(words)
    near = vectors @ vectors[0]
    assert near[1] > 0.85 > near[2] > near[3] - 0.1
    assert EMBEDDED.joinpath("model.safetensors").stat().st_size < 2e6
