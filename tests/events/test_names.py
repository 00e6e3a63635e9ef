"""A name that NATS would misread is refused before anything is sent."""

from __future__ import annotations

import pytest

from stepfold.events.names import (
    TOKEN_CHARS_MAX,
    EventError,
    NameRefused,
    conversation_filter,
    split_subject,
    step_subject,
    token,
)


@pytest.mark.parametrize("name", ["acme", "C-42_x", "a=b+c", "ada@example:1~2", "x" * 128])
def test_letters_digits_and_a_few_signs_make_a_token(name: str) -> None:
    assert token("customer", name) == name


@pytest.mark.parametrize("name", ["a.b", "a b", "*", ">", "ü", "a\n", "a\t", "a/b", "$x"])
def test_what_nats_would_misread_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(NameRefused, match="would be misread by NATS: use letters"):
        token("customer", name)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(NameRefused, match="conversation is empty"):
        token("conversation", "")


def test_a_name_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(NameRefused, match="has 129 characters, at most 128 fit"):
        token("customer", "x" * (TOKEN_CHARS_MAX + 1))


def test_the_fence_of_a_conversation_has_one_spelling() -> None:
    assert conversation_filter("acme", "c1") == "steps.acme.c1.>"


def test_a_step_travels_on_the_subject_of_its_kind() -> None:
    subject = step_subject("acme", "c1", "tool.requested")

    assert subject == "steps.acme.c1.tool.requested"
    assert split_subject(subject) == ("acme", "c1", "tool.requested")


@pytest.mark.parametrize(("customer", "conversation"), [("a.b", "c"), ("a", ">")])
def test_no_subject_is_made_of_a_bad_name(customer: str, conversation: str) -> None:
    with pytest.raises(NameRefused):
        step_subject(customer, conversation, "tool.requested")
    with pytest.raises(NameRefused):
        conversation_filter(customer, conversation)


@pytest.mark.parametrize("subject", ["steps.acme.c1", "dead.acme.c1.tool.requested", ""])
def test_a_subject_that_is_no_steps_is_said_to_be_none(subject: str) -> None:
    with pytest.raises(EventError, match="is not a step"):
        split_subject(subject)
