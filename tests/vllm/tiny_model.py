"""Makes a tiny Llama that real vLLM can serve: a configuration and a trained tokenizer, no weights.

vLLM fills in random weights by itself (`--load-format dummy`), so what is written here is a few hundred kilobytes.
Run with the interpreter of the vLLM environment: `python tests/vllm/tiny_model.py DIRECTORY MAX_MODEL_LEN`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # type: ignore[import-not-found]
from transformers import LlamaConfig, PreTrainedTokenizerFast  # type: ignore[import-not-found]

VOCABULARY_SIZE = 2048
PADDING, START, END, TURN_START, TURN_END = "<pad>", "<s>", "</s>", "<|turn|>", "<|end|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def corpus() -> Iterator[str]:
    """Text to train the tokenizer on: the project's own sources and documents, in a fixed order."""
    root = Path(__file__).resolve().parents[2]
    for folder, pattern in (("extproc", "**/*.py"), ("docs", "**/*.md"), ("tests/vllm", "*.py")):
        for path in sorted((root / folder).glob(pattern)):
            yield path.read_text(encoding="utf-8")


def write_tokenizer(directory: Path, max_model_len: int) -> None:
    """Trains a byte-level BPE tokenizer, so that no text is unknown to it, and writes it with a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PADDING, START, END, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        bos_token=START,
        eos_token=END,
        model_max_length=max_model_len,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)


def write_config(directory: Path, max_model_len: int) -> None:
    """Writes the model's shape: two layers, and the head size of 64 that vLLM's CPU attention supports."""
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=VOCABULARY_SIZE,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=max_model_len,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    ).save_pretrained(directory)


def main() -> int:
    """Writes the model that the command line asks for."""
    directory, max_model_len = Path(sys.argv[1]), int(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory, max_model_len)
    write_config(directory, max_model_len)
    return 0


if __name__ == "__main__":
    sys.exit(main())
