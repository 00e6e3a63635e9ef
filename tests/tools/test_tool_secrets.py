"""Secrets are named in files, set in the environment, and taken out of what comes back."""

import pytest

from stepfold.tools.secrets import SecretMissing, expand, hidden, named

KEPT = {"KEY": "sk-1234567", "USER": "anna", "EMPTY": "", "SHORT": "ab"}


def test_a_reference_is_replaced_wherever_it_stands() -> None:
    assert named("Basic ${env:USER}:${env:KEY}") == ("USER", "KEY")
    assert expand("Basic ${env:USER}:${env:KEY}", KEPT) == "Basic anna:sk-1234567"
    assert expand("$KEY ${KEY} {env:KEY}", KEPT) == "$KEY ${KEY} {env:KEY}"


@pytest.mark.parametrize("name", ["MISSING", "EMPTY"])
def test_a_missing_one_is_named_with_its_place_and_without_any_value(name: str) -> None:
    with pytest.raises(SecretMissing) as missing:
        expand(f"${{env:KEY}} ${{env:{name}}}", KEPT, place="tools/a.toml:7: headers.X")

    assert str(missing.value).startswith(f"tools/a.toml:7: headers.X: the variable {name} is not")
    assert KEPT["KEY"] not in str(missing.value)


def test_secrets_are_hidden_at_any_depth_in_keys_too() -> None:
    told = {"a": ["x sk-1234567 y", {"sk-1234567": 1}], "b": 7, "c": None, "d": "ab"}

    assert hidden(told, ["KEY", "SHORT", "MISSING"], KEPT) == {
        "a": ["x [KEY] y", {"[KEY]": 1}],
        "b": 7,
        "c": None,
        "d": "ab",
    }


def test_of_two_secrets_in_each_other_the_longer_is_hidden_first() -> None:
    assert hidden("sk-12345678", ["A", "B"], {"A": "sk-1234", "B": "sk-12345678"}) == "[B]"
