"""Bans and mutes hold over a restart, on every door, also when the server is killed right behind the confirmation."""

import time

from client import BAN, COMMAND_OK, DELETE, INIT, JOIN, JOINED, MUTE, SEND, UNBAN, USER_UPDATED
from server import OtherDoors
from test_private import Accounts


class KeptModeration(OtherDoors, Accounts):
    shards = 2

    def kill(self, shards):
        """Kills the server, without waiting for anything, and starts it with another number of shards."""
        self.server.child.kill()
        self.server.child.wait()
        self.server.shards = shards
        self.server.start()

    async def test_051_052_bans_and_mutes_of_a_group_outlive_a_kill(self):
        for shards in (3, 1):
            numbers = [self.account() for _ in range(3)]
            first, second, third = [await self.member(number) for number in numbers]
            room = await self.group(first, second, third)
            await first.say(room, "first")
            banned, muted = ({"room_id": room, "user_id": number} for number in numbers[1:])
            said = (await third.say(room, "mine"))["message_id"]
            until = time.time() * 1000 + 600_000
            await first.done(BAN, banned | {"duration_ms": 600_000})
            await first.done(MUTE, muted | {"duration_ms": 600_000})
            self.kill(shards)
            second, third = [await self.member(number) for number in numbers[1:]]
            self.assertEqual(second.auth_ok["rooms"], [1], "whoever was sent out does not belong to it")
            got = await second.refused(JOIN, {"room_id": room}, 1014)
            self.assertLessEqual(got["retry_after_ms"], 600_000)
            self.assertGreater(got["retry_after_ms"], 500_000)
            init = await third.expect(INIT, room_id=room)
            self.assertAlmostEqual(init["muted_until"], until, delta=30_000)
            await third.refused(SEND, {"room_id": room, "content": "psst"}, 1015)
            await third.done(DELETE, {"room_id": room, "message_id": said})
            # Lifting lasts as well.
            first, _ = await self.again(numbers[0])
            await first.done(UNBAN, banned)
            await first.done(MUTE, muted | {"duration_ms": 0})
            await third.expect(USER_UPDATED, room_id=room, muted_until=None)
            self.kill(self.shards)
            second, third = [await self.member(number) for number in numbers[1:]]
            await second.done(JOIN, {"room_id": room})
            await third.expect(INIT, room_id=room, muted_until=None)
            await third.say(room, "aloud")

    async def test_052_a_mute_of_a_channel_outlives_a_kill_on_every_door(self):
        first = await self.member()
        name = self.room()
        room = (await first.join(name))["room_id"]
        number = self.account()
        second = await self.member(number)
        await second.join(name)
        who = {"room_id": room, "user_id": number, "duration_ms": 600_000}
        await first.done(MUTE, who)
        nonces = [first.chat(MUTE, who) for _ in range(3)]
        for nonce in nonces:
            self.assertEqual((await first.answer(nonce)).kind, COMMAND_OK)
        self.kill(3)
        second = await self.member(number)
        init = await second.join(name)
        self.assertIsNotNone(init["muted_until"])
        await second.refused(SEND, {"room_id": room, "content": "psst"}, 1015)

    async def test_051_a_ban_of_a_channel_keeps_the_address_of_a_terminal_out(self):
        for shards in (3, 2):
            first = await self.member()
            name = self.somebody()
            init = await first.join(name)
            room = init["room_id"]
            nick = self.somebody()
            await self.terminal(name, nick)
            joined = await first.until(
                lambda: [got for got in first.inbox if got.kind == JOINED and got["user"]["username"] == nick], "terminal")
            who = {"room_id": room, "user_id": joined[0]["user"]["user_id"], "duration_ms": 600_000}
            await first.done(BAN, who)
            for restarted in (False, True):
                if restarted:
                    self.kill(shards)
                    first = await self.member(first.user_id)
                    await first.join(name)
                # Under whatever nick.
                other = await self.terminal()
                other.send(f"/join {name}")
                line = await other.until(lambda line: "banned" in line.lower() and line, "a refusal")
                self.assertIn(name, line)
                # The address is that of terminals alone: a piano page comes from it, too.
                piano = await self.piano(name)
                other.close()
                piano.close()
