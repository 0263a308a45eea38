"""What rooms are is there again after the server has ended, by order or by force, and with another number of shards."""

import time

from client import (
    DELETE, EDIT, INIT, INVITE, JOIN, MESSAGE, OPEN_DIRECT, REACT, ROOM_INVITE, SET_ROLE, UPDATE_ROOM,
)
from test_private import Accounts


class KeptRooms(Accounts):
    shards = 2

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
