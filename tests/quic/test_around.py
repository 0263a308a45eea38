"""Statement 51 and section 7.3: what is asked around the moment in which somebody is sent out of a room."""

import asyncio

from client import (
    ACK, BAN, CLOSE, COMMAND_OK, CREATE, DELETE_ROOM, EDIT, ERROR, FETCH_HISTORY, HISTORY, INVITE, JOIN, KICK, REACT,
    ROOM_INVITE, SEND, SET_ROLE, UNBAN,
)
from server import Case
from test_messages import FAST

ROUNDS = 8
#: So many commands before the other's, and so many behind it.
BURST = 12


class Around(Case):
    arguments = FAST
    shards = 1

    def ask(self, client, room, message, n):
        """A command of the client's, which is answered whatever happens; its nonce."""
        at = {"room_id": room}
        kind, payload = [
            (SEND, at | {"content": f"word {n}"}),
            (REACT, at | {"message_id": message, "emoji": "🎹"}),
            (FETCH_HISTORY, at | {"limit": 3}),
            (EDIT, at | {"message_id": message, "content": f"edited {n}"}),
            (INVITE, at | {"user_id": client.user_id}),
        ][n % 5]
        return client.chat(kind, payload)

    async def around(self, client, room, message, act):
        """Lets a client ask while `act` is done, and gives the answers to each nonce when the room is closed to it."""
        nonces = []
        for n in range(2 * BURST):
            nonces.append(self.ask(client, room, message, n))
            if n == BURST:
                act()
            if n % 3 == 0:
                await asyncio.sleep(0)
        closed = await client.expect(CLOSE, room_id=room)
        # What comes behind this one was asked when the session had heard of the end.
        last = self.ask(client, room, message, 0)
        answers = {nonce: [] for nonce in nonces + [last]}

        def all_answered():
            for kind in (ACK, COMMAND_OK, ERROR, HISTORY):
                for got in client.take(kind):
                    if got.get("nonce") in answers:
                        answers[got["nonce"]].append(got)
            return all(answers.values())

        await client.until(all_answered, "answer to each command")
        await asyncio.sleep(0.1)
        all_answered()
        for nonce, got in answers.items():
            self.assertEqual(len(got), 1, (nonce, got))
            if got[0].kind == ERROR:
                self.assertIn(got[0]["code"], (1005, 1007), got)
                self.assertEqual(got[0]["room_id"], room)
        self.assertEqual(answers[last][0]["code"], 1005)
        return closed, answers

    async def test_051_each_command_around_a_kick_is_answered_once(self):
        refused = 0
        for n in range(ROUNDS):
            owner, member = await self.login(), await self.login()
            name = self.room()
            room = (await owner.join(name))["room_id"]
            await member.join(name)
            message = (await member.say(room, "first"))["message_id"]
            who = {"room_id": room, "user_id": member.user_id}
            kind, payload = [(KICK, who), (BAN, who | {"duration_ms": 60_000})][n % 2]
            closed, answers = await self.around(member, room, message, lambda: owner.chat(kind, payload))
            self.assertEqual(closed["reason"], ["kicked", "banned"][n % 2])
            refused += sum(got[0].get("code") == 1005 for got in answers.values())
            if n % 2:
                await owner.done(UNBAN, who)
            await member.join(name)
            await member.say(room, "again")
        # The one behind the close in each round, and some that were on their way.
        self.assertGreater(refused, ROUNDS)

    async def test_051_each_command_around_the_end_of_a_group_is_answered_once(self):
        for n in range(ROUNDS):
            owner, member = await self.login(), await self.login()
            group = {"name": "g", "room_type": "group", "members": [member.user_id]}
            room = (await owner.done(CREATE, group))["room_id"]
            await member.expect(ROOM_INVITE, room_id=room)
            await member.done(JOIN, {"room_id": room})
            who = {"room_id": room, "user_id": member.user_id}
            await owner.done(SET_ROLE, who | {"role": "moderator"})
            message = (await member.say(room, "first"))["message_id"]
            kind, payload = [(KICK, who), (DELETE_ROOM, {"room_id": room})][n % 2]
            closed, _ = await self.around(member, room, message, lambda: owner.chat(kind, payload))
            self.assertEqual(closed["reason"], ["kicked", "deleted"][n % 2])


class AroundTwoShards(Around):
    shards = 2


class AroundFourShards(Around):
    shards = 4
