"""What rooms are is there again after the server has ended, by order or by force, and with another number of shards."""

import asyncio
import time

from client import (
    DELETE, EDIT, FETCH_HISTORY, HISTORY, INIT, INVITE, JOIN, LIST_ROOMS, MESSAGE, OPEN_DIRECT, REACT, READ, ROOM_INVITE,
    ROOM_LIST, SEND, SET_ROLE, UPDATE_ROOM, frame,
)
from test_private import Accounts


class Kept(Accounts):
    """A server that ends and starts again on what it has kept."""

    def again_with(self, shards, force):
        if force:
            # What was acknowledged lasts within the time that the storage takes to commit.
            time.sleep(1)
            self.server.child.kill()
            self.server.child.wait()
        else:
            self.server.stop()
        self.server.shards = shards
        self.server.start()


class KeptRooms(Kept):
    shards = 2

    async def test_037_a_channel_is_what_it_was(self):
        for shards, force in ((3, False), (1, True)):
            number, other = self.account(), self.account()
            first, second = await self.member(number), await self.member(other)
            name = f"kept {number}"
            room = (await first.done(JOIN, {"name": name}))["room_id"]
            await second.done(JOIN, {"name": name})
            await first.expect(INIT, room_id=room)
            await second.expect(INIT, room_id=room)
            await first.done(SET_ROLE, {"room_id": room, "user_id": other, "role": "moderator"})
            await first.done(UPDATE_ROOM, {"room_id": room, "topic": "what lasts", "post_role": "moderator"})
            ids = [(await first.say(room, text))["message_id"] for text in ("one", "two", "three")]
            await first.done(EDIT, {"room_id": room, "message_id": ids[0], "content": "edited"})
            await first.done(DELETE, {"room_id": room, "message_id": ids[1]})
            await second.done(REACT, {"room_id": room, "message_id": ids[2], "emoji": "+"})
            self.again_with(shards, force)
            second = await self.member(other)
            await second.done(JOIN, {"name": name})
            init = await second.expect(INIT, room_id=room)
            self.assertEqual((init["topic"], init["post_role"], init["role"]), ("what lasts", "moderator", "moderator"))
            # The list follows within a moment.
            for _ in range(50):
                got = await second.expect(ROOM_LIST, nonce=second.chat(LIST_ROOMS, {"filter": name}))
                topics = [one["topic"] for one in got["rooms"]]
                if topics == ["what lasts"]:
                    break
                await asyncio.sleep(0.1)
            self.assertEqual(topics, ["what lasts"])
            said = init["recent_messages"]
            self.assertEqual([one["message_id"] for one in said], ids)
            self.assertEqual([one["deleted"] for one in said], [False, True, False])
            self.assertEqual((said[0]["content"], said[2]["content"]), ("edited", "three"))
            self.assertEqual([(one["emoji"], one["user_ids"]) for one in said[2]["reactions"]], [("+", [other])])
            new = (await second.say(room, "four"))["message_id"]
            self.assertNotIn(new, ids)

    async def test_a_group_and_its_people_are_there_again(self):
        for shards, force in ((3, False), (1, True)):
            numbers = [self.account() for _ in range(4)]
            first, second, third = [await self.member(number) for number in numbers[:3]]
            invited = await self.member(numbers[3])
            room = await self.group(first, second, third)
            await first.done(SET_ROLE, {"room_id": room, "user_id": numbers[1], "role": "admin"})
            await first.done(UPDATE_ROOM, {"room_id": room, "name": "other name", "topic": "us"})
            await second.done(INVITE, {"room_id": room, "user_id": numbers[3]})
            await invited.expect(ROOM_INVITE, room_id=room)
            said = (await third.say(room, "kept"))["message_id"]
            self.again_with(shards, force)
            second, inits = await self.again(numbers[1])
            self.assertIn(room, inits)
            init = inits[room]
            self.assertEqual((init["room_type"], init["name"], init["topic"]), ("group", "other name", "us"))
            self.assertEqual([one["message_id"] for one in init["recent_messages"]], [said])
            roles = {user["user_id"]: user["role"] for user in init["members"]}
            self.assertEqual(roles, dict(zip(numbers, ("owner", "admin", "member"))))
            first, inits = await self.again(numbers[0])
            self.assertIn(room, inits)
            await second.say(room, "again")
            await first.expect(MESSAGE, room_id=room, content="again")
            invited = await self.member(numbers[3])
            got = await invited.expect(ROOM_INVITE, room_id=room)
            self.assertEqual(got["name"], "other name")
            await invited.done(JOIN, {"room_id": room})
            await invited.expect(INIT, room_id=room)
            stranger = await self.member()
            await stranger.refused(JOIN, {"room_id": room}, 1005)

    async def test_a_direct_room_is_there_again(self):
        for shards, force in ((3, False), (1, True)):
            numbers = [self.account() for _ in range(2)]
            first, second = [await self.member(number) for number in numbers]
            room = (await first.done(OPEN_DIRECT, {"user_id": numbers[1]}))["room_id"]
            await first.expect(INIT, room_id=room)
            await first.say(room, "between us")
            await second.expect(INIT, room_id=room)
            self.again_with(shards, force)
            second, inits = await self.again(numbers[1])
            self.assertIn(room, inits)
            self.assertEqual([one["content"] for one in inits[room]["recent_messages"]], ["between us"])
            await second.say(room, "still here")
            # The other was not here yet, and finds all of it.
            first, inits = await self.again(numbers[0])
            self.assertEqual([one["content"] for one in inits[room]["recent_messages"]], ["between us", "still here"])
            self.assertEqual((await first.done(OPEN_DIRECT, {"user_id": numbers[1]}))["room_id"], room)


