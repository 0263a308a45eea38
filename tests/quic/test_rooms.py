"""Statements 36 to 54: rooms, roles and moderation."""

import asyncio

from client import (
    ACK, BAN, CLOSE, COMMAND_OK, CREATE, DELETE, DELETE_ROOM, EDIT, ERROR, INIT, INVITE, JOIN, JOINED, KICK, LEAVE, LEFT,
    LIST_ROOMS, MESSAGE, MUTE, OPEN_DIRECT, REACT, ROOM_INVITE, ROOM_LIST, ROOM_UPDATED, SEND, SET_ROLE, UNBAN, UNREACT,
    UPDATE_ROOM, USER_UPDATED,
)
from server import Case
from test_messages import FAST


class Rooms(Case):
    arguments = FAST

    async def room_of(self, *names_of_clients):
        """So many clients in a room of their own; the first has made it."""
        clients = [await self.login() for _ in range(names_of_clients[0])]
        name = self.room()
        inits = [await client.join(name) for client in clients]
        self.assertEqual({init["room_id"] for init in inits}, {inits[0]["room_id"]})
        return clients, inits[0]["room_id"], name

    async def test_036_a_name_is_one_room(self):
        (first, second), room, name = await self.room_of(2)
        self.assertGreaterEqual(room, 4096)

    async def test_037_the_number_of_a_name_stays(self):
        server = await self.own_server(shards=1)
        client = await self.login(server.address)
        room = (await client.join("lasting"))["room_id"]
        await client.goodbye()
        await asyncio.to_thread(server.stop)
        server.shards = 3
        await asyncio.to_thread(server.start)
        client = await self.login(server.address)
        self.assertEqual((await client.join("lasting"))["room_id"], room)

    async def test_038_unknown_numbers(self):
        client = await self.login()
        await client.refused(JOIN, {"room_id": 123_456_789}, 1005)

    async def test_038_numbers_of_direct_rooms(self):
        first, second, third = [await self.login() for _ in range(3)]
        direct = (await first.done(OPEN_DIRECT, {"user_id": second.user_id}))["room_id"]
        await third.refused(JOIN, {"room_id": direct}, 1005)

    async def test_039_the_init_is_first(self):
        (first,), room, name = await self.room_of(1)
        for n in range(3):
            await first.say(room, str(n))
        second = await self.login()
        init = await second.join(name)
        self.assertEqual([m["content"] for m in init["recent_messages"]], ["0", "1", "2"])
        ids = {user["user_id"] for user in init["members"]}
        self.assertEqual(ids, {first.user_id, second.user_id})
        self.assertEqual((init["member_count"], init["membership"]), (2, 1))
        kinds = [got for got in second.inbox if got.get("room_id") == room]
        self.assertEqual(kinds, [])
        await second.done(LEAVE, {"room_id": room})
        self.assertEqual((await second.expect(CLOSE, room_id=room))["membership"], 1)
        self.assertEqual((await second.join(name))["membership"], 2)

    async def test_040_the_first_number(self):
        (first, second), room, name = await self.room_of(2)
        third = await self.login()
        seq = (await third.join(name))["seq"]
        await first.say(room, "x")
        self.assertEqual((await third.expect(MESSAGE, room_id=room))["seq"], seq + 1)

    async def test_041_042_joining_and_leaving(self):
        (first, second), room, name = await self.room_of(2)
        joined = await first.expect(JOINED, room_id=room)
        self.assertEqual(joined["user"]["user_id"], second.user_id)
        # Once more is nothing.
        await second.done(JOIN, {"name": name})
        await second.quiet()
        self.assertEqual(second.take(INIT, room_id=room) + first.take(JOINED, room_id=room), [])
        await first.say(room, "before")
        await second.done(LEAVE, {"room_id": room})
        await second.expect(CLOSE, room_id=room, reason="left")
        await first.expect(LEFT, room_id=room, user_id=second.user_id, reason="left")
        await first.say(room, "after")
        await second.quiet()
        self.assertEqual(second.take(MESSAGE, room_id=room, content="after"), [])
        self.assertEqual(first.take(JOINED, room_id=room) + second.take(JOINED, room_id=room), [])
        await second.refused(LEAVE, {"room_id": room}, 1005)

    async def test_043_a_lost_connection(self):
        (first, second), room, name = await self.room_of(2)
        second.quic.close(0x99)
        second.flush()
        await first.expect(LEFT, room_id=room, user_id=second.user_id, reason="disconnected")

    async def test_044_rooms_of_a_connection(self):
        client = await self.login()
        for n in range(63):
            await client.join(f"{client.name} {n}")
        await client.refused(JOIN, {"name": f"{client.name} one more"}, 1018)

    async def test_045_direct_rooms(self):
        first, second, third = [await self.login() for _ in range(3)]
        both = [second.user_id, third.user_id]
        await first.refused(CREATE, {"name": "x", "room_type": "dm", "members": both}, 1007)
        made = await first.done(CREATE, {"name": "x", "room_type": "dm", "members": [second.user_id]})
        again = await first.done(OPEN_DIRECT, {"user_id": second.user_id})
        back = await second.done(OPEN_DIRECT, {"user_id": first.user_id})
        self.assertEqual({made["room_id"], again["room_id"], back["room_id"]}, {made["room_id"]})

    async def test_045_the_other_gets_the_room_with_the_first_message(self):
        first, second = await self.login(), await self.login()
        room = (await first.done(OPEN_DIRECT, {"user_id": second.user_id}))["room_id"]
        await second.quiet()
        self.assertEqual(second.take(INIT, room_id=room), [])
        await first.say(room, "psst")
        init = await second.expect(INIT, room_id=room)
        seen = [m["content"] for m in init["recent_messages"]]
        if not seen:
            seen = [(await second.expect(MESSAGE, room_id=room))["content"]]
        self.assertEqual((init["room_type"], seen), ("direct", ["psst"]))

    async def test_046_groups(self):
        first, second, third = [await self.login() for _ in range(3)]
        members = [second.user_id]
        room = (await first.done(CREATE, {"name": "g", "room_type": "group", "members": members}))["room_id"]
        invite = await second.expect(ROOM_INVITE, room_id=room)
        self.assertEqual((invite["name"], invite["by"]["user_id"]), ("g", first.user_id))
        await third.refused(JOIN, {"room_id": room}, 1005)
        await second.done(JOIN, {"room_id": room})
        await second.expect(INIT, room_id=room)
        await second.refused(INVITE, {"room_id": room, "user_id": third.user_id}, 1004)
        await first.done(INVITE, {"room_id": room, "user_id": third.user_id})
        await third.expect(ROOM_INVITE, room_id=room)
        await third.done(JOIN, {"room_id": room})

    async def test_rooms_of_a_name_that_is_taken(self):
        (first,), room, name = await self.room_of(1)
        second = await self.login()
        got = await second.refused(CREATE, {"name": name, "room_type": "channel", "members": []}, 1011)
        self.assertEqual(got["room_id"], room)
        await second.refused(CREATE, {"name": self.room(), "room_type": "castle", "members": []}, 1007)

    async def test_rooms_of_names_that_are_too_long(self):
        client = await self.login()
        for length in (513, 2_049, 20_000):
            await client.refused(JOIN, {"name": "x" * length}, 1016)
            await client.refused(CREATE, {"name": "x" * length, "room_type": "group", "members": []}, 1016)
        await client.refused(JOIN, {"name": " "}, 1007)

    async def test_listing(self):
        (first, second), room, name = await self.room_of(2)
        for _ in range(20):
            got = await second.expect(ROOM_LIST, nonce=second.chat(LIST_ROOMS, {"filter": name}))
            if got["rooms"] and got["rooms"][0]["member_count"] == 2:
                break
            await asyncio.sleep(0.1)
        self.assertEqual([(one["room_id"], one["name"]) for one in got["rooms"]], [(room, name)])
        self.assertEqual(got["rooms"][0]["member_count"], 2)

    # --- roles -----------------------------------------------------------------------------------------------------

    async def staffed(self):
        """A room with an owner, an admin, two moderators, a member and a guest."""
        clients, room, name = await self.room_of(6)
        people = dict(zip(("owner", "admin", "moderator", "moderator2", "member", "guest"), clients))
        for role in ("admin", "moderator", "moderator2", "guest"):
            user_id = people[role].user_id
            await people["owner"].done(SET_ROLE, {"room_id": room, "user_id": user_id, "role": role.strip("2")})
            await people["member"].expect(USER_UPDATED, room_id=room)
        return people, room, name

    async def test_047_048_the_matrix(self):
        people, room, name = await self.staffed()
        ranks = ("owner", "admin", "moderator", "member", "guest")
        said = {who: (await people[who].say(room, "own"))["message_id"] for who in ranks[:4]}
        target = await self.login()
        await target.join(name)
        theirs = (await target.say(room, "theirs"))["message_id"]
        await target.done(REACT, {"room_id": room, "message_id": theirs, "emoji": "👍"})
        victim = {"room_id": room, "user_id": target.user_id}
        cells = [
            # What, and the ranks that may.
            ("send", SEND, {"room_id": room, "content": "x"}, 4),
            ("action", SEND, {"room_id": room, "content": "x", "kind": "action"}, 4),
            ("react", REACT, {"room_id": room, "message_id": theirs, "emoji": "🎹"}, 4),
            ("edit another's", EDIT, {"room_id": room, "message_id": theirs, "content": "no"}, 0),
            ("mute", MUTE, victim | {"duration_ms": 1000}, 3),
            ("unmute", MUTE, victim | {"duration_ms": 0}, 3),
            ("set role", SET_ROLE, victim | {"role": "member"}, 2),
            ("set admin", SET_ROLE, victim | {"role": "owner"}, 0),
            ("topic", UPDATE_ROOM, {"room_id": room, "topic": "t"}, 2),
            ("remove reaction", UNREACT,
             {"room_id": room, "message_id": theirs, "emoji": "👍", "user_id": target.user_id}, 3),
            ("delete another's", DELETE, {"room_id": room, "message_id": theirs}, 3),
            ("unban", UNBAN, victim, 2),
        ]
        for what, kind, payload, allowed in cells:
            for n, who in enumerate(ranks):
                with self.subTest(what=what, who=who):
                    if what == "set admin" and who == "owner":
                        continue
                    got = await people[who].patiently(kind, payload)
                    if n < allowed:
                        self.assertNotEqual(got.kind, ERROR, got)
                    else:
                        self.assertEqual((got.kind, got.get("code")), (ERROR, 1004), got)
        for who in ranks[:4]:
            with self.subTest(what="edit and delete own", who=who):
                own = {"room_id": room, "message_id": said[who]}
                await people[who].done(EDIT, own | {"content": "changed"})
                await people[who].done(DELETE, own)
        for who in ("guest", "member"):
            for kind, more in ((KICK, {}), (BAN, {"duration_ms": 1000})):
                with self.subTest(what=f"{kind:#x}", who=who):
                    await people[who].refused(kind, victim | more, 1004)
        await people["moderator"].refused(BAN, victim | {"duration_ms": 1000}, 1004)
        await people["moderator"].done(KICK, victim)
        await target.expect(CLOSE, room_id=room, reason="kicked")

    async def test_049_equals_cannot_act_on_each_other(self):
        people, room, name = await self.staffed()
        message = (await people["moderator2"].say(room, "x"))["message_id"]
        other = {"room_id": room, "user_id": people["moderator2"].user_id}
        for kind, payload in ((KICK, other), (MUTE, other | {"duration_ms": 1000}),
                              (DELETE, {"room_id": room, "message_id": message})):
            await people["moderator"].refused(kind, payload, 1004)

    async def test_050_admins_are_made_by_the_owner(self):
        people, room, name = await self.staffed()
        who = {"room_id": room, "user_id": people["member"].user_id, "role": "admin"}
        await people["admin"].refused(SET_ROLE, who, 1004)
        await people["owner"].done(SET_ROLE, who)
        got = await people["guest"].until(
            lambda: [one for one in people["guest"].take(USER_UPDATED, room_id=room)
                     if one["user"]["user_id"] == who["user_id"]], "update")
        self.assertEqual((got[-1]["user"]["role"], got[-1]["by"]), ("admin", people["owner"].user_id))

    async def test_051_kick_and_ban(self):
        (owner, second), room, name = await self.room_of(2)
        who = {"room_id": room, "user_id": second.user_id}
        await owner.done(KICK, who)
        closed = await second.expect(CLOSE, room_id=room, reason="kicked")
        self.assertEqual(closed["by"], owner.user_id)
        await owner.expect(LEFT, room_id=room, user_id=second.user_id, reason="kicked")
        await second.join(name)
        await owner.done(BAN, who | {"duration_ms": 2500})
        closed = await second.expect(CLOSE, room_id=room, reason="banned")
        self.assertGreater(closed["until"], 0)
        await owner.expect(LEFT, room_id=room, user_id=second.user_id, reason="banned")
        await second.refused(JOIN, {"name": name}, 1014)
        await second.refused(JOIN, {"room_id": room}, 1014)
        await asyncio.sleep(2.6)
        await second.join(name)
        await owner.done(BAN, who | {"duration_ms": 3_600_000})
        await owner.done(UNBAN, who)
        await second.join(name)

    async def test_052_mute(self):
        (owner, second), room, name = await self.room_of(2)
        message = (await second.say(room, "mine"))["message_id"]
        await owner.done(MUTE, {"room_id": room, "user_id": second.user_id, "duration_ms": 60_000})
        got = await second.expect(USER_UPDATED, room_id=room)
        self.assertGreater(got["muted_until"], 0)
        await second.refused(SEND, {"room_id": room, "content": "x"}, 1015)
        await second.done(DELETE, {"room_id": room, "message_id": message})

    async def test_053_an_announcement_room(self):
        (owner, second), room, name = await self.room_of(2)
        await owner.done(UPDATE_ROOM, {"room_id": room, "post_role": "moderator"})
        got = await second.expect(ROOM_UPDATED, room_id=room)
        self.assertEqual(got["post_role"], "moderator")
        await second.refused(SEND, {"room_id": room, "content": "x"}, 1004)
        await owner.say(room, "hear")

    async def test_054_a_group_whose_owner_leaves(self):
        first, second, third = [await self.login() for _ in range(3)]
        members = [second.user_id, third.user_id]
        room = (await first.done(CREATE, {"name": "g", "room_type": "group", "members": members}))["room_id"]
        for client in (second, third):
            await client.expect(ROOM_INVITE, room_id=room)
            await client.done(JOIN, {"room_id": room})
        await first.done(SET_ROLE, {"room_id": room, "user_id": third.user_id, "role": "admin"})
        await second.expect(USER_UPDATED, room_id=room)
        await first.done(LEAVE, {"room_id": room})
        got = await second.expect(USER_UPDATED, room_id=room)
        self.assertEqual((got["user"]["user_id"], got["user"]["role"]), (third.user_id, "owner"))


class RoomsFourShards(Rooms):
    shards = 4
