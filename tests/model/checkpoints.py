"""Small random checkpoints of every family, written by transformers itself; nothing is downloaded."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from model.odd_texts import ODD_TEXTS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from load.bench.random_checkpoint import sample_texts

LONGEST = 60
_SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": LONGEST + 4,
}
_DISTIL_SIZES = {"dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 80, "max_position_embeddings": LONGEST + 4}
SHAPES: dict[str, dict[str, Any]] = {
    "distilbert": _DISTIL_SIZES,
    "bert": _SIZES | {"type_vocab_size": 2},
    "roberta": _SIZES | {"type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "xlm-roberta": _SIZES | {"type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "camembert": _SIZES | {"type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "electra": _SIZES | {"embedding_size": 24},
    "albert": _SIZES | {"embedding_size": 24, "num_hidden_groups": 2, "inner_group_num": 2},
    # Most texts are longer than the window.
    "modernbert": _SIZES
    | {"num_hidden_layers": 4, "local_attention": 8, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3}
    | {"bos_token_id": 2, "cls_token_id": 2},
    # Most distances share a row with others.
    "deberta-v2": _SIZES
    | {"position_buckets": 8, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "share_att_key": True}
    | {"norm_rel_ebd": "layer_norm", "position_biased_input": False, "max_relative_positions": -1},
}
BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ANGLES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_CLASSES = {
    "distilbert": "DistilBertTokenizer",
    "bert": "BertTokenizer",
    "electra": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
    "deberta-v2": "DebertaV2Tokenizer",
}
_TRAINED: dict[str, dict[str, Any]] = {}


def word_pieces() -> list[str]:
    """Give a cased vocabulary with accents, capitals and ideographs, so that every option of BERT's tokenizer shows."""
    words = sorted({word for text in sample_texts()[:200] for word in text.split()})[:400]
    letters = sorted({letter for text in ODD_TEXTS for letter in text if letter.strip()})
    more = ["Good", "GOOD", "caf\u00e9", "cafe", "\u4e2d\u6587", "\u4e2d", "sch\u00f6ner", "schoner", "[NEW]"]
    return list(dict.fromkeys([*BRACKETS, *more[:-1], *letters, *(f"##{each}" for each in letters), *words]))


def _trained(kind: str) -> dict[str, Any]:
    """Give tokenizer.json of a small tokenizer learnt from the sample, as an object."""
    if kind not in _TRAINED:
        texts = [*sample_texts()[:200], *ODD_TEXTS]
        if kind in ("roberta", "modernbert"):
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            trainer: Any = trainers.BpeTrainer(
                vocab_size=600,
                special_tokens=ANGLES if kind == "roberta" else BRACKETS,
                initial_alphabet=alphabet,
                show_progress=False,
            )
        else:
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.normalizer = normalizers.NFKC()
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            first = {"albert": ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "deberta-v2": BRACKETS}.get(kind, ANGLES)
            trainer = trainers.UnigramTrainer(
                vocab_size=700,
                special_tokens=first,
                unk_token="[UNK]" if kind == "deberta-v2" else "<unk>",
                show_progress=False,
            )
        tokenizer.train_from_iterator(texts, trainer)
        if kind == "modernbert":
            tokenizer.normalizer = normalizers.NFC()
            frame = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
            tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
        _TRAINED[kind] = json.loads(tokenizer.to_str())
    return _TRAINED[kind]


def write_tokenizer(directory: Path, model_type: str, **settings: Any) -> None:
    """Write tokenizer.json and tokenizer_config.json as transformers saves them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
    stated = {"tokenizer_class": _CLASSES[model_type], "model_max_length": LONGEST, **settings}
    if model_type == "modernbert":
        stated |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    (directory / "tokenizer_config.json").write_text(json.dumps(stated))
    if stated["tokenizer_class"] in ("BertTokenizer", "DistilBertTokenizer"):
        (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in word_pieces()), encoding="utf-8")
    else:
        (directory / "tokenizer.json").write_text(json.dumps(_trained(model_type)), encoding="utf-8")
    AutoTokenizer.from_pretrained(directory).save_pretrained(directory)


def write_model(
    directory: Path, model_type: str, *, labels: int = 2, problem_type: str | None = None, **changes: Any
) -> Path:
    """Write config.json and model.safetensors with every parameter random: one that is forgotten shows."""
    shape: Mapping[str, Any] = SHAPES[model_type] | {"vocab_size": 1200, **changes}
    config = AutoConfig.for_model(model_type, **shape, num_labels=labels, problem_type=problem_type)
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = name.endswith("weight") and "norm" in name.lower()
            parameter.copy_(torch.randn_like(parameter) * 0.15 + float(is_scale))
    model.save_pretrained(directory)
    return directory


def fit(directory: Path, rows: Sequence[tuple[int, str]], *, steps: int = 60) -> float:
    """Train a written checkpoint on (label, text) until it knows them; give the share that it gets right."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside other tests, two mostly wait for each other
    try:
        # So few steps from random weights lead nowhere now and then, most of all with layers that share their weights.
        return next((share for seed in range(5, 9) if (share := _fit(directory, rows, seed, steps)) > 0.95), 0.0)
    finally:
        torch.set_num_threads(threads)


def _fit(directory: Path, rows: Sequence[tuple[int, str]], seed: int, steps: int) -> float:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory)
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    batch = tokenizer([text for _, text in rows], padding=True, truncation=True, return_tensors="pt")
    labels = torch.tensor([label for label, _ in rows])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(**batch, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval().save_pretrained(directory)
    with torch.inference_mode():
        return float((model(**batch).logits.argmax(1) == labels).float().mean())


def write_checkpoint(directory: Path, model_type: str, **model: Any) -> Path:
    """Write a whole checkpoint."""
    write_tokenizer(directory, model_type)
    return write_model(directory, model_type, **model)