class KeptHistory(Kept):
    """What is older than the ring of a hundred messages."""

    shards = 1

    async def part(self, client, room, **more):
        """A part of what was said, and whether there is more."""
        nonce = client.chat(FETCH_HISTORY, {"room_id": room, **more})
        got = await client.expect(HISTORY, room_id=room, nonce=nonce)
        return got["messages"], got["more"]

    async def all_of(self, client, room, limit):
        """All that was said, a part at a time from the end."""
        found, more, where = [], True, {}
        while more:
            part, more = await self.part(client, room, limit=limit, **where)
            self.assertTrue(len(part) == limit if more else len(part) <= limit, f"{len(part)} of {limit}, {more}")
            found[:0] = part
            where = {"before_id": part[0]["message_id"]}
        return found

    async def say_all(self, client, room, texts):
        """Says all of it at once; the numbers of the messages."""
        nonces = [client.chat(SEND, {"room_id": room, "content": text}) for text in texts]
        return [(await client.answer(nonce))["message_id"] for nonce in nonces]

    async def rooms(self, first, second):
        """A room of each kind with both in it, and the name of the channel."""
        name = self.room()
        channel = (await first.join(name))["room_id"]
        await second.join(name)
        direct = (await first.done(OPEN_DIRECT, {"user_id": second.user_id}))["room_id"]
        return [channel, await self.group(first, second), direct], name

    async def test_061_062_history_goes_back_as_far_as_it_is_kept(self):
        numbers = self.account(), self.account()
        first, second = [await self.member(number) for number in numbers]
        rooms, name = await self.rooms(first, second)
        known = {}
        for room in rooms:
            ids = await self.say_all(first, room, [f"{n}" for n in range(120)])
            await second.expect(MESSAGE, room_id=room, content="119")
            await first.done(EDIT, {"room_id": room, "message_id": ids[30], "content": "edited"})
            await first.done(DELETE, {"room_id": room, "message_id": ids[31]})
            await second.done(REACT, {"room_id": room, "message_id": ids[32], "emoji": "+"})
            ids.append((await second.say(room, "an answer", reply_to=ids[3]))["message_id"])
            ids += await self.say_all(second, room, [f"{n}" for n in range(121, 250)])
            known[room] = ids
        for shards, force in ((None, False), (self.shards + 1, False), (self.shards, True)):
            if shards is not None:
                self.again_with(shards, force)
                first, second = [await self.member(number) for number in numbers]
                await first.join(name)
            for room in rooms:
                await self.look_through(first, second, room, known[room], begun_here=shards is None)

    async def look_through(self, client, other, room, ids, begun_here):
        for limit in (100, 33):
            found = await self.all_of(client, room, limit)
            self.assertEqual([one["message_id"] for one in found], ids)
        seqs = [one["seq"] for one in found]
        told = [seq for seq in seqs if seq > 0]
        self.assertEqual(told, sorted(set(told)), "numbers rise")
        self.assertEqual(seqs[-len(told):], told, "what has no number any more comes first")
        self.assertGreaterEqual(len(told), 100, "all of the ring is numbered")
        self.assertEqual(len(told) == len(ids), begun_here)
        texts = [one["content"] for one in found]
        self.assertEqual((texts[0], texts[29:33]), ("0", ["29", "edited", "", "32"]))
        self.assertEqual([one["deleted"] for one in found], [n == 31 for n in range(250)])
        self.assertIsNotNone(found[30]["edited_at"])
        self.assertEqual(found[32]["reactions"], [{"emoji": "+", "count": 1, "user_ids": [other.user_id]}])
        self.assertEqual((found[120]["reply_to"], found[120]["content"]), (ids[3], "an answer"))
        self.assertEqual(found[120]["sender"]["user_id"], other.user_id)
        # Over the edge of the ring, before the first of all, and between.
        for before, limit, span in ((200, 100, (100, 200)), (0, 5, (0, 0)), (3, 3, (0, 3)), (60, 10, (50, 60))):
            part, more = await self.part(client, room, limit=limit, before_id=ids[before])
            self.assertEqual([one["message_id"] for one in part], ids[slice(*span)])
            self.assertEqual(more, span[0] > 0)
        # Forwards, by number.
        start = len(ids) - len(told)
        part, more = await self.part(client, room, limit=20, after_seq=told[5])
        self.assertEqual([one["message_id"] for one in part], ids[start + 6 : start + 26])
        self.assertTrue(more)
        part, more = await self.part(client, room, limit=20, after_seq=told[-4])
        self.assertEqual(([one["message_id"] for one in part], more), (ids[-3:], False))

    async def test_what_was_acknowledged_is_there_after_a_kill(self):
        """Somebody goes on speaking while the server is killed: what it had acknowledged for a second is there, once."""
        number = self.account()
        client = await self.member(number)
        name = self.room()
        room = (await client.join(name))["room_id"]
        await self.say_all(client, room, [f"{n}" for n in range(150)])
        acknowledged = []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            got = await client.say(room, f"{150 + len(acknowledged)}")
            acknowledged.append((got["message_id"], time.monotonic()))
            # Fewer than what a channel keeps, however fast the machine is.
            await asyncio.sleep(0.004)
        self.server.child.kill()
        killed = time.monotonic()
        self.server.child.wait()
        self.server.start()
        lasts = [one for one, at in acknowledged if killed - at > 1]
        self.assertGreater(len(lasts), 10)
        client = await self.member(number)
        await client.join(name)
        found = await self.all_of(client, room, 100)
        ids = [one["message_id"] for one in found]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([one["content"] for one in found], [f"{n}" for n in range(len(found))])
        self.assertEqual([one for one in ids if one in lasts], lasts)
        new = (await client.say(room, "new"))["message_id"]
        self.assertNotIn(new, ids)
        part, more = await self.part(client, room, limit=100)
        self.assertEqual(([one["message_id"] for one in part], more), (ids[-99:] + [new], True))

    async def test_062_parts_that_are_cut_leave_nothing_out(self):
        """A hundred of the longest messages are more than a frame may hold, whichever way they are asked for."""
        first, second = await self.member(), await self.member()
        room = await self.group(first, second)
        texts = [f"{n} " + "\u20ac" * 4_000 for n in range(110)]
        for text in texts:
            await first.say(room, text)
        found, more, after = [], True, 0
        while more:
            part, more = await self.part(second, room, limit=100, after_seq=after)
            found += [message["content"] for message in part]
            after = part[-1]["seq"]
        self.assertEqual(found, texts)
        found, more, where = [], True, {}
        while more:
            part, more = await self.part(second, room, limit=100, **where)
            found[:0] = [message["content"] for message in part]
            where = {"before_id": part[0]["message_id"]}
        self.assertEqual(found, texts)


