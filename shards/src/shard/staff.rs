//! What staff do. Doors let only those through who proved that they are staff.

use super::{Actor, Announcement, Output, Shard, rooms::Saying};
use crate::{
    AdminCommand, AttachmentNews, Audience, ChannelName, ChatText, Color, ConnId, Event, Notice,
    Now, Profile, StoreRequest, UserId, UserName, Wire,
    conn::JoinRequest,
    fan_out::Class,
    mesh::{Mesh, Payload},
};
use std::{collections::VecDeque, sync::Arc};

/// As whom the server speaks.
const SERVER: UserId = UserId([0; 12]);

impl<W: Wire> Shard<W> {
    /// Carries out a staff command of a member, or of a connection that sits nowhere.
    pub(super) fn staff(
        &mut self,
        now: Now,
        actor: Option<Actor>,
        conn: ConnId,
        command: AdminCommand,
    ) {
        match command {
            AdminCommand::Notify { audience, notice } => {
                let notice = Notice::Operator(notice);
                match audience {
                    Audience::Here => {
                        if let Some(actor) = actor {
                            self.broadcast(
                                actor.channel,
                                None,
                                Class::Prompt,
                                Event::Notice(&notice),
                            );
                        }
                    }
                    Audience::Everyone => {
                        self.announce(now, Announcement::Notice(Arc::new(notice)));
                    }
                    Audience::Channel(channel) => self.tell_channel(channel, notice),
                    Audience::User(user) => {
                        self.send_to_user(now, user, Payload::Notice(Arc::new(notice)), &[]);
                    }
                }
            }
            AdminCommand::ClearChat => {
                let Some(actor) = actor else { return };
                let channel = &mut self.channels[actor.channel as usize];
                channel.history = VecDeque::new();
                channel.cleared = true;
                self.forget_looked_up(actor.channel);
                let channel = &self.channels[actor.channel as usize];
                let news = AttachmentNews::Cleared(channel.room.id);
                self.outputs.push_back(Output::Attachments(news));
                if channel.kept {
                    let channel = channel.name.clone();
                    self.store(StoreRequest::ClearMessages { channel });
                }
                self.broadcast(
                    actor.channel,
                    None,
                    Class::Prompt,
                    Event::History(&VecDeque::new()),
                );
            }
            AdminCommand::Profile { user, change } => {
                let owner = self.owner_of_user(user);
                if owner == self.id {
                    self.change_profile(now, user, None, change);
                } else {
                    let change = Box::new(change);
                    self.mesh(owner, Mesh::ChangeProfile { user, conn: None, change });
                }
            }
            AdminCommand::Move { user, channel, set } => {
                let request = JoinRequest { set, ..JoinRequest::to(channel) };
                match (user, actor) {
                    (Some(user), _) => {
                        self.send_to_user(now, user, Payload::Move(Box::new(request)), &[]);
                    }
                    (None, Some(actor)) => {
                        let roster = &self.channels[actor.channel as usize].roster;
                        let member =
                            roster[actor.participant].members.iter().find(|m| m.conn == conn);
                        let member = *member.expect("an actor is a member");
                        self.dismiss(now, actor.channel, actor.participant, member, request);
                    }
                    (None, None) => {
                        if let Some(slot) = self.conns.find(conn) {
                            self.go(now, slot, request);
                        }
                    }
                }
            }
            AdminCommand::Chat { channel, text } => match (channel, actor) {
                (Some(channel), _) => self.staff_chat(now, channel, text),
                (None, Some(actor)) => {
                    let channel = self.channels[actor.channel as usize].name.clone();
                    self.staff_chat(now, channel, text);
                }
                (None, None) => {}
            },
        }
    }

    pub(super) fn tell_channel(&mut self, channel: ChannelName, notice: Notice) {
        let owner = self.owner(&channel);
        if owner != self.id {
            return self.mesh(owner, Mesh::ChannelNotice { channel, notice: Box::new(notice) });
        }
        if let Some(&idx) = self.by_name.get(&channel) {
            self.broadcast(idx, None, Class::Prompt, Event::Notice(&notice));
        }
    }

    pub(super) fn staff_chat(&mut self, now: Now, channel: ChannelName, text: ChatText) {
        let owner = self.owner(&channel);
        if owner != self.id {
            return self.mesh(owner, Mesh::ChannelChat { channel, text });
        }
        if let Some(&idx) = self.by_name.get(&channel) {
            let by = Profile {
                name: UserName::parse("Server", 40),
                color: Color([0xff, 0xff, 0xff]),
                ..Profile::new(SERVER, 0)
            };
            self.say(now, idx, by, Saying::plain(text, None));
        }
    }
}
