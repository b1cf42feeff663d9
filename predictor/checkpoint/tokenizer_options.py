"""Reads the files beside a vocabulary: the tokenizer's class, its options, its special and added tokens.

Transformers rebuilds most tokenizers: it takes only the vocabulary from tokenizer.json, and lower-casing and
accent-stripping from tokenizer_config.json. These are its rules, without its code; only the standard library is needed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from predictor.checkpoint import layout
from predictor.checkpoint.config import ModelConfig, read_json
from predictor.errors import CheckpointError

Kind = Literal["bert", "roberta", "xlm-roberta", "camembert", "albert", "deberta-v2", "file"]
"""How a tokenizer is built; ``file``: as tokenizer.json says."""

_KINDS: dict[str, Kind] = {
    "BertTokenizer": "bert",
    "DistilBertTokenizer": "bert",
    "ElectraTokenizer": "bert",
    "MobileBertTokenizer": "bert",
    "RobertaTokenizer": "roberta",
    "XLMRobertaTokenizer": "xlm-roberta",
    "CamembertTokenizer": "camembert",
    "AlbertTokenizer": "albert",
    "DebertaV2Tokenizer": "deberta-v2",
    "PreTrainedTokenizer": "file",
    "TokenizersBackend": "file",
}
_VOCABULARY = {"bert": "vocab.txt", "roberta": "vocab.json"}
SPECIALS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_BRACKETS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ANGLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_DEFAULTS: dict[Kind, dict[str, str]] = {
    "bert": _BRACKETS,
    "roberta": _ANGLES,
    "xlm-roberta": _ANGLES,
    "camembert": _ANGLES,
    "albert": _BRACKETS | {"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "pad_token": "<pad>"},
    "deberta-v2": _BRACKETS | {"bos_token": "[CLS]", "eos_token": "[SEP]"},
    "file": {},
}
_CAMEMBERT_EXTRAS = ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED")


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token that is matched in a text before the vocabulary is used, with the library's flags."""

    content: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """Everything but the vocabulary.

    Attributes:
        kind: how it is built.
        settings: tokenizer_config.json.
        specials: the special tokens by role.
        added: tokens to add, in the order in which new ones get their ids.
        max_length_tokens: model_max_length, if the checkpoint states one.
        truncation_side: the side on which a text is cut.
    """

    kind: Kind
    settings: Mapping[str, Any]
    specials: Mapping[str, Token]
    added: Sequence[Token]
    max_length_tokens: int | None
    truncation_side: Literal["left", "right"]


def read_options(files: Sequence[Path], config: ModelConfig) -> TokenizerOptions:
    """Read the files beside the vocabulary.

    Args:
        files: the tokenizer's, its vocabulary first.
        config: names the class where tokenizer_config.json does not.

    Raises:
        CheckpointError: a file is no JSON, or asks for a tokenizer that is not built here.
    """
    by_name = {file.name: file for file in files}
    stated = by_name.get(layout.TOKENIZER_CONFIG)
    settings = read_json(stated) if stated else {}
    where = str(stated or files[0])
    kind = _kind(settings, config, where)
    if files[0].name not in (layout.TOKENIZER, _VOCABULARY.get(kind)):
        needed = " or ".join(filter(None, (layout.TOKENIZER, _VOCABULARY.get(kind))))
        raise CheckpointError(f"{files[0].parent} has {files[0].name}, its tokenizer is read from {needed}")
    if files[0].name == "vocab.txt":
        _check_vocabulary(files[0], kind, settings, by_name)
    whole = read_json(files[0]) if files[0].name == layout.TOKENIZER else {}
    try:
        known = _known(settings, by_name, whole)
        return TokenizerOptions(
            kind=kind,
            settings=settings,
            specials=_specials(kind, settings, by_name, known),
            added=tuple(known.values()) + tuple(_extras(kind, settings, by_name)),
            max_length_tokens=_max_length(settings, where),
            truncation_side=_truncation_side(settings, whole, where),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where} or a file beside it describes no tokens: {error}") from error


