//! Work that cannot go on yet, kept under tokens.

use super::admission::Wait;
use super::blocked::Blocked;
use super::exec::ExecRun;
use super::multi::Queued;
use super::registry::Entry;
use super::script_run::ScriptWork;
use crate::resp::OwnedArgs;
use slab::Slab;
use std::collections::BTreeSet;

/// Names a piece of work within its shard; never used again.
pub type Token = u64;

/// What a piece of work is.
pub enum Kind {
    /// A command that waits for gate or locks.
    Plain {
        entry: &'static Entry,
        args: OwnedArgs,
        wait: Wait,
    },
    /// A command held back by CLIENT PAUSE.
    Paused {
        entry: &'static Entry,
        args: OwnedArgs,
    },
    /// A command that answers when its time has come.
    Timer(Timer),
    /// An EXEC that waits for gate or locks.
    Exec { commands: Vec<Queued>, wait: Wait },
    /// An EXEC in the middle of a script whose time slice is over.
    ExecRun(Box<ExecRun>),
    /// A script that waits, or whose time slice is over.
    Script(Box<ScriptWork>),
    /// A command that waits for data.
    Blocked(Box<Blocked>),
}

impl Kind {
    /// When the wait ends by itself, on the monotonic clock.
    fn due_us(&self) -> Option<u64> {
        match self {
            Kind::Timer(timer) => timer.due_us,
            Kind::Blocked(blocked) => blocked.due_us(),
            Kind::Script(script) => script.due_us,
            Kind::Plain { .. } | Kind::Paused { .. } | Kind::Exec { .. } | Kind::ExecRun(_) => None,
        }
    }

    /// Whether a script is in the middle of its run here.
    pub fn has_started_script(&self) -> bool {
        match self {
            Kind::Script(script) => script.has_started(),
            Kind::ExecRun(_) => true,
            _ => false,
        }
    }
}

/// What only time ends, or CLIENT UNBLOCK.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// On the monotonic clock; `None`: never.
    pub due_us: Option<u64>,
    pub reply: TimerReply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerReply {
    Ok,
    /// WAIT: so many replicas have the client's writes.
    NoReplicas,
}

/// Work and whose it is.
pub struct Work {
    /// The connection, as the shard names it.
    pub conn: u64,
    pub since_us: u64,
    pub kind: Kind,
}

/// The parked work of a shard.
#[derive(Default)]
pub struct Works {
    slab: Slab<(Token, Work)>,
    generation: u32,
    /// What ends by itself, in the order of its time.
    due: BTreeSet<(u64, Token)>,
    /// How many are held back by CLIENT PAUSE.
    paused: usize,
}

impl Works {
    /// A token for work that may have to be parked. Only the newest one may be used.
    #[inline]
    pub fn reserve(&mut self) -> Token {
        self.generation = self.generation.wrapping_add(1);
        u64::from(self.generation) << 32 | self.slab.vacant_key() as u64
    }

    pub fn park(&mut self, token: Token, work: Work) {
        let slot = self.slab.vacant_entry();
        assert_eq!(
            slot.key() as u64,
            token & u64::from(u32::MAX),
            "the newest token is used"
        );
        if let Some(due_us) = work.kind.due_us() {
            self.due.insert((due_us, token));
        }
        self.paused += usize::from(matches!(work.kind, Kind::Paused { .. }));
        slot.insert((token, work));
    }

    pub fn get(&self, token: Token) -> Option<&Work> {
        let (present, work) = self.slab.get((token & u64::from(u32::MAX)) as usize)?;
        (*present == token).then_some(work)
    }

    pub fn take(&mut self, token: Token) -> Option<Work> {
        self.get(token)?;
        let (_, work) = self.slab.remove((token & u64::from(u32::MAX)) as usize);
        if let Some(due_us) = work.kind.due_us() {
            self.due.remove(&(due_us, token));
        }
        self.paused -= usize::from(matches!(work.kind, Kind::Paused { .. }));
        Some(work)
    }

    /// The time at which the next piece of work ends by itself.
    pub fn next_due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// What has ended by itself up to now.
    pub fn due(&self, now_us: u64) -> impl Iterator<Item = Token> {
        let ended = self
            .due
            .iter()
            .take_while(move |(due_us, _)| *due_us <= now_us);
        ended.map(|(_, token)| *token)
    }

    /// Whether CLIENT PAUSE holds work back.
    pub fn has_paused(&self) -> bool {
        self.paused > 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (Token, &Work)> {
        self.slab.iter().map(|(_, (token, work))| (*token, work))
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }
}
