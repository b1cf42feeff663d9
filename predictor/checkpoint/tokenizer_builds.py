"""Builds a tokenizer from a vocabulary and the options beside it, as transformers does for each of its classes."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.config import read_json
from predictor.checkpoint.layout import TOKENIZER
from predictor.checkpoint.tokenizer_options import SPECIALS, Token, TokenizerOptions
from predictor.errors import CheckpointError

_SPACE = "\u2581"


def build(checkpoint: Checkpoint) -> Tokenizer:
    """Give the checkpoint's tokenizer, special and added tokens included.

    Raises:
        CheckpointError: tokenizer.json holds a kind of vocabulary that the tokenizer's class does not read.
    """
    options, file = checkpoint.tokenizer, checkpoint.tokenizer_files[0]
    if options.kind == "file":
        tokenizer = Tokenizer.from_file(str(file))
        _add_tokens(tokenizer, options)
        return tokenizer
    whole = read_json(file) if file.name == TOKENIZER else {}
    makers = {
        "bert": _bert,
        "roberta": _roberta,
        "xlm-roberta": _sentence_piece,
        "camembert": _sentence_piece,
        "albert": _sentence_piece,
        "deberta-v2": _deberta,
    }
    tokenizer = makers[options.kind](file, whole.get("model") or {}, whole, options)
    _add_tokens(tokenizer, options)
    tokenizer.post_processor = _frame(tokenizer, options)
    return tokenizer


def _bert(file: Path, model: Mapping[str, Any], _whole: Mapping[str, Any], options: TokenizerOptions) -> Tokenizer:
    vocabulary = _vocabulary(file, model, dict) if file.name == TOKENIZER else str(file)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=options.specials["unk_token"].content))
    said = options.settings
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(said.get("tokenize_chinese_chars", True)),
        strip_accents=said.get("strip_accents"),
        lowercase=bool(said.get("do_lower_case", True)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _roberta(file: Path, model: Mapping[str, Any], _whole: Mapping[str, Any], options: TokenizerOptions) -> Tokenizer:
    if file.name == TOKENIZER:
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model.get("merges", ()))
        merges = [(str(left), str(right)) for left, right in pairs]
        pieces = models.BPE(_vocabulary(file, model, dict), merges, **_PLAIN_BPE)
    else:
        pieces = models.BPE.from_file(str(file), str(file.with_name("merges.txt")), **_PLAIN_BPE)
    tokenizer = Tokenizer(pieces)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=_prefix_space(options, default=False))
    return tokenizer


_PLAIN_BPE: dict[str, Any] = {"continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False}


def _sentence_piece(
    file: Path, model: Mapping[str, Any], whole: Mapping[str, Any], options: TokenizerOptions
) -> Tokenizer:
    pieces = [(str(piece), float(score)) for piece, score in _vocabulary(file, model, list)]
    unknown = {"xlm-roberta": 3, "albert": 1}.get(options.kind)
    if unknown is None:
        name = options.specials["unk_token"].content
        unknown = next((index for index, (piece, _) in enumerate(pieces) if piece == name), 0)
    tokenizer = Tokenizer(models.Unigram(pieces, unknown, False))  # noqa: FBT003 - the stubs have no name for it
    steps = _albert_steps(options) if options.kind == "albert" else []
    charsmap = _charsmap(whole)
    if charsmap is not None:
        steps.append(normalizers.Precompiled(charsmap))
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    scheme = "always" if _prefix_space(options, default=True) else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme)]
    )
    return tokenizer


def _deberta(file: Path, model: Mapping[str, Any], _whole: Mapping[str, Any], options: TokenizerOptions) -> Tokenizer:
    pieces = [(str(piece), float(score)) for piece, score in _vocabulary(file, model, list)]
    said, unknown = options.settings, (options.specials["unk_token"].content, 0.0)
    index = pieces.index(unknown) if unknown in pieces else int(said.get("unk_id", 1))
    tokenizer = Tokenizer(models.Unigram(pieces, index, False))  # noqa: FBT003 - the stubs have no name for it
    # Transformers leaves out what tokenizer.json has instead.
    tokenizer.normalizer = normalizers.Sequence(
        [
            *([normalizers.Lowercase()] if said.get("do_lower_case", False) else []),
            normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
            normalizers.NFC(),
            normalizers.Strip(left=False, right=True),
        ]
    )
    scheme = "always" if _prefix_space(options, default=True) else "first"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *([pre_tokenizers.Punctuation("isolated")] if said.get("split_by_punct", False) else []),
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme),
        ]
    )
    return tokenizer


def _albert_steps(options: TokenizerOptions) -> list[Any]:
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not options.settings.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if options.settings.get("do_lower_case", True):
        steps.append(normalizers.Lowercase())
    return steps


def _charsmap(whole: Mapping[str, Any]) -> bytes | None:
    said = whole.get("normalizer") or {}
    for step in said.get("normalizers", [said]):
        if step.get("type") == "Precompiled" and step.get("precompiled_charsmap"):
            return base64.b64decode(step["precompiled_charsmap"])
    return None


def _frame(tokenizer: Tokenizer, options: TokenizerOptions) -> Any:
    """Put the first and the last token around every text."""
    roles = ("bos_token", "eos_token") if options.kind in ("xlm-roberta", "camembert") else ("cls_token", "sep_token")
    first, last = (options.specials[role].content for role in roles)
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    missing = [token for token, index in ids if index is None]
    if missing:
        raise CheckpointError(f"the vocabulary lacks {', '.join(missing)}")
    return processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ids)


def _add_tokens(tokenizer: Tokenizer, options: TokenizerOptions) -> None:
    """Add what is missing, in transformers' order, which decides the ids of new tokens."""
    there = {str(token) for token in tokenizer.get_added_tokens_decoder().values()}
    wanted: dict[str, Token] = {}
    roles = [options.specials[role] for role in SPECIALS if role in options.specials]
    named = {token.content for token in roles}
    for token in (*options.added, *roles):
        if token.content not in there:
            wanted.setdefault(token.content, token)
    tokenizer.add_tokens(
        [
            AddedToken(
                token.content,
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=token.normalized,
                special=token.special or token.content in named,
            )
            for token in wanted.values()
        ]
    )


def _prefix_space(options: TokenizerOptions, *, default: bool) -> bool:
    return bool(options.settings.get("add_prefix_space", default))


def _vocabulary(file: Path, model: Mapping[str, Any], kind: type) -> Any:
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, kind) or not vocabulary:
        raise CheckpointError(f"{file} has no vocabulary of the kind that the tokenizer's class reads")
    return vocabulary
