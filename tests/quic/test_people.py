"""Who people are to each other: section 8.5 (profiles), statements 68 to 70 (receipts) and 81 (presence)."""

import asyncio

from client import (
    AWAY, CREATE, DELIVERED, INIT, JOIN, MESSAGE, ONLINE, OPEN_DIRECT, READ, ROOM_INVITE, SET_PROFILE, USER_UPDATED,
    frame,
)
from server import Case
from test_login import SECRET, token


class People(Case):
    # Without rates: these tests say more than people do.
    arguments = ("--limits", "off")
    settings = {"quic.token_secret": f'"{SECRET}"', "quic.names": "true"}

    async def pair(self):
        """Two in a room of their own."""
        first, second = await self.login(), await self.login()
        name = self.room()
        room = (await first.join(name))["room_id"]
        await second.join(name)
        return first, second, room, name

    # --- profiles --------------------------------------------------------------------------------------------------

    async def test_a_profile_changes_everywhere(self):
        first, second, room, _ = await self.pair()
        await first.done(SET_PROFILE, {"color": "#102030"})
        got = await second.expect(USER_UPDATED, room_id=room)
        self.assertEqual((got["user"]["username"], got["user"]["color"]), (first.name, "#102030"))

    async def test_a_name_changes_everywhere(self):
        first, second, room, _ = await self.pair()
        name = self.somebody()
        await first.done(SET_PROFILE, {"username": name})
        got = await second.expect(USER_UPDATED, room_id=room)
        self.assertEqual(got["user"]["username"], name)
        await second.refused(SET_PROFILE, {"username": name}, 1012)

    async def test_a_chosen_name_stays_with_an_account(self):
        name, client = self.somebody(), await self.login(token=token(sub="8501", username="Given"))
        await client.done(SET_PROFILE, {"username": name, "avatar_url": "https://example.org/a.png"})
        await client.goodbye()
        again = await self.login(token=token(sub="8501", username="Given"))
        self.assertEqual(again.auth_ok["username"], name)
        me = next(user for user in again.lobby["members"] if user["user_id"] == 8501)
        self.assertEqual((me["username"], me["avatar_url"]), (name, "https://example.org/a.png"))
        await again.goodbye()
        other = await self.login(token=token(sub="8501", username="Another"))
        self.assertEqual(other.auth_ok["username"], "Another")

    # --- receipts --------------------------------------------------------------------------------------------------

    def receipt(self, client, kind, room, message):
        client._receipts = getattr(client, "_receipts", None) or client.open()
        at = {DELIVERED: "delivered_at", READ: "read_at"}[kind]
        client.write(client._receipts, frame(kind, {"room_id": room, "message_id": message, at: 1}))

    async def direct(self):
        first, second = await self.login(token=token(sub="6801")), await self.login(token=token(sub="6802"))
        room = (await first.done(OPEN_DIRECT, {"user_id": second.user_id}))["room_id"]
        ids = [(await first.say(room, str(n)))["message_id"] for n in range(3)]
        await second.expect(INIT, room_id=room)
        return first, second, room, ids

    async def test_068_069_receipts_in_a_direct_room(self):
        first, second, room, ids = await self.direct()
        self.receipt(second, DELIVERED, room, ids[1])
        got = await first.expect(DELIVERED, room_id=room)
        self.assertEqual((got["user_id"], got["message_id"]), (second.user_id, ids[1]))
        self.receipt(second, READ, room, ids[2])
        got = await first.expect(READ, room_id=room)
        self.assertEqual((got["user_id"], got["message_id"]), (second.user_id, ids[2]))
        self.receipt(second, READ, room, ids[0])
        await asyncio.sleep(0.4)
        await first.quiet()
        self.assertEqual(first.take(READ), [])

    async def test_068_receipts_in_a_group(self):
        reader, one, other = [await self.login(token=token(sub=str(6811 + n))) for n in range(3)]
        deaf = self.client()
        await deaf.login(token=token(sub="6812"), capabilities=("chat",))
        members = [user.user_id for user in (reader, one)]
        room = (await other.done(CREATE, {"name": "g", "room_type": "group", "members": members}))["room_id"]
        for client in (reader, one):
            await client.expect(ROOM_INVITE, room_id=room)
            await client.done(JOIN, {"room_id": room})
        await deaf.expect(INIT, room_id=room)
        ids = [(await author.say(room, "x"))["message_id"] for author in (one, one, other, one, reader, other)]
        await reader.expect(MESSAGE, message_id=ids[-1])
        self.receipt(reader, DELIVERED, room, ids[1])
        self.receipt(reader, READ, room, ids[3])
        # One's own is no message to have read.
        self.receipt(reader, READ, room, ids[4])
        got = await one.expect(READ, room_id=room)
        self.assertEqual((got["user_id"], got["message_id"]), (reader.user_id, ids[3]))
        got = await other.expect(READ, room_id=room)
        self.assertEqual((got["user_id"], got["message_id"]), (reader.user_id, ids[2]))
        self.assertEqual([got["message_id"] for got in one.take(DELIVERED)], [ids[1]])
        # What was read was received; another device has not read further; and nobody in the room knows such a message.
        again = await self.login(token=token(sub="6811"))
        await again.expect(INIT, room_id=room)
        self.receipt(again, DELIVERED, room, ids[2])
        self.receipt(again, READ, room, ids[0])
        self.receipt(again, READ, room, 4711)
        self.receipt(again, READ, room, ids[5])
        got = await other.expect(READ, room_id=room)
        self.assertEqual(got["message_id"], ids[5])
        got = await reader.expect(READ, room_id=room)
        self.assertEqual((got["user_id"], got["message_id"]), (reader.user_id, ids[5]))
        for client in (one, other, again, deaf):
            await client.quiet()
        self.assertEqual(one.take(READ) + other.take(READ) + again.take(READ), [])
        self.assertEqual(one.take(DELIVERED) + other.take(DELIVERED) + deaf.take(READ), [])

    async def test_070_no_receipts_in_a_channel(self):
        first, other = await self.login(token=token(sub="7001")), await self.login(token=token(sub="7002"))
        again = await self.login(token=token(sub="7001"))
        name = self.room()
        room = (await first.join(name))["room_id"]
        await other.join(name)
        await again.join(name)
        message = (await other.say(room, "x"))["message_id"]
        await first.expect(MESSAGE, room_id=room)
        self.receipt(first, READ, room, message)
        got = await again.expect(READ, room_id=room)
        self.assertEqual((got["user_id"], got["message_id"]), (first.user_id, message))
        await other.quiet()
        self.assertEqual(other.take(READ), [])

    # --- presence --------------------------------------------------------------------------------------------------

    async def test_081_presence_comes_twice(self):
        proxy = self.proxy()
        first = await self.login()
        second = await self.login(proxy.address)
        name = self.room()
        await first.join(name)
        await second.join(name)
        first.datagram(frame(AWAY, {"away_since": 1, "pseq": 1}))
        got = await second.expect(AWAY, user_id=first.user_id)
        again = await second.expect(AWAY, user_id=first.user_id)
        self.assertEqual(got["pseq"], again["pseq"])
        first.datagram(frame(ONLINE, {"status": "here", "pseq": 2}))
        got = await second.expect(ONLINE, user_id=first.user_id)
        self.assertGreater(got["pseq"], again["pseq"])

    async def test_081_online_where_any_connection_is(self):
        first, watcher = await self.login(token=token(sub="8101")), await self.login(token=token(sub="8102"))
        again = await self.login(token=token(sub="8101"))
        name = self.room()
        for client in (first, watcher, again):
            room = (await client.join(name))["room_id"]
        first.datagram(frame(AWAY, {"away_since": 1, "pseq": 1}))
        await asyncio.sleep(0.3)
        self.assertEqual(watcher.take(AWAY), [], "the other connection is online")
        again.datagram(frame(AWAY, {"away_since": 1, "pseq": 1}))
        await watcher.expect(AWAY, user_id=first.user_id)
        third = await self.login(token=token(sub="8103"))
        members = (await third.join(name))["members"]
        self.assertEqual({user["user_id"]: user["presence"] for user in members}[first.user_id], "away")
        await self.login(token=token(sub="8101"))
        await watcher.expect(ONLINE, user_id=first.user_id)

    async def test_081_without_datagrams_and_without_the_capability(self):
        first = await self.login()
        plain, deaf = await self.login(datagram_bytes=None), self.client()
        await deaf.login(self.somebody(), capabilities=("chat",))
        first.datagram(frame(AWAY, {"away_since": 1, "pseq": 1}))
        got = await plain.expect(AWAY, user_id=first.user_id)
        self.assertEqual(got.stream, 0)
        await deaf.quiet()
        self.assertEqual(deaf.take(AWAY), [])
        plain.control(AWAY, {"away_since": 1, "pseq": 1})
        await first.expect(AWAY, user_id=plain.user_id)


class PeopleOneShard(People):
    shards = 1


class PeopleFourShards(People):
    shards = 4


class Kept(Case):
    settings = People.settings

    async def test_looks_survive_a_restart(self):
        name, client = self.somebody(), await self.login(token=token(sub="8502", username="Given"))
        looks = {"username": name, "color": "#123456", "avatar_url": "https://example.org/b.png"}
        await client.done(SET_PROFILE, looks)
        self.server.stop()
        self.server.start()
        again = await self.login(token=token(sub="8502", username="Given"))
        me = next(user for user in again.lobby["members"] if user["user_id"] == 8502)
        self.assertEqual({key: me[key] for key in looks}, looks)
