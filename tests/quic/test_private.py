"""Direct and group rooms beyond what statements 38, 45, 46 and 54 say: members who are away, roles, endings."""

import asyncio
import json
import socket

from client import (
    BAN, CLOSE, CREATE, DELETE, DELETE_ROOM, EDIT, ERROR, INIT, INVITE, JOIN, JOINED, KICK, LEAVE, LEFT, LIST_ROOMS,
    MESSAGE, MUTE, OPEN_DIRECT, REACT, ROOM_INVITE, ROOM_LIST, ROOM_UPDATED, SEND, SET_ROLE, UNBAN, UNREACT,
    UPDATE_ROOM, USER_UPDATED,
)
from server import Case
from test_login import SECRET, token
from test_messages import FAST


class Accounts(Case):
    """People with accounts, and rooms of theirs."""

    arguments = FAST
    settings = {"quic.token_secret": f'"{SECRET}"', "quic.names": "true"}
    shards = 5
    _accounts = 1000

    def account(self):
        """A number that no account has yet."""
        Accounts._accounts += 1
        return Accounts._accounts

    async def member(self, number=None, **how):
        """A client with an account, logged in."""
        number = number or self.account()
        return await self.login(token=token(sub=str(number), username=f"user {number}"), **how)

    async def group(self, *members):
        """A group of the first and those whom it has invited, who have come."""
        first, *others = members
        wish = {"name": "g", "room_type": "group", "members": [one.user_id for one in others]}
        room = (await first.done(CREATE, wish))["room_id"]
        await first.expect(INIT, room_id=room)
        for other in others:
            await other.expect(ROOM_INVITE, room_id=room)
            await other.done(JOIN, {"room_id": room})
            await other.expect(INIT, room_id=room)
        return room

    async def gone(self, client):
        """Loses a client without a word."""
        client.quic.close(1)
        client.flush()
        client.end()
        client.terminated = client.terminated or "gone"
        await asyncio.sleep(0.3)

    async def again(self, number):
        """A new session of an account, with all of its rooms."""
        client = await self.member(number)
        inits = [client.lobby] + [await client.expect(INIT, room_id=room) for room in client.auth_ok["rooms"][1:]]
        return client, {init["room_id"]: init for init in inits}


