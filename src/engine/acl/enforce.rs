//! Where requests are asked for, and what a change of rules does to those who are connected.

use super::denied::Denied;
use super::identity::{Identity, User};
use super::log::{Context, LogEntry};
use crate::command::{Error, Flags};
use crate::config::Opt;
use crate::engine::admin;
use crate::engine::client::{Client, ClientFlags, ClientInfo};
use crate::engine::message::Message;
use crate::engine::outbox::Outputs;
use crate::engine::pubsub;
use crate::engine::registry::Entry;
use crate::engine::shared::Shared;
use crate::engine::work::{Kind, Token};
use crate::engine::worker::{Flow, Worker};
use crate::resp::Args;
use std::sync::Arc;

impl Worker {
    /// Whether a client may send this request: run it now, or have MULTI queue it.
    #[inline]
    pub(in crate::engine) fn permit(
        &self,
        entry: &Entry,
        client: &mut Client,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        if client.identity.is_unlimited() {
            return Ok(());
        }
        self.permit_limited(entry, client, args)
    }

    #[inline(never)]
    fn permit_limited(
        &self,
        entry: &Entry,
        client: &mut Client,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        let in_multi = client.multi.is_some();
        if in_multi && entry.spec.flags.contains(Flags::NO_MULTI) {
            // The queue does not take it, whoever asks.
            return Ok(());
        }
        let queues = in_multi && !crate::engine::multi::runs_inside(entry);
        let rules = client.identity.rules();
        let checked = if queues {
            rules.check(entry, args)
        } else {
            rules.check_with_options(entry, args)
        };
        let context = if in_multi {
            Context::Multi
        } else {
            Context::TopLevel
        };
        checked.map_err(|denied| {
            note_denied(
                self.shared,
                &client.info,
                client.identity.user(),
                denied,
                entry,
                args,
                context,
            );
            denied.to_client(entry)
        })
    }

    /// Whether a client may run what MULTI has queued for it.
    #[inline]
    pub(in crate::engine) fn permit_in_exec(
        &self,
        entry: &Entry,
        client: &mut Client,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        if client.identity.is_unlimited() {
            return Ok(());
        }
        let checked = client.identity.rules().check_with_options(entry, args);
        checked.map_err(|denied| {
            let user = client.identity.user();
            note_denied(
                self.shared,
                &client.info,
                user,
                denied,
                entry,
                args,
                Context::Multi,
            );
            denied.in_exec()
        })
    }

    /// Whether a script of this user may call a command. The rules are those of the script's start: a script is one step.
    pub(in crate::engine) fn permit_in_script(
        &self,
        entry: &Entry,
        client: u64,
        identity: &Identity,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        let checked = identity.rules_seen().check_with_options(entry, args);
        checked.map_err(|denied| {
            if let Some(info) = self.shared.clients.get(client) {
                let user = identity.user();
                note_denied(
                    self.shared,
                    &info,
                    user,
                    denied,
                    entry,
                    args,
                    Context::Script,
                );
            }
            denied.to_script()
        })
    }

    /// Sends away who listens to what it may no longer listen to, if rules have changed since this was last done.
    pub fn revoke_subscriptions(&mut self, outputs: &mut dyn Outputs) {
        let version = self.shared.acl.version();
        if std::mem::replace(&mut self.acl_version, version) == version {
            return;
        }
        for conn in self.subscribers.connections() {
            outputs.with(conn, &mut |client, _| {
                let rules = client.identity.rules();
                let allowed = client
                    .subscriptions
                    .as_deref()
                    .is_none_or(|subscriptions| rules.allow_subscriptions(subscriptions));
                if !allowed {
                    pubsub::leave_all(self, client);
                    send_away(self.shared, &client.info);
                }
            });
        }
    }

    /// Whether rules have changed since subscriptions were last looked at.
    #[inline]
    pub(in crate::engine) fn must_revoke(&self) -> bool {
        self.acl_version != self.shared.acl.version()
    }

    /// Clients that wait for data, for whom the rules may have changed: their work, and the connection.
    pub fn waiting_for_data(&self) -> Vec<(Token, u64)> {
        let waiting = self
            .works
            .iter()
            .filter(|(_, work)| matches!(work.kind, Kind::Blocked(_)));
        waiting.map(|(token, work)| (token, work.conn)).collect()
    }

    /// Ends the wait of a client that may no longer run what it waits with.
    pub fn revoke_wait(&mut self, token: Token, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(Kind::Blocked(blocked)) = self.works.get(token).map(|work| &work.kind) else {
            return Flow::Parked;
        };
        let (entry, args) = blocked.request();
        let Err(error) = self.permit(entry, client, &args.as_args()) else {
            return Flow::Parked;
        };
        let mark = out.len();
        if !self.unblock_waiter(token, client, out) {
            return Flow::Parked;
        }
        self.answer_error(client, out, mark, &error);
        Self::apply_reply_mode(client, out, mark, Flow::Done);
        Flow::Done
    }
}

/// Puts a failed AUTH into ACL LOG and into the server's log.
pub fn note_failed_login(worker: &Worker, client: &Client, name: &[u8], command: &[u8]) {
    tracing::warn!(
        target: "aikv::audit",
        user = %name.escape_ascii(),
        address = client.info.address,
        client = client.id(),
        "authentication failed"
    );
    let context = if worker.in_exec {
        Context::Multi
    } else {
        Context::TopLevel
    };
    note(worker.shared, &client.info, name, "auth", command, context);
}

fn note_denied(
    shared: &Shared,
    info: &ClientInfo,
    user: &User,
    denied: Denied,
    entry: &Entry,
    args: &Args<'_>,
    context: Context,
) {
    if let Some((reason, object)) = denied.logged(entry, args) {
        note(shared, info, user.name(), reason, object, context);
    }
}

fn note(
    shared: &Shared,
    info: &ClientInfo,
    name: &[u8],
    reason: &'static str,
    object: &[u8],
    context: Context,
) {
    let entry = LogEntry {
        count: 1,
        reason,
        context,
        object: object.to_vec(),
        username: name.to_vec(),
        at_ms: crate::base::clock::unix_ms(),
        client: admin::client_line(info, &shared.registry),
    };
    let len_max = shared.config.settings().size(Opt::AcllogMaxLen);
    shared.acl.log.add(entry, len_max);
}

/// Closes the connections of a user that is gone. `true`: the asking client is among them.
pub fn send_away_clients_of(shared: &Shared, user: &Arc<User>, asking: u64) -> bool {
    let mut own = false;
    for info in shared.clients.all() {
        if !Arc::ptr_eq(&info.user.lock(), user) {
            continue;
        }
        if info.id == asking {
            own = true;
        } else {
            send_away(shared, &info);
        }
    }
    own
}

fn send_away(shared: &Shared, info: &ClientInfo) {
    info.set_flag(ClientFlags::CLOSE_ASAP, true);
    shared.tell(info.shard, Message::Kill { client: info.id });
}
