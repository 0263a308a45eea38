//! Direct and group rooms: who belongs to a room that nobody finds who does not, connected or not.
//!
//! Such a room is a channel whose name no door can write, so nobody gets in by name. Whoever belongs to it is on its
//! list of people; those of them who are connected are participants of the channel as well.

use crate::{
    ChannelName, DoorKind, MessageId, NumberKey, Profile, Role, RoomId, UserId, UserNumber,
    shard::{Incoming, Outgoing},
};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

/// Most members of a group. All of them are in memory while somebody is there, and 500 are shown to each newcomer;
/// whoever needs more wants a channel.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Most people who are invited into a room and have not come, or have been sent out and may come again.
pub const INVITED_MAX: usize = 100;

/// What a room is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RoomKind {
    /// A channel: everybody finds it by its name.
    Channel,
    /// For two people.
    Direct,
    /// For those who were invited.
    Group,
}

impl RoomKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            RoomKind::Channel => "channel",
            RoomKind::Direct => "direct",
            RoomKind::Group => "group",
        }
    }

    /// Most UTF-16 code units of a text in such a room.
    #[must_use]
    pub fn text_length_max(self) -> usize {
        match self {
            RoomKind::Channel => 512,
            RoomKind::Direct | RoomKind::Group => 4_096,
        }
    }
}

/// How somebody stands to a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// Is a member: every new session is in the room.
    In,
    /// Is one of two, and has not opened the room, or has closed it: the next message opens it.
    Closed,
    /// Was invited by somebody, and may come.
    Invited(Box<Profile>),
    /// Was sent out, and may come again.
    Former,
}

/// Somebody who belongs to a room, or may.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RoomMember {
    /// Who, as they were when they were last there.
    pub profile: Profile,
    /// What they may do.
    pub role: Role,
    /// The place in the order in which people came.
    pub order: u64,
    /// How they stand to it.
    pub standing: Standing,
    /// How far they have received and read it.
    #[serde(default)]
    pub marks: Marks,
}

/// How far somebody has received and read a room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Marks {
    /// All messages up to this one were received.
    pub delivered: Option<MessageId>,
    /// All messages up to this one were read.
    pub read: Option<MessageId>,
}

impl RoomMember {
    /// Whether they are on the list that is shown.
    pub(crate) fn is_listed(&self) -> bool {
        matches!(self.standing, Standing::In | Standing::Closed)
    }

    /// Whether they come by a door that has no direct rooms.
    pub(crate) fn is_at_another_door(&self) -> bool {
        self.profile.door != DoorKind::Quic
    }

    /// Whether their membership outlives their connections.
    pub(crate) fn lasts(&self) -> bool {
        self.profile.account.is_some()
    }
}

/// Somebody whom a client names by number; the id is known to doors that make ids of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Whom {
    /// The number.
    pub number: UserNumber,
    /// The user, for the number of an account.
    pub user: Option<UserId>,
}

/// An invitation into a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// Which room.
    pub room: RoomId,
    /// What it is.
    pub kind: RoomKind,
    /// What it is called.
    pub title: Box<str>,
    /// Who invites.
    pub by: Profile,
}

/// What a channel is beyond itself when it is a direct or group room.
#[derive(Debug)]
pub(crate) struct Private {
    pub(crate) kind: RoomKind,
    /// What a group is called; direct rooms have no name.
    pub(crate) title: Box<str>,
    people: BTreeMap<UserId, RoomMember>,
    /// What was said to somebody at another door and waits to arrive there, in order.
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// What somebody at another door wrote and waits for the other to come, in order.
    pub(crate) incoming: VecDeque<Incoming>,
}

impl Private {
    pub(crate) fn new(kind: RoomKind, title: &str) -> Self {
        Private {
            kind,
            title: title.into(),
            people: BTreeMap::new(),
            outgoing: VecDeque::new(),
            incoming: VecDeque::new(),
        }
    }