class Private(Accounts):
    async def test_043_a_group_member_stays_listed_as_offline(self):
        number = self.account()
        first, second = await self.member(), await self.member(number)
        room = await self.group(first, second)
        await first.expect(JOINED, room_id=room)
        await self.gone(second)
        await first.quiet()
        self.assertEqual(first.take(LEFT, room_id=room), [])
        third = await self.member()
        await first.done(INVITE, {"room_id": room, "user_id": third.user_id})
        await third.done(JOIN, {"room_id": room})
        init = await third.expect(INIT, room_id=room)
        seen = {user["user_id"]: (user["role"], user["presence"]) for user in init["members"]}
        self.assertEqual(seen, {first.user_id: ("owner", "online"), number: ("member", "offline"),
                                third.user_id: ("member", "online")})
        self.assertEqual((init["room_type"], init["name"], init["member_count"]), ("group", "g", 3))
        self.assertEqual(init["max_message_chars"], 4096)

    async def test_043_a_goodbye_is_no_leaving(self):
        first, second = await self.member(), await self.member()
        room = await self.group(first, second)
        await second.goodbye()
        await first.quiet()
        self.assertEqual(first.take(LEFT, room_id=room), [])

    async def test_043_one_without_an_account_leaves_with_the_connection(self):
        first, second = await self.member(), await self.login()
        room = await self.group(first, second)
        await self.gone(second)
        got = await first.expect(LEFT, room_id=room, user_id=second.user_id)
        self.assertEqual(got["reason"], "disconnected")

    async def test_a_new_session_is_in_all_rooms_of_its_user(self):
        number = self.account()
        first, second = await self.member(), await self.member(number)
        groups = [await self.group(first, second) for _ in range(3)]
        direct = (await first.done(OPEN_DIRECT, {"user_id": number}))["room_id"]
        await self.gone(second)
        await first.say(direct, "while away")
        for room in groups:
            await first.say(room, "in here")
        second, inits = await self.again(number)
        self.assertEqual(second.auth_ok["rooms"][0], 1)
        self.assertEqual(set(inits), {1, direct, *groups})
        for room in (direct, *groups):
            self.assertEqual(len(inits[room]["recent_messages"]), 1)
        await second.say(direct, "back")
        await first.expect(MESSAGE, room_id=direct, content="back")
        # Commands of the first flight find the rooms as well.
        third = await self.member(number)
        await third.say(groups[0], "at once")

    async def test_the_other_of_a_direct_room_sees_it_on_all_connections(self):
        number = self.account()
        first = await self.member()
        both = [await self.member(number) for _ in range(2)]
        room = (await first.done(OPEN_DIRECT, {"user_id": number}))["room_id"]
        init = await first.expect(INIT, room_id=room)
        self.assertEqual((init["name"], init["member_count"]), ("", 2))
        self.assertEqual({user["user_id"] for user in init["members"]}, {first.user_id, number})
        await first.say(room, "one")
        for client in both:
            await client.expect(INIT, room_id=room)
        await first.say(room, "two")
        for client in both:
            await client.expect(MESSAGE, room_id=room, content="two")
        await both[0].say(room, "three")
        await first.expect(MESSAGE, room_id=room, content="three")
        await both[1].expect(MESSAGE, room_id=room, content="three")

    async def test_a_direct_room_that_was_left_opens_with_the_next_message(self):
        number = self.account()
        first, second = await self.member(), await self.member(number)
        room = (await first.done(OPEN_DIRECT, {"user_id": number}))["room_id"]
        await first.say(room, "one")
        await second.expect(INIT, room_id=room)
        await second.done(LEAVE, {"room_id": room})
        await second.expect(CLOSE, room_id=room, reason="left")
        await second.refused(SEND, {"room_id": room, "content": "x"}, 1005)
        await first.quiet()
        self.assertEqual(first.take(LEFT, room_id=room), [])
        await first.say(room, "two")
        init = await second.expect(INIT, room_id=room)
        self.assertEqual((init["membership"], len(init["members"])), (2, 2))

    async def test_nobody_but_the_two_gets_into_a_direct_room(self):
        first, second, third = [await self.member() for _ in range(3)]
        room = (await first.done(OPEN_DIRECT, {"user_id": second.user_id}))["room_id"]
        await third.refused(JOIN, {"room_id": room}, 1005)
        for kind, payload, code in (
            (INVITE, {"user_id": third.user_id}, 1004), (KICK, {"user_id": second.user_id}, 1004),
            (MUTE, {"user_id": second.user_id, "duration_ms": 1000}, 1004), (UPDATE_ROOM, {"topic": "x"}, 1004),
            (SET_ROLE, {"user_id": second.user_id, "role": "admin"}, 1004), (DELETE_ROOM, {}, 1004),
        ):
            await first.refused(kind, {"room_id": room} | payload, code)
        # What is the other's stays the other's.
        await first.say(room, "hers")
        await second.expect(INIT, room_id=room)
        message = (await second.say(room, "his"))["message_id"]
        await first.refused(DELETE, {"room_id": room, "message_id": message}, 1004)
        await first.refused(EDIT, {"room_id": room, "message_id": message, "content": "x"}, 1004)
        await first.done(REACT, {"room_id": room, "message_id": message, "emoji": "👍"})

    async def test_direct_rooms_with_nobody_and_oneself(self):
        first = await self.member()
        await first.refused(OPEN_DIRECT, {"user_id": first.user_id}, 1007)
        for nobody in (999_999, 2**48, 2**52 + 5):
            await first.refused(OPEN_DIRECT, {"user_id": nobody}, 1005)
        room = await self.group(first)
        await first.refused(INVITE, {"room_id": room, "user_id": 999_999}, 1005)
        await first.refused(INVITE, {"room_id": 1, "user_id": first.user_id}, 1007)

    async def test_060_texts_of_4096_units(self):
        first, second = await self.member(), await self.member()
        room = await self.group(first, second)
        message = (await first.say(room, "🌹" * 2048))["message_id"]
        got = await second.expect(MESSAGE, room_id=room)
        self.assertEqual(len(got["content"]), 2048)
        await first.refused(SEND, {"room_id": room, "content": "x" * 4097}, 1016)
        await first.done(EDIT, {"room_id": room, "message_id": message, "content": "y" * 4096})

    async def test_056_a_nonce_is_known_to_a_new_session(self):
        number = self.account()
        first, second = await self.member(number), await self.member()
        room = await self.group(first, second)
        nonce = first.chat(SEND, {"room_id": room, "content": "once"})
        before = await first.answer(nonce)
        await self.gone(first)
        first, _ = await self.again(number)
        after = await first.answer(first.chat(SEND, {"room_id": room, "content": "once", "nonce": nonce}))
        self.assertEqual(after["message_id"], before["message_id"])
        await second.quiet()
        self.assertEqual(len(second.take(MESSAGE, room_id=room)), 1)

    async def test_048_the_matrix_of_a_group(self):
        people = dict(zip(("owner", "admin", "moderator", "member", "guest"), [await self.member() for _ in range(5)]))
        room = await self.group(*people.values())
        for role in ("admin", "moderator", "guest"):
            await people["owner"].done(SET_ROLE, {"room_id": room, "user_id": people[role].user_id, "role": role})
        target = await self.member()
        await people["owner"].done(INVITE, {"room_id": room, "user_id": target.user_id})
        await target.done(JOIN, {"room_id": room})
        theirs = (await target.say(room, "theirs"))["message_id"]
        await target.done(REACT, {"room_id": room, "message_id": theirs, "emoji": "👍"})
        victim = {"room_id": room, "user_id": target.user_id}
        stranger = {"room_id": room, "user_id": (await self.member()).user_id}
        # Who may, from the owner down to the guest.
        cells = [
            ("send", SEND, {"room_id": room, "content": "x"}, "yyyyn"),
            ("react", REACT, {"room_id": room, "message_id": theirs, "emoji": "🎉"}, "yyyyn"),
            ("take a reaction", UNREACT, {"room_id": room, "message_id": theirs, "emoji": "👍",
                                          "user_id": target.user_id}, "yyynn"),
            ("edit another's", EDIT, {"room_id": room, "message_id": theirs, "content": "x"}, "nnnnn"),
            ("invite", INVITE, stranger, "yyynn"),
            ("mute", MUTE, victim | {"duration_ms": 1}, "yyynn"),
            ("set a role", SET_ROLE, victim | {"role": "member"}, "yynnn"),
            ("make an admin", SET_ROLE, victim | {"role": "admin"}, "ynnnn"),
            ("topic", UPDATE_ROOM, {"room_id": room, "topic": "t"}, "yynnn"),
            ("rename", UPDATE_ROOM, {"room_id": room, "name": "h"}, "yynnn"),
            ("delete", DELETE_ROOM, {"room_id": room}, "-nnnn"),
        ]
        for what, kind, payload, expected in cells:
            for who, may in zip(people, expected):
                with self.subTest(what=what, who=who):
                    if may == "y":
                        await people[who].done(kind, payload)
                        if what == "make an admin":
                            await people["owner"].done(SET_ROLE, victim | {"role": "member"})
                    elif may == "n":
                        await people[who].refused(kind, payload, 1004)
        for who in ("guest", "member", "moderator"):
            await people[who].refused(BAN, victim | {"duration_ms": 1000}, 1004)
            if who != "moderator":
                await people[who].refused(KICK, victim, 1004)
                await people[who].refused(DELETE, {"room_id": room, "message_id": theirs}, 1004)
        await people["moderator"].done(DELETE, {"room_id": room, "message_id": theirs})
        await people["moderator"].done(KICK, victim)
        for who in people:
            await people[who].done(LEAVE, {"room_id": room})

    async def test_051_kick_and_ban_in_a_group(self):
        number = self.account()
        first, second, third = await self.member(), await self.member(number), await self.member()
        room = await self.group(first, second, third)
        who = {"room_id": room, "user_id": number}
        await first.done(KICK, who)
        closed = await second.expect(CLOSE, room_id=room, reason="kicked")
        self.assertEqual(closed["by"], first.user_id)
        await third.expect(LEFT, room_id=room, user_id=number, reason="kicked")
        # One who was kicked is not taken back in by logging in, and may come again.
        other = await self.member(number)
        self.assertEqual(other.auth_ok["rooms"], [1])
        await second.done(JOIN, {"room_id": room})
        await first.done(BAN, who | {"duration_ms": 60_000})
        await second.expect(CLOSE, room_id=room, reason="banned")
        await second.refused(JOIN, {"room_id": room}, 1014)
        await first.done(UNBAN, who)
        await second.done(JOIN, {"room_id": room})
        # One who is not connected is a member like any other.
        await self.gone(second)
        await self.gone(other)
        await first.done(SET_ROLE, who | {"role": "moderator"})
        got = await third.expect(USER_UPDATED, room_id=room)
        self.assertEqual((got["user"]["user_id"], got["user"]["role"], got["user"]["presence"]),
                         (number, "moderator", "offline"))
        await first.done(KICK, who)
        await third.expect(LEFT, room_id=room, user_id=number, reason="kicked")

    async def test_054_ownership_is_handed_over(self):
        first, second, third = [await self.member() for _ in range(3)]
        room = await self.group(first, second, third)
        who = {"room_id": room, "user_id": second.user_id, "role": "owner"}
        await second.refused(SET_ROLE, who, 1004)
        await first.done(SET_ROLE, who)
        seen = [await third.expect(USER_UPDATED, room_id=room) for _ in range(2)]
        roles = {one["user"]["user_id"]: one["user"]["role"] for one in seen}
        self.assertEqual(roles, {first.user_id: "admin", second.user_id: "owner"})
        await first.refused(DELETE_ROOM, {"room_id": room}, 1004)
        await second.done(DELETE_ROOM, {"room_id": room})

    async def test_054_the_first_of_equals_is_the_heir(self):
        first, second, third, fourth = [await self.member() for _ in range(4)]
        room = await self.group(first, second, third, fourth)
        for one in (third, second):
            await first.done(SET_ROLE, {"room_id": room, "user_id": one.user_id, "role": "moderator"})
            await fourth.expect(USER_UPDATED, room_id=room)
        await first.done(LEAVE, {"room_id": room})
        await fourth.expect(LEFT, room_id=room, user_id=first.user_id, reason="left")
        got = await fourth.expect(USER_UPDATED, room_id=room)
        self.assertEqual((got["user"]["user_id"], got["user"]["role"]), (second.user_id, "owner"))

    async def test_a_deleted_group(self):
        number = self.account()
        first, second, away = await self.member(), await self.member(), await self.member(number)
        room = await self.group(first, second, away)
        await self.gone(away)
        await first.done(DELETE_ROOM, {"room_id": room})
        for client in (first, second):
            closed = await client.expect(CLOSE, room_id=room, reason="deleted")
            self.assertEqual(closed["by"], first.user_id)
            await client.refused(JOIN, {"room_id": room}, 1005)
            await client.refused(SEND, {"room_id": room, "content": "x"}, 1005)
        self.assertEqual((await self.member(number)).auth_ok["rooms"], [1])
        channel = (await first.join(self.room()))["room_id"]
        await first.refused(DELETE_ROOM, {"room_id": channel}, 1004)

    async def test_leaving_is_for_all_connections(self):
        number = self.account()
        first = await self.member()
        both = [await self.member(number) for _ in range(2)]
        wish = {"name": "g", "room_type": "group", "members": [number]}
        room = (await first.done(CREATE, wish))["room_id"]
        for client in both:
            await client.expect(ROOM_INVITE, room_id=room)
        await both[0].done(JOIN, {"room_id": room})
        for client in both:
            await client.expect(INIT, room_id=room)
        await both[1].done(LEAVE, {"room_id": room})
        for client in both:
            await client.expect(CLOSE, room_id=room, reason="left")
        await first.expect(LEFT, room_id=room, user_id=number, reason="left")
        for client in both:
            await client.refused(JOIN, {"room_id": room}, 1005)
        # The last one takes the room along.
        await first.done(LEAVE, {"room_id": room})
        await first.refused(JOIN, {"room_id": room}, 1005)

    async def test_046_an_invitation_waits_for_its_user(self):
        number = self.account()
        first, away = await self.member(), await self.member(number)
        await self.gone(away)
        room = await self.group(first)
        await first.done(INVITE, {"room_id": room, "user_id": number})
        back = await self.member(number)
        self.assertEqual(back.auth_ok["rooms"], [1])
        invite = await back.expect(ROOM_INVITE, room_id=room)
        self.assertEqual((invite["name"], invite["room_type"], invite["by"]["user_id"]), ("g", "group", first.user_id))
        await back.done(JOIN, {"room_id": room})
        third, inits = await self.again(number)
        self.assertIn(room, inits)
        self.assertEqual(third.take(ROOM_INVITE), [])

    async def test_046_so_many_and_no_more_are_invited(self):
        first = await self.member()
        people = [await self.member() for _ in range(3)]
        many = [one.user_id for one in people] + list(range(500_000, 500_097))
        room = (await first.done(CREATE, {"name": "g", "room_type": "private", "members": many}))["room_id"]
        for one in people:
            await one.expect(ROOM_INVITE, room_id=room)
        wish = {"name": "g", "room_type": "group", "members": many + [1]}
        await first.refused(CREATE, wish, 1007)

    async def test_046_people_named_with_a_channel_are_told(self):
        first, second = await self.member(), await self.member()
        name = self.room()
        wish = {"name": name, "room_type": "channel", "members": [second.user_id]}
        room = (await first.done(CREATE, wish))["room_id"]
        invite = await second.expect(ROOM_INVITE, room_id=room)
        self.assertEqual((invite["name"], invite["room_type"]), (name, "channel"))
        await second.done(JOIN, {"room_id": room})

    async def test_a_group_changes_its_name_and_topic(self):
        first, second = await self.member(), await self.member()
        room = await self.group(first, second)
        await first.done(UPDATE_ROOM, {"room_id": room, "name": "other", "topic": "what for", "post_role": "moderator"})
        got = await second.expect(ROOM_UPDATED, room_id=room)
        self.assertEqual((got["name"], got["topic"], got["post_role"], got["visible"]),
                         ("other", "what for", "moderator", False))
        await second.refused(SEND, {"room_id": room, "content": "x"}, 1004)
        channel = (await first.join(self.room()))["room_id"]
        await first.refused(UPDATE_ROOM, {"room_id": channel, "name": "other"}, 1007)

    async def test_nobody_finds_them(self):
        first, second = await self.member(), await self.member()
        room = await self.group(first, second)
        direct = (await first.done(OPEN_DIRECT, {"user_id": second.user_id}))["room_id"]
        await asyncio.sleep(0.3)
        got = await second.expect(ROOM_LIST, nonce=second.chat(LIST_ROOMS, {"limit": 200}))
        self.assertFalse({room, direct} & {one["room_id"] for one in got["rooms"]})
        # Nor by a name that may be theirs.
        for name in (f"group {room}", "g"):
            self.assertNotEqual((await second.done(JOIN, {"name": name}))["room_id"], room)
        await second.refused(JOIN, {"name": "\n"}, 1007)

    async def test_044_a_65th_room(self):
        first, second = await self.member(), await self.member()
        for n in range(63):
            await first.done(CREATE, {"name": f"g{n}", "room_type": "group", "members": []})
        await first.refused(CREATE, {"name": "g", "room_type": "group", "members": []}, 1018)
        await first.refused(OPEN_DIRECT, {"user_id": second.user_id}, 1018)
        # Another session of the same user has all of them, one after the other.
        again, inits = await self.again(first.user_id)
        self.assertEqual(len(inits), 64)


class PrivateOneShard(Private):
    shards = 1


class PrivateTwoShards(Private):
    shards = 2
