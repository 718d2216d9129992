//! What a script needs from the layer above.

use super::tokens::ReplyTokens;

/// Runs the commands of one script. The engine implements it over its transaction.
pub trait Host {
    /// Executes one command. `args` holds at least the name; the slices point into Lua's memory and are gone after
    /// the call. The answer goes into `reply`, which is empty at entry; it is only read after [`Called::Done`].
    fn call(&mut self, args: &[&[u8]], reply: &mut ReplyTokens) -> Called;

    /// `redis.acl_check_cmd`: whether the user may run a command with these arguments; `None`: there is no such command.
    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool>;

    /// `redis.log`.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Where the script stands now, as a name under which [`Self::rollback_to`] finds it; `None`: it has too many.
    fn savepoint(&mut self) -> Option<u64>;

    /// Takes back what the script did since the savepoint. False: it is gone, because the script went back behind it.
    fn rollback_to(&mut self, savepoint: u64) -> bool;

    /// The script's slice is over where Lua cannot suspend it: a reason to end it, if there is one.
    fn overdue(&mut self) -> Option<AbortReason>;
}

/// How a command of a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// The reply is complete (it may be an error reply).
    Done,
    /// A lock is not free: suspend the script. When it is resumed the same command is called again.
    WaitForLock,
    /// End this run; the engine starts the script again from its beginning.
    Restart,
    /// End this run so that the script cannot notice.
    Abort(AbortReason),
}

/// Why a run ended before its script did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// Through a [`super::KillHandle`].
    Killed,
    /// The host panicked inside a command.
    Panicked,
    /// The script has used up the instructions that its first line allows it.
    OutOfInstructions(u64),
    /// The host's own reason, as an error line for the client.
    Host(String),
}

/// The levels of `redis.log`, numbered as `redis.LOG_DEBUG` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug = 0,
    Verbose = 1,
    Notice = 2,
    Warning = 3,
}

impl LogLevel {
    pub(super) fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Debug),
            1 => Some(Self::Verbose),
            2 => Some(Self::Notice),
            3 => Some(Self::Warning),
            _ => None,
        }
    }
}