class KeptHistoryOfMany(KeptHistory):
    shards = 4


class KeptMarks(Kept):
    shards = 2

    def read(self, client, room, message):
        if not hasattr(client, "acks"):
            client.acks = client.open()
        client.write(client.acks, frame(READ, {"message_id": message, "room_id": room, "read_at": 1}))

    async def test_069_what_was_read_is_not_told_again_after_a_restart(self):
        for force in (False, True):
            numbers = [self.account() for _ in range(2)]
            first, second = [await self.member(number) for number in numbers]
            room = await self.group(first, second)
            ids = [(await first.say(room, text))["message_id"] for text in ("one", "two", "three")]
            await second.expect(MESSAGE, room_id=room, content="three")
            self.read(second, room, ids[1])
            await first.expect(READ, room_id=room, message_id=ids[1], user_id=numbers[1])
            # It is told within 250 ms and on the disk within 50 more.
            self.again_with(self.shards, force)
            first, second = [await self.member(number) for number in numbers]
            await first.expect(INIT, room_id=room)
            await second.expect(INIT, room_id=room)
            # What it had read before is not news, and what it had not is.
            self.read(second, room, ids[1])
            await asyncio.sleep(0.5)
            await first.quiet()
            self.assertEqual(first.take(READ, room_id=room), [])
            self.read(second, room, ids[2])
            await first.expect(READ, room_id=room, message_id=ids[2], user_id=numbers[1])
