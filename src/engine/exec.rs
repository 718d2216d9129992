//! EXEC under way: the queued commands one after the other, under the locks of all of them, in one transaction.
//!
//! - A script among them that has used up its slice is suspended, and the EXEC with it: it keeps its locks, the replies so
//!   far, the transaction and its clock. An EXEC without a script is never suspended.
//! - A script that is ended answers with the error as any command that fails; what it did is taken back, and the EXEC goes on.
//! - A script that wants a key which cannot be had in order, or walks over the keyspace, leads to a new start of the whole
//!   EXEC with the keyspace to itself. Until the end the watched keys stay watched, so that nothing can come between the two.

use super::admission::{self, Grants, Wait};
use super::client::Client;
use super::multi::Queued;
use super::registry::{Entry, Run};
use super::script_in_exec::{InExec, ScriptInExec};
use super::tracking::note_reads;
use super::work::{Kind, Token};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::command::Waiting;
use crate::keyspace::TxnBuffers;
use crate::resp::{Args, Reply, RespWriter};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An EXEC that has its locks.
pub struct ExecRun {
    commands: Vec<Queued>,
    /// The command that runs next.
    next: usize,
    /// The script that the last command is, while it is unfinished. It has the grants then.
    script: Option<ScriptInExec>,
    grants: Grants,
    /// The database that the client was in.
    first_db: usize,
    now_us: i64,
    /// On the monotonic clock.
    started_us: u64,
    /// A command has asked to close the connection.
    closes: bool,
    /// When it began, memory was short.
    oom: bool,
    /// What is answered so far and what is changed so far, while the EXEC is parked.
    reply: Vec<u8>,
    buffers: TxnBuffers,
}

impl Worker {
    /// Runs what was queued, under its locks.
    pub(super) fn exec_granted(
        &mut self,
        grants: Grants,
        client: &mut Client,
        commands: Vec<Queued>,
        out: &mut Vec<u8>,
    ) -> Flow {
        if client.watch_flag.load(Ordering::SeqCst) {
            self.unwatch(client);
            self.keeper.release(grants);
            RespWriter::new(out, client.protocol).null_array();
            return Flow::Done;
        }
        let mark = out.len();
        RespWriter::new(out, client.protocol).array(commands.len());
        let exec = ExecRun {
            commands,
            next: 0,
            script: None,
            grants,
            first_db: client.db,
            now_us: self.now_us,
            started_us: clock::monotonic_us(),
            closes: false,
            oom: self.is_out_of_memory(),
            reply: Vec::new(),
            buffers: TxnBuffers::default(),
        };
        self.exec_go(exec, mark, client, out)
    }

    /// Goes on waiting for the locks of a parked EXEC.
    pub(super) fn advance_exec(
        &self,
        wait: Wait,
        token: Token,
        client: &Client,
        commands: &[Queued],
    ) -> Result<Grants, Wait> {
        self.keeper
            .advance(wait, token, || self.exec_footprint(client, commands))
    }

    /// Runs what was queued, after EXEC has waited for its locks.
    pub(super) fn exec_admitted(
        &mut self,
        grants: Grants,
        client: &mut Client,
        commands: Vec<Queued>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let flow = self.exec_granted(grants, client, commands, out);
        if let Some(exec) = self.shared.registry.original(b"exec") {
            self.note_resumed(flow, exec, client, &Args::from_slices(&[b"exec"]));
        }
        flow
    }

    /// Goes on with an EXEC whose script was suspended.
    pub(super) fn exec_resume(
        &mut self,
        mut exec: Box<ExecRun>,
        client: &mut Client,
        out: &mut Vec<u8>,
    ) -> Flow {
        let mark = out.len();
        out.append(&mut exec.reply);
        self.note_counts();
        self.buffers = std::mem::take(&mut exec.buffers);
        let started_us = exec.started_us;
        let flow = self.exec_go(*exec, mark, client, out);
        if flow != Flow::Parked
            && let Some(entry) = self.shared.registry.original(b"exec")
        {
            let took = Duration::from_micros(clock::monotonic_us() - started_us);
            self.note_duration(entry, client, &Args::from_slices(&[b"exec"]), took);
        }
        flow
    }

    /// Ends a parked EXEC: what it did is taken back before its locks go.
    pub(super) fn exec_cancel(&mut self, mut exec: Box<ExecRun>) {
        self.note_counts();
        self.buffers = std::mem::take(&mut exec.buffers);
        self.rollback();
        if let Some(script) = exec.script.take() {
            self.script_leave_exec(script, &mut exec.grants);
        }
        self.keeper.release(exec.grants);
    }

