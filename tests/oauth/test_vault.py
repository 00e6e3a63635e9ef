"""What is sealed opens only here, only unchanged, and only for the customer whose it is."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import stat
from functools import partial
from pathlib import Path

import msgspec
import pytest

from stepfold.events.names import NameRefused
from stepfold.streams.log import LogConflict
from stepfold.tools.tool import ToolError
from stepfold.tools.vault import (
    FILE,
    KEY_BYTES,
    VARIABLE,
    KeyMissing,
    KeyRefused,
    Keys,
    Place,
    SealBroken,
    Secret,
    Store,
    Vault,
    VaultAway,
    read_keys,
)
from tests.oauth.flows import jetstream
from tests.servers import running
from tests.waiting import eventually

ACME, OTHER = Place("tokens", "desk", "acme"), Place("tokens", "desk", "other")
ONE, TWO = (bytes([n]) * KEY_BYTES for n in (1, 2))
VALUE = b'{"access":"very-secret-token"}'


def written(*keys: bytes) -> dict[str, str]:
    return {VARIABLE: ", ".join(base64.b64encode(key).decode() for key in keys)}


# -- store: one contract, two implementations ---------------------------------------------------


async def test_a_store_keeps_the_last_value_and_its_revision(store: Store) -> None:
    assert await store.get("tokens.desk.acme") == (b"", 0)

    first = await store.put("tokens.desk.acme", b"one", after=0)
    second = await store.put("tokens.desk.acme", b"two", after=first)

    assert await store.get("tokens.desk.acme") == (b"two", second)
    assert second > first > 0
    assert await store.all("") == {"tokens.desk.acme": (b"two", second)}


async def test_of_two_changes_of_the_same_revision_one_wins(store: Store) -> None:
    seen = await store.put("tokens.desk.acme", b"old", after=0)

    ends = await asyncio.gather(
        *(store.put("tokens.desk.acme", bytes([n]), after=seen) for n in range(10)),
        return_exceptions=True,
    )

    assert sum(isinstance(end, int) for end in ends) == 1
    assert sum(isinstance(end, LogConflict) for end in ends) == 9


async def test_places_do_not_disturb_each_other(store: Store) -> None:
    await store.put("tokens.desk.acme", b"one", after=0)
    await store.put("tokens.desk.other", b"two", after=0)

    assert (await store.get("tokens.desk.acme"))[0] == b"one"
    assert set(await store.all("tokens.desk.")) == {"tokens.desk.acme", "tokens.desk.other"}
    assert await store.all("tokens.des.") == await store.all("pending.desk.") == {}
    with pytest.raises(LogConflict, match=r"tokens\.desk\.acme: another change was first"):
        await store.put("tokens.desk.acme", b"three", after=0)


async def test_what_is_forgotten_is_gone_but_its_place_still_has_a_revision(store: Store) -> None:
    vault = Vault(store, Keys([ONE]))
    revision = await vault.put(ACME, VALUE, after=0)

    await vault.forget(ACME, after=revision)

    assert (await vault.get(ACME)).value is None
    assert await vault.customers("tokens", "desk") == ()
    with pytest.raises(LogConflict):
        await vault.put(ACME, VALUE, after=0)


async def test_a_store_that_is_away_is_told_as_that_until_it_is_back(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with jetstream(server.url) as store:
            vault = Vault(store, Keys([ONE]))
            revision = await vault.put(ACME, VALUE, after=0)
            server.kill()

            with pytest.raises(VaultAway, match="cannot be reached now: the log is away"):
                await vault.put(ACME, b"new", after=revision)

            server.start()
            assert await eventually(partial(kept, vault)) == VALUE


async def kept(vault: Vault) -> bytes | None:
    try:
        return (await vault.get(ACME)).value
    except VaultAway:
        return None


# -- sealed -------------------------------------------------------------------------------------


async def test_what_is_kept_is_sealed_and_opens_again(store: Store) -> None:
    vault = Vault(store, Keys([ONE]))

    await vault.put(ACME, VALUE, after=0)

    sealed, revision = await store.get(ACME.subject)
    assert b"very-secret" not in sealed
    assert await vault.get(ACME) == (VALUE, revision)
    assert await vault.customers("tokens", "desk") == ("acme",)


async def test_the_same_value_is_never_sealed_the_same() -> None:
    keys = Keys([ONE])

    assert keys.seal(ACME.subject, VALUE) != keys.seal(ACME.subject, VALUE)


async def test_a_value_moved_to_another_customer_does_not_open(store: Store) -> None:
    vault = Vault(store, Keys([ONE]))
    await vault.put(ACME, VALUE, after=0)

    sealed, _ = await store.get(ACME.subject)
    await store.put(OTHER.subject, sealed, after=0)

    with pytest.raises(SealBroken, match=r"tokens\.desk\.other was changed, or moved there"):
        await vault.get(OTHER)


@pytest.mark.parametrize(
    "moved", [Place("tokens", "shop", "acme"), Place("pending", "desk", "acme")]
)
async def test_nor_to_another_connection_or_kind(moved: Place) -> None:
    keys = Keys([ONE])

    with pytest.raises(SealBroken, match="moved"):
        keys.open(moved.subject, keys.seal(ACME.subject, VALUE))


async def test_no_changed_byte_opens() -> None:
    keys = Keys([ONE])
    sealed = keys.seal(ACME.subject, VALUE)

    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            keys.open(ACME.subject, bytes(changed))


@pytest.mark.parametrize("rest", [0, 1, 16, 20])
async def test_nor_does_a_part_of_one(rest: int) -> None:
    keys = Keys([ONE])

    with pytest.raises(SealBroken, match="stepfold connection authorize desk --customer acme"):
        keys.open(ACME.subject, keys.seal(ACME.subject, VALUE)[:rest])


def test_a_name_that_would_be_misread_is_no_place() -> None:
    with pytest.raises(NameRefused):
        _ = Place("tokens", "desk", "acme.>").subject


# -- keys ---------------------------------------------------------------------------------------


async def test_the_first_key_seals_and_all_open(store: Store) -> None:
    await Vault(store, Keys([ONE])).put(ACME, VALUE, after=0)

    rotated = Vault(store, read_keys(Path(), written(TWO, ONE), make=False))
    await rotated.put(OTHER, VALUE, after=0)

    assert (await rotated.get(ACME)).value == VALUE
    assert (await Vault(store, Keys([TWO])).get(OTHER)).value == VALUE
    with pytest.raises(SealBroken):
        await Vault(store, Keys([ONE])).get(OTHER)


async def test_after_sealing_again_the_old_key_can_go(store: Store) -> None:
    await Vault(store, Keys([ONE])).put(ACME, VALUE, after=0)
    gone = await Vault(store, Keys([ONE])).put(OTHER, VALUE, after=0)
    await Vault(store, Keys([ONE])).forget(OTHER, after=gone)

    assert await Vault(store, Keys([TWO, ONE])).reseal() == 1

    assert await Vault(store, Keys([TWO, ONE])).reseal() == 0
    assert (await Vault(store, Keys([TWO])).get(ACME)).value == VALUE


async def test_a_wrong_key_is_named_with_the_way_out(store: Store) -> None:
    await Vault(store, Keys([ONE])).put(ACME, VALUE, after=0)
    here = Keys([TWO])

    with pytest.raises(SealBroken) as told:
        await Vault(store, here).get(ACME)

    assert str(told.value) == (
        f"tokens.desk.acme is sealed with key {Keys([ONE]).names}, here is {here.names}:"
        f" add that key to {VARIABLE}, after a comma, or authorize again"
        " (`stepfold connection authorize desk --customer acme`)"
    )
    assert isinstance(told.value, ToolError)


def test_a_key_is_made_on_first_use_for_nobody_else_to_read(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    made = read_keys(folder, {}, make=True)

    path = folder / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_keys(folder, {}, make=False).names == made.names
    assert os.listdir(folder) == [FILE]


async def test_many_that_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    made = await asyncio.gather(
        *(asyncio.to_thread(read_keys, tmp_path, {}, make=True) for _ in range(20))
    )

    assert len({keys.names for keys in made}) == 1


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    read_keys(tmp_path, {}, make=True)

    assert read_keys(tmp_path, written(ONE), make=True).names == Keys([ONE]).names


def test_where_others_share_the_store_no_key_is_made(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match=rf"{VARIABLE} is not set .*openssl rand -base64 32"):
        read_keys(tmp_path, {}, make=False)

    assert not (tmp_path / FILE).exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    read_keys(tmp_path, {}, make=True)
    (tmp_path / FILE).chmod(0o640)

    with pytest.raises(KeyRefused, match=r"can be read by others: `chmod 600 .*vault\.key`"):
        read_keys(tmp_path, {}, make=True)


@pytest.mark.parametrize("wrong", ["short", "A" * 44, base64.b64encode(b"x" * 16).decode(), "ü"])
def test_a_key_that_is_none_is_refused_without_showing_it(tmp_path: Path, wrong: str) -> None:
    good = base64.urlsafe_b64encode(b"\xff" * KEY_BYTES).decode()

    with pytest.raises(KeyRefused) as told:
        read_keys(tmp_path, {VARIABLE: f"{good},{wrong}"}, make=True)

    assert str(told.value).startswith(f"{VARIABLE}: key 2 is not 32 bytes in base64")
    assert wrong not in str(told.value)


def test_a_folder_that_takes_no_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(KeyMissing, match=rf"cannot be made .* or set {VARIABLE}"):
        read_keys(tmp_path / "file" / "folder", {}, make=True)


# -- secrets ------------------------------------------------------------------------------------


class Holder(msgspec.Struct):
    token: Secret


def test_a_secret_shows_itself_only_when_it_is_asked_by_name() -> None:
    secret = Secret("very-secret")
    shown = f"{secret} {secret!r} {secret!s} {Holder(secret)} {[secret]} {Keys([ONE])!r}"

    assert "very" not in shown
    assert secret.reveal() == "very-secret"
    assert secret == Secret("very-secret") != Secret("other")


def test_nor_does_it_leave_by_a_side_door() -> None:
    secret = Secret("very-secret")

    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(Holder(secret))