    /// Those who were kept, as far as they can still belong to a room; `None` when nobody is left to whom it belongs.
    ///
    /// A crash can have cut a change of two people in half, so what holds between inputs is made to hold.
    pub(crate) fn sound(kind: RoomKind, mut people: Vec<RoomMember>) -> Option<Vec<RoomMember>> {
        people.sort_by_key(|person| person.order);
        match kind {
            RoomKind::Channel => return None,
            RoomKind::Direct => {
                people.retain(RoomMember::is_listed);
                people.iter_mut().for_each(|person| person.role = Role::Member);
                let lasts = people.iter().any(RoomMember::lasts);
                return (people.len() == 2 && lasts).then_some(people);
            }
            RoomKind::Group => {}
        }
        people.retain(RoomMember::lasts);
        let (mut listed, mut invited, mut owners) = (0, 0, 0);
        people.retain_mut(|person| {
            let (count, max) = match person.is_listed() {
                true => (&mut listed, GROUP_MEMBERS_MAX),
                false => (&mut invited, INVITED_MAX),
            };
            *count += 1;
            if person.is_listed() && person.role == Role::Owner {
                owners += 1;
                if owners > 1 {
                    person.role = Role::Admin;
                }
            }
            *count <= max
        });
        (listed > 0).then_some(people)
    }

    /// Puts those on the list who were there.
    pub(crate) fn restore(&mut self, people: Vec<RoomMember>) {
        self.people = people.into_iter().map(|person| (person.profile.user, person)).collect();
        if self.kind == RoomKind::Group
            && let Some(heir) = self.heir()
            && let Some(heir) = self.people.get_mut(&heir)
        {
            heir.role = Role::Owner;
        }
    }

    pub(crate) fn get(&self, user: UserId) -> Option<&RoomMember> {
        self.people.get(&user)
    }

    pub(crate) fn get_mut(&mut self, user: UserId) -> Option<&mut RoomMember> {
        self.people.get_mut(&user)
    }

    pub(crate) fn people(&self) -> impl Iterator<Item = &RoomMember> {
        self.people.values()
    }

    pub(crate) fn remove(&mut self, user: UserId) {
        self.people.remove(&user);
    }

    /// Puts somebody on the list, at the end of the order, or changes how they stand to the room.
    pub(crate) fn put(&mut self, profile: &Profile, role: Role, standing: Standing) {
        let order = self.people().map(|person| person.order).max().map_or(0, |last| last + 1);
        let marks = self.get(profile.user).map(|person| person.marks).unwrap_or_default();
        let profile = profile.clone();
        self.people.insert(profile.user, RoomMember { profile, role, order, standing, marks });
    }

    /// Those who are shown, in the order in which they came.
    pub(crate) fn listed(&self) -> Vec<&RoomMember> {
        let mut listed: Vec<_> = self.people().filter(|person| person.is_listed()).collect();
        listed.sort_unstable_by_key(|person| person.order);
        listed
    }

    pub(crate) fn count(&self) -> usize {
        self.people().filter(|person| person.is_listed()).count()
    }

    /// Those who may come and have not.
    pub(crate) fn invited(&self) -> usize {
        self.people.len() - self.count()
    }

    /// Whether a user is a member, connected or not.
    pub(crate) fn is_in(&self, user: UserId) -> bool {
        self.get(user).is_some_and(|person| person.standing == Standing::In)
    }

    /// What a user may do here; those who do not belong to it may do nothing.
    pub(crate) fn role(&self, user: UserId) -> Role {
        match self.get(user) {
            Some(person) if person.is_listed() => person.role,
            _ => Role::Guest,
        }
    }

    /// A member by number, connected or not.
    pub(crate) fn find_number(&self, key: NumberKey, number: UserNumber) -> Option<UserId> {
        let mut listed = self.people().filter(|person| person.is_listed());
        listed.find(|person| key.user(&person.profile) == number).map(|person| person.profile.user)
    }

    /// Who owns a group when its owner has left: of the highest rank, whoever has been there longest.
    pub(crate) fn heir(&self) -> Option<UserId> {
        let listed = self.people().filter(|person| person.is_listed());
        let first = listed.min_by_key(|person| (Reverse(person.role), person.order))?;
        (first.role < Role::Owner).then_some(first.profile.user)
    }

    /// The one of two who is at a door that has no rooms: a private message to them is a letter.
    pub(crate) fn at_another_door(&self) -> Option<UserId> {
        if self.kind != RoomKind::Direct {
            return None;
        }
        let other = self.people().find(|person| person.is_at_another_door());
        other.map(|person| person.profile.user)
    }

    /// Whether it is there while nobody is.
    pub(crate) fn lasts(&self) -> bool {
        self.at_another_door().is_none()
            && self.people().any(|person| person.is_listed() && person.lasts())
    }