    /// Runs commands until the EXEC is over or is parked. Its reply begins at `mark`.
    fn exec_go(
        &mut self,
        mut exec: ExecRun,
        mark: usize,
        client: &mut Client,
        out: &mut Vec<u8>,
    ) -> Flow {
        self.in_exec = true;
        self.exec_oom = exec.oom;
        let now_us = self.set_clock(exec.now_us);
        let began = self.clock;
        let stand = self.exec_commands(&mut exec, mark, client, out);
        self.set_clock(now_us);
        self.in_exec = false;
        // The time of the EXEC is that of all its commands; what they answer is no failure of it.
        self.clock = began;
        self.failed = false;
        match stand {
            InExec::Over => {}
            InExec::Suspended => {
                exec.reply = out.split_off(mark);
                exec.buffers = self.buffers.take();
                let token = self.works.reserve();
                self.runnable.push(token);
                return self.park(client, token, Kind::ExecRun(Box::new(exec)));
            }
            InExec::NeedsGate => {
                self.rollback();
                self.keeper.release(exec.grants);
                out.truncate(mark);
                client.select(exec.first_db);
                return self.exec_alone(client, exec.commands, out);
            }
        }
        if let Err(error) = self.commit() {
            self.answer_error(client, out, mark, &error);
        }
        self.serve_waiters(&mut exec.grants);
        self.keeper.release(exec.grants);
        self.unwatch(client);
        if let Some(entry) = self.shared.registry.original(b"exec") {
            self.feed_monitors(entry, client, &Args::from_slices(&[b"exec"]));
        }
        if exec.closes { Flow::Close } else { Flow::Done }
    }

    fn exec_alone(
        &mut self,
        client: &mut Client,
        commands: Vec<Queued>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let token = self.works.reserve();
        match self.keeper.admit_alone(token) {
            Ok(grants) => self.exec_granted(grants, client, commands, out),
            Err(wait) => self.park(client, token, Kind::Exec { commands, wait }),
        }
    }

    fn exec_commands(
        &mut self,
        exec: &mut ExecRun,
        mark: usize,
        client: &mut Client,
        out: &mut Vec<u8>,
    ) -> InExec {
        loop {
            if let Some(mut script) = exec.script.take() {
                let args = exec.commands[exec.next - 1].args.as_args();
                let entry = exec.commands[exec.next - 1].entry;
                match self.script_go_in_exec(&mut script, client, &args, mark, out) {
                    InExec::Suspended => {
                        exec.script = Some(script);
                        return InExec::Suspended;
                    }
                    InExec::Over => {
                        self.ended = Some(self.script_leave_exec(script, &mut exec.grants));
                        self.note_executed(entry, client, &args);
                    }
                    InExec::NeedsGate => {
                        self.script_leave_exec(script, &mut exec.grants);
                        return InExec::NeedsGate;
                    }
                }
            }
            let Some(Queued { entry, args }) = exec.commands.get(exec.next) else {
                return InExec::Over;
            };
            exec.next += 1;
            let args = args.as_args();
            if let Err(error) = self.permit_in_exec(entry, client, &args) {
                self.stats().command(entry.number as usize).rejected();
                let mark = out.len();
                self.answer_error(client, out, mark, &error);
                continue;
            }
            self.feed_monitors(entry, client, &args);
            self.note_touching(entry, client);
            self.failed = false;
            if let Run::Script(invocation) = entry.run {
                let grants = &mut exec.grants;
                exec.script = self.script_enter_exec(invocation, grants, client, &args, mark, out);
                if exec.script.is_none() {
                    self.note_executed(entry, client, &args);
                }
            } else {
                debug_assert!(
                    !matches!(entry.run, Run::Data(_))
                        || admission::is_admitted(
                            self.shared.keyspace,
                            client.db,
                            entry.spec,
                            &args,
                            &exec.grants
                        ),
                    "{} runs without its locks",
                    entry.spec.name
                );
                exec.closes |= self.exec_one(entry, client, args, out) == Flow::Close;
                let met = self.take_met(&exec.grants);
                debug_assert!(met.is_empty(), "who walks has the keyspace");
                self.note_executed(entry, client, &args);
            }
        }
    }

    /// Runs a command that cannot be suspended.
    fn exec_one(
        &mut self,
        entry: &'static Entry,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let mark = out.len();
        match entry.run {
            Run::Data(handler) => {
                note_reads(&mut self.outbox, entry, client, &args);
                let db = self.shared.keyspace.physical(client.db);
                let mut reply = RespWriter::new(out, client.protocol);
                if let Err(error) = self.call(handler, db, args, &mut reply, Waiting::forbidden()) {
                    self.answer_error(client, out, mark, &error);
                }
                Flow::Done
            }
            Run::Engine(handler) => self.engine_command(handler, client, args, out),
            Run::Script(_) | Run::Exec | Run::Container => {
                unreachable!("scripts are run by the caller, the others are never queued")
            }
        }
    }
}
