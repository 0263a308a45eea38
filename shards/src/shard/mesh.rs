//! Messages from other shards.

use super::Shard;
use crate::{MeshMessage, Now, ShardId, Wire, mesh::Mesh, users::Presence};
use std::rc::Rc;

impl<W: Wire> Shard<W> {
    /// Handles a message from another shard. Messages of one shard are to be given in the order of their sending.
    pub fn handle_mesh(&mut self, now: Now, from: ShardId, message: MeshMessage) {
        self.now = now;
        match message.0 {
            Mesh::Hello { user, conn, nick, guise } => {
                self.on_hello(now, from, user, conn, (nick.as_ref(), guise));
            }
            Mesh::FindUser { whom, finder } => self.find_user(now, whom, finder),
            Mesh::UserFound { finder, found } => self.on_user_found(now, *finder, found),
            Mesh::Belongs { user, room, how } => self.tell_belonging(now, user, room, how),
            Mesh::LetterTo { user, letter } => self.on_letter_to_user(user, *letter),
            Mesh::LetterToRoom { to, letter } => self.on_letter_to_room(now, *to, *letter),

            Mesh::ClaimNick { key, conn, hops, user } => {
                self.on_claim_nick(from, key, conn, hops, user);
            }
            Mesh::ReleaseNick { key, conn } => self.on_release_nick(&key, conn),
            Mesh::NickMoved { key, conn, hops } => {
                self.on_nick_moved(&key, Presence::new(conn, from, hops));
            }
            Mesh::LetterToNick { key, letter } => self.on_letter_to_nick(&key, *letter),
            Mesh::NickClaimed { key, conn, hops, user, granted } => {
                self.on_nick_claimed(now, (conn, user), key, hops, granted);
            }
            Mesh::Letter { conn, letter } => self.on_letter(conn, *letter),
            Mesh::LetterDone { letter, to } => self.on_letter_done(*letter, to.as_deref()),
            Mesh::Moderates { conn } => self.on_moderates(conn),
            Mesh::Moderated { conn, user, bytes } => self.on_moderated(now, conn, user, bytes),
            Mesh::Writes { conn, text } => self.on_writes(conn, text),

            Mesh::SeekSeat(seeker) => self.on_seek_seat(now, *seeker),
            Mesh::SeatKept { conn, user, request } => self.on_seat_kept(now, conn, user, *request),
            Mesh::SeatRefused { conn, user, error } => {
                self.on_seat_refused(now, conn, user, &error);
            }
            Mesh::Settled { conn } => self.on_settled(conn),
            Mesh::Undone { conn } => self.on_undone(conn),
            Mesh::Wrote { conn, by } => self.on_wrote(conn, by),

            Mesh::Moved { user, conn, hops, version, waits } => {
                let to = Presence::new(conn, from, hops);
                self.on_moved(now, user, to, (version, waits));
            }
            Mesh::Follow { user, conn, message } => {
                self.on_follow(now, from, user, conn, *message);
            }
            Mesh::Departed { user, conn, quota } => self.depart_user(now, user, conn, quota),
            Mesh::ChangeProfile { user, conn, change } => {
                self.change_profile(now, user, conn.map(|conn| (from, conn)), *change);
            }
            Mesh::SetPresence { user, conn, away, status } => {
                self.on_presence(now, user, conn, away, status);
            }
            Mesh::ToUser { user, payload, except } => {
                self.send_to_user(now, user, payload, &except);
            }
            Mesh::FindForBan { user, ban } => self.find_for_ban(now, from, user, ban),
            Mesh::Welcome { conn, welcome } => self.on_welcome(now, conn, welcome),
            Mesh::Profile { profile, conns } => self.on_profile(Rc::new(*profile), &conns),
            Mesh::Looked { conn, wait_ms } => self.on_looked(conn, wait_ms),
            Mesh::ToConns { conns, payload } => self.send_to_conns(now, &conns, &payload),
            Mesh::FoundForBan { ban, profile } => drop(self.ban(now, *ban, &profile)),

            Mesh::Broadcast { channel, batch } => self.on_broadcast(&channel, &batch),
            Mesh::ToMember { conn, bytes, messages } => {
                self.on_member_bytes(conn, &bytes, messages)
            }
            Mesh::Reformat { conn, format } => self.on_reformat(conn, format),
            Mesh::Released { conn, request, quota } => {
                self.on_released(now, conn, *request, quota, false);
            }
            Mesh::Dismissed { conn, request, quota } => {
                self.on_released(now, conn, *request, quota, true);
            }
            Mesh::Stay { conn } => self.on_stay(conn),
            Mesh::Recall { conn } => self.on_recall(now, from, conn),
            Mesh::FromMember { conn, command } => self.on_member_command(now, from, conn, *command),
            Mesh::MayLeave { conn, request } => self.may_leave(now, from, conn, *request),
            Mesh::MemberGone { conn, user } => self.member_gone(now, from, conn, user),
            Mesh::MemberProfile { conn, profile } => self.member_profile(from, conn, *profile),
            Mesh::MemberCursors { conn } => self.member_cursors(from, conn),
            Mesh::Sit { conn, profile, request } => {
                self.on_sit(now, from, conn, *profile, *request);
            }
            Mesh::Seated { conn, of } => self.on_seated(from, conn, of),
            Mesh::SitElsewhere { conn, request } => self.on_sit_elsewhere(now, conn, *request),
            Mesh::SeatEnded { conn, bytes, heard } => self.on_seat_ended(conn, bytes, heard),
            Mesh::SeatLate { conn, request } => self.on_seat_late(conn, *request),
            Mesh::SeatGone { conn, how } => self.on_seat_gone(now, from, conn, how),

            Mesh::Directory { sequence, entries } => {
                self.on_directory(now, from, sequence, &entries)
            }
            Mesh::Announcement { sequence, announcement } => {
                self.on_announcement(now, from, sequence, announcement);
            }
            Mesh::ChannelNotice { channel, notice } => self.tell_channel(channel, *notice),
            Mesh::ChannelChat { channel, text } => self.staff_chat(now, channel, text),
        }
    }
}