    /// Checks what holds of it between inputs.
    ///
    /// # Panics
    /// When something does not.
    pub(crate) fn verify(&self) {
        let owners = self.people().filter(|p| p.is_listed() && p.role == Role::Owner).count();
        match self.kind {
            RoomKind::Channel => unreachable!("a channel has no list of people"),
            RoomKind::Direct => {
                assert_eq!((self.people.len(), self.count(), owners), (2, 2, 0), "it is for two");
            }
            RoomKind::Group => {
                assert_eq!(owners, usize::from(self.count() > 0), "a group has one owner");
                assert!(self.count() <= GROUP_MEMBERS_MAX && self.invited() <= INVITED_MAX);
            }
        }
    }

    /// Makes room for one more who may come again.
    pub(crate) fn trim_former(&mut self) {
        if self.invited() > INVITED_MAX {
            let former = self.people().filter(|person| person.standing == Standing::Former);
            let oldest = former.min_by_key(|person| person.order).map(|person| person.profile.user);
            oldest.map(|user| self.people.remove(&user));
        }
    }
}

/// What no name of a channel begins with that anybody can write.
pub(crate) const PRIVATE: char = '\n';

impl ChannelName {
    /// The name of the room of two people, the same for both.
    #[must_use]
    pub fn direct(one: UserId, other: UserId) -> Self {
        let (first, second) = (one.min(other), one.max(other));
        ChannelName::unchecked(&format!("{PRIVATE}direct {first} {second}"))
    }

    /// The name of a group, drawn at random.
    #[must_use]
    pub fn group(drawn: [u8; 12]) -> Self {
        ChannelName::unchecked(&format!("{PRIVATE}group {}", UserId(drawn)))
    }

    /// What the room of this name is.
    #[must_use]
    pub fn room_kind(&self) -> RoomKind {
        match self.as_str().strip_prefix(PRIVATE) {
            Some(rest) if rest.starts_with("direct") => RoomKind::Direct,
            Some(_) => RoomKind::Group,
            None => RoomKind::Channel,
        }
    }

    /// Whether it is the name of a room that nobody gets into by its name.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.room_kind() != RoomKind::Channel
    }

    /// A name that was kept, private or not.
    #[must_use]
    pub fn parse_kept(text: &str) -> Option<Self> {
        let is_private = text
            .strip_prefix(PRIVATE)
            .is_some_and(|rest| rest.starts_with("direct ") || rest.starts_with("group "));
        if is_private { Some(ChannelName::unchecked(text)) } else { ChannelName::parse(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u8) -> Profile {
        Profile::new(UserId([n; 12]), 0)
    }

    #[test]
    fn no_door_can_write_the_name_of_a_private_room() {
        let (one, other) = (UserId([1; 12]), UserId([2; 12]));
        let direct = ChannelName::direct(one, other);
        assert_eq!(direct, ChannelName::direct(other, one));
        for (name, kind) in
            [(direct, RoomKind::Direct), (ChannelName::group([7; 12]), RoomKind::Group)]
        {
            assert_eq!((name.room_kind(), name.is_private()), (kind, true));
            assert_eq!(ChannelName::parse(name.as_str()), None);
            assert_eq!(ChannelName::parse_kept(name.as_str()), Some(name.clone()));
            assert!(!name.kind().is_lobby());
        }
        assert_eq!(ChannelName::group([7; 12]).to_string(), format!("group {}", "07".repeat(12)));
        assert_eq!(ChannelName::lobby().room_kind(), RoomKind::Channel);
        assert_eq!(ChannelName::parse_kept("\nx"), None);
    }

    #[test]
    fn the_heir_is_of_the_highest_rank_and_of_those_the_first() {
        let mut room = Private::new(RoomKind::Group, "g");
        assert_eq!(room.heir(), None);
        room.put(&person(9), Role::Member, Standing::In);
        room.put(&person(3), Role::Admin, Standing::In);
        room.put(&person(2), Role::Admin, Standing::In);
        room.put(&person(1), Role::Admin, Standing::Invited(Box::new(person(9))));
        assert_eq!(room.heir(), Some(UserId([3; 12])));
        room.put(&person(4), Role::Owner, Standing::In);
        assert_eq!(room.heir(), None, "there is an owner");
    }

    #[test]
    fn those_who_were_sent_out_longest_ago_are_forgotten() {
        let mut room = Private::new(RoomKind::Group, "g");
        for n in 0..=INVITED_MAX as u8 {
            room.put(&person(n), Role::Member, Standing::Former);
            room.trim_former();
        }
        assert_eq!(room.invited(), INVITED_MAX);
        assert!(room.get(UserId([0; 12])).is_none() && room.get(UserId([1; 12])).is_some());
    }
}
