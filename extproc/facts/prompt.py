"""What a request gives the model to read, collected from the shapes that the APIs have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from extproc.errors import BadRequestError
from extproc.facts.fields import invalid_field, missing_field
from extproc.facts.json_body import JsonObject, as_text

_TEXT_KEYS: Final = ("text", "refusal", "thinking")
_MEDIA_KINDS: Final = frozenset((
    "image", "image_url", "input_image", "image_pil", "image_embeds",
    "audio_url", "input_audio", "audio_embeds", "video_url", "input_video",
))  # fmt: skip
_NUMBERS: Final = frozenset((int, float, bool))


@dataclass(slots=True)
class Prompt:
    """A prompt under collection; the strings are the parsed body's own, never copies.

    Attributes:
        parts: Every text that will be tokenised.
        token_ids: Number of prompt tokens given as token ids.
        messages: Number of messages or prompts.
        images: Number of images, audio clips and videos.
        tools: Number of declared tools.
        longest_share: Share of the prompt that its longest sequence has, in (0, 1]; 1 for one sequence.
    """

    parts: list[str] = field(default_factory=list)
    token_ids: int = 0
    messages: int = 0
    images: int = 0
    tools: int = 0
    longest_share: float = 1.0

    def add_string(self, value: object) -> None:
        """Collect a text that an API allows but does not require; anything but a string is left to vLLM."""
        if type(value) is str:
            self.parts.append(value)

    def add_json(self, value: object, path: str) -> None:
        """Collect structured data that the model reads as JSON text.

        Raises:
            BadRequestError: It is nested too deeply to be written as JSON.
        """
        try:
            self.parts.append(as_text(value))
        except RecursionError:
            raise BadRequestError(
                f"`{path}` is nested too deeply to be shown to a model.",
                reason="nested-too-deeply",
                param=path,
            ) from None

    def add_tools(self, body: JsonObject) -> None:
        """Collect the declarations in `tools`.

        Raises:
            BadRequestError: `tools` is neither an array nor null, or nested too deeply.
        """
        tools = body.get("tools")
        if tools is None:
            return
        if not isinstance(tools, list):
            raise invalid_field("tools", "an array of tool declarations", tools)
        if tools:
            self.tools = len(tools)
            self.add_json(tools, "tools")

    def add_content(self, content: object, path: str) -> None:
        """Collect a message's content: a string, an array of parts, or null.

        Raises:
            BadRequestError: It is something else, or a part is neither an object nor a string.
        """
        if type(content) is str:
            self.parts.append(content)
        elif isinstance(content, list):
            for index, part in enumerate(content):
                self.add_part(part, path, index)
        elif content is not None:
            raise invalid_field(path, "a string, an array of content parts or null", content)

    def add_part(self, part: object, path: str, index: int) -> None:
        """Collect one content part, the `index`-th of the array at `path`; unknown kinds are left to vLLM.

        Raises:
            BadRequestError: It is neither an object nor a string, or its text is no string.
        """
        if type(part) is str:
            self.parts.append(part)
            return
        if not isinstance(part, dict):
            raise invalid_field(f"{path}[{index}]", "a content part (an object) or a string", part)
        for key in _TEXT_KEYS:
            text = part.get(key)
            if type(text) is str:
                self.parts.append(text)
            elif text is not None:
                raise invalid_field(f"{path}[{index}].{key}", "a string", text)
        kind = part.get("type")
        # vLLM infers the kind of a part without `type` from the key that is there.
        if kind in _MEDIA_KINDS if type(kind) is str else not _MEDIA_KINDS.isdisjoint(part):
            self.images += 1

    def add_sequences(self, value: object, name: str) -> int:
        """Collect a prompt as completions and embeddings take it, and return its number of sequences.

        It is a string, an array of strings, an array of token ids, or an array of arrays of token ids; the
        range of token ids is left to vLLM, which knows the vocabulary.

        Raises:
            BadRequestError: It is absent, empty, or something else.
        """
        if value is None:
            raise missing_field(name, "a string, an array of strings, or token ids")
        if type(value) is str:
            self.parts.append(value)
            self.messages = 1
            return 1
        if not isinstance(value, list) or not value:
            raise invalid_field(name, "a string or an array that is not empty", value)
        kinds = set(map(type, value))
        if kinds <= _NUMBERS:
            self.token_ids = len(value)
            self.messages = 1
            return 1
        if kinds == {str}:
            self.parts.extend(value)
            sizes = [
                len(text) if text.isascii() else len(text.encode(errors="surrogatepass")) for text in value
            ]
        elif kinds == {list}:
            sizes = [_count_token_ids(ids, name, index) for index, ids in enumerate(value)]
            self.token_ids = sum(sizes)
        else:
            raise _mixed_sequences(value, name)
        if total := sum(sizes):
            self.longest_share = max(sizes) / total
        self.messages = len(value)
        return len(value)


class Reading(NamedTuple):
    """What one API's reader found in a body; each field as in `RequestFacts`."""

    prompt: Prompt
    max_output_tokens: int | None
    choices: int
    wants_stream_usage: bool
    has_unseen_text: bool = False


def _mixed_sequences(sequences: list[object], name: str) -> BadRequestError:
    """Build the error for the first sequence of a wrong kind, or of another kind than the first."""
    kinds = [int if type(item) in _NUMBERS else type(item) for item in sequences]
    first = kinds[0] if kinds[0] in (int, str, list) else None
    index = next(i for i, kind in enumerate(kinds) if kind is not first)
    expected = "of one kind with the others: all strings, all token ids, or all arrays of token ids"
    return invalid_field(f"{name}[{index}]", expected, sequences[index])


def _count_token_ids(ids: list[object], name: str, index: int) -> int:
    if not set(map(type, ids)) <= _NUMBERS:
        position = next(i for i, item in enumerate(ids) if type(item) not in _NUMBERS)
        raise invalid_field(f"{name}[{index}][{position}]", "a token id", ids[position])
    return len(ids)