def _check_vocabulary(file: Path, kind: Kind, settings: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    pieces = {line.rstrip() for line in file.read_text(encoding="utf-8", errors="replace").split("\n")}
    said = _DEFAULTS[kind] | _legacy(settings, files)
    needed = [str(_content(said[role])) for role in ("cls_token", "sep_token", "unk_token")]
    missing = [token for token in needed if token not in pieces]
    if missing:
        raise CheckpointError(f"{file} lacks {', '.join(missing)}")


def _kind(settings: Mapping[str, Any], config: ModelConfig, where: str) -> Kind:
    family = config.family
    stated = None if family.always_tokenizer else settings.get("tokenizer_class") or config.tokenizer
    named = stated or family.tokenizer
    kind = _KINDS.get(str(named).removesuffix("Fast"))
    if kind is None:
        raise CheckpointError(f"{where} asks for the tokenizer {named}, which is not served")
    return kind


def _known(settings: Mapping[str, Any], files: Mapping[str, Path], whole: Mapping[str, Any]) -> dict[str, Token]:
    """Give the tokens that were added to the vocabulary, by name, in the order of their ids."""
    by_id: dict[int, Token] = {}
    decoder = settings.get("added_tokens_decoder")
    if decoder is not None:
        by_id = {int(index): _token(value) for index, value in decoder.items()}
    else:
        # Older checkpoints: the names alone, and what tokenizer.json has itself.
        if "added_tokens.json" in files:
            named = {str(_content(value)) for value in _legacy(settings, files).values()}
            for content, index in read_json(files["added_tokens.json"]).items():
                special = content in named
                by_id[int(index)] = Token(content=content, special=special, normalized=not special)
        for value in whole.get("added_tokens", ()):
            by_id[int(value["id"])] = _token(value)
    return {by_id[index].content: by_id[index] for index in sorted(by_id)}


def _legacy(settings: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Give tokens by role as tokenizer_config.json has them, and special_tokens_map.json where it still counts."""
    said = {key: value for key, value in settings.items() if key in SPECIALS and value is not None}
    if "added_tokens_decoder" not in settings and "special_tokens_map.json" in files:
        said |= {k: v for k, v in read_json(files["special_tokens_map.json"]).items() if k in SPECIALS}
    return said


def _specials(
    kind: Kind, settings: Mapping[str, Any], files: Mapping[str, Path], known: Mapping[str, Token]
) -> dict[str, Token]:
    found = {}
    for role, value in (_DEFAULTS[kind] | _legacy(settings, files)).items():
        content = str(_content(value))
        special = _token(value) if isinstance(value, dict) else Token(content=content)
        if kind == "camembert" and role == "mask_token" and isinstance(value, str):
            special = Token(content=content, lstrip=True)
        found[role] = known.get(content, special)
    return found


def _extras(kind: Kind, settings: Mapping[str, Any], files: Mapping[str, Path]) -> Iterator[Token]:
    mapped = read_json(files["special_tokens_map.json"]) if "special_tokens_map.json" in files else {}
    extras: list[Any] = []
    for said in (settings, mapped if "added_tokens_decoder" not in settings else {}):
        listed = said.get("extra_special_tokens") or said.get("additional_special_tokens") or []
        extras += listed.values() if isinstance(listed, dict) else listed
        extras += [v for k, v in said.items() if k.endswith("_token") and k not in SPECIALS and isinstance(v, str)]
    if kind == "camembert" and not extras:
        extras = list(_CAMEMBERT_EXTRAS)
    for value in extras:
        yield _token(value) if isinstance(value, dict) else Token(content=str(value))


def _token(value: Mapping[str, Any]) -> Token:
    flags = {key: bool(value[key]) for key in ("special", "lstrip", "rstrip", "single_word") if key in value}
    special = flags.setdefault("special", False)
    return Token(content=str(value["content"]), normalized=bool(value.get("normalized", not special)), **flags)


def _content(value: object) -> object:
    return value["content"] if isinstance(value, dict) else value


def _max_length(settings: Mapping[str, Any], where: str) -> int | None:
    """Give model_max_length; transformers writes 10 to the 30th for none."""
    value = settings.get("model_max_length", settings.get("max_len"))
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 1:
        raise CheckpointError(f"{where}: model_max_length must be a positive number, it is {json.dumps(value)}")
    return int(value)


def _truncation_side(settings: Mapping[str, Any], whole: Mapping[str, Any], where: str) -> Literal["left", "right"]:
    in_file = str((whole.get("truncation") or {}).get("direction", "right")).lower()
    side = settings.get("truncation_side", in_file)
    if side == "left":
        return "left"
    if side == "right":
        return "right"
    raise CheckpointError(f"{where}: truncation_side must be left or right, it is {json.dumps(side)}")
