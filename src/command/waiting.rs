//! Commands that wait for data (BLPOP, BZPOPMIN, XREAD BLOCK and their like), as their handlers see it.
//!
//! A handler never waits. It looks at its keys; where it finds nothing, it says what it would wait for, and returns:
//!
//! ```ignore
//! let timeout = ctx.timeout_s(last)?;
//! for at in ctx.keys_to_try(1..last) {
//!     // ... found something: change it, answer, return
//! }
//! if !ctx.wait_for_data(Wish::new(1..last, Awaited::List, timeout)) {
//!     ctx.reply.null_array();
//! }
//! Ok(())
//! ```
//!
//! The layer above keeps the client waiting. When one of the keys has got data, it runs the handler again, in the order in
//! which clients began to wait: a *retry*, whose keys to try are that one key alone. A retry that finds nothing says again
//! that it wants to wait, and keeps its place and its deadline. When the time is over the layer above answers with a null
//! array, whatever the command, as Redis does; the handler is not run for that.

use super::ctx::Ctx;
use super::error::Error;
use crate::base::float::parse_f64;
use crate::base::number::parse_i64;
use crate::keyspace::Collection;
use crate::value::Kind;
use std::ops::Range;
use std::time::Duration;

/// What a waiting command can be served with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    List,
    ZSet,
    Stream,
    /// A stream with a consumer group: a retry also follows when the key is gone or holds another type, because then
    /// there is an error to answer.
    StreamGroup,
}

impl Awaited {
    pub const ALL: [Awaited; 4] = [
        Awaited::List,
        Awaited::ZSet,
        Awaited::Stream,
        Awaited::StreamGroup,
    ];

    /// Whether a key that holds a value of this kind, or nothing, is worth a retry.
    pub fn is_met_by(self, kind: Option<Kind>) -> bool {
        match self {
            Awaited::List => kind == Some(Kind::List),
            Awaited::ZSet => kind == Some(Kind::ZSet),
            Awaited::Stream => kind == Some(Kind::Stream),
            Awaited::StreamGroup => true,
        }
    }
}

/// What a command that has found nothing would wait for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The arguments that are the keys to wait on.
    pub keys: Range<usize>,
    pub awaited: Awaited,
    /// `None`: for ever.
    pub timeout: Option<Duration>,
    /// Arguments as a retry shall read them, where they meant something at this moment: the `$` of XREAD as the id that
    /// it stood for.
    pub resolved: Vec<(usize, Box<[u8]>)>,
}

impl Wish {
    pub fn new(keys: Range<usize>, awaited: Awaited, timeout: Option<Duration>) -> Self {
        Self {
            keys,
            awaited,
            timeout,
            resolved: Vec::new(),
        }
    }

    /// Has retries read an argument in this form.
    pub fn resolve(&mut self, index: usize, argument: impl Into<Box<[u8]>>) {
        self.resolved.push((index, argument.into()));
    }
}

/// Whether a command may wait, and what it wishes to wait for.
#[derive(Debug, Default)]
pub struct Waiting {
    stage: Stage,
    wish: Option<Box<Wish>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// In MULTI.
    #[default]
    Forbidden,
    InScript,
    First,
    /// The argument that is the key which has got data.
    Retry(usize),
}

impl Waiting {
    #[inline]
    pub fn forbidden() -> Self {
        Self::default()
    }

    /// For a script's command: as in MULTI, but that some options are refused.
    #[inline]
    pub fn in_script() -> Self {
        Self::at(Stage::InScript)
    }

    /// For a client's own command.
    #[inline]
    pub fn allowed() -> Self {
        Self::at(Stage::First)
    }

    /// For a command that has waited; the key at `ready` has got data.
    pub fn retry(ready: usize) -> Self {
        Self::at(Stage::Retry(ready))
    }

    #[inline]
    fn at(stage: Stage) -> Self {
        Self { stage, wish: None }
    }

    /// What the handler wishes to wait for, if it has not answered.
    pub fn take_wish(&mut self) -> Option<Box<Wish>> {
        self.wish.take()
    }
}

impl<'a> Ctx<'a> {
    /// Lets the client wait. `false`: it must not, and the command answers what it answers where nothing is there. On
    /// `true` the handler returns without an answer; what it has changed until then, if anything, is kept.
    #[must_use]
    pub fn wait_for_data(&mut self, wish: Wish) -> bool {
        debug_assert!(
            wish.keys.start < wish.keys.end && wish.keys.end <= self.args.len(),
            "the keys are arguments"
        );
        if matches!(self.waiting.stage, Stage::Forbidden | Stage::InScript) {
            return false;
        }
        self.waiting.wish = Some(Box::new(wish));
        true
    }

    /// Answers with what `find` finds at the keys to wait on; where it finds nothing, and tells so, the client waits, or gets
    /// a null array.
    pub fn answer_or_wait(
        &mut self,
        wish: Wish,
        find: impl FnOnce(&mut Self, Range<usize>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let found = find(self, wish.keys.clone())?;
        if !found && !self.wait_for_data(wish) {
            self.reply.null_array();
        }
        Ok(())
    }

    /// The first of the keys to try at which there is something. What is there has to be a collection of this type.
    pub fn first_key_with<T: Collection>(
        &mut self,
        keys: Range<usize>,
    ) -> Result<Option<&'a [u8]>, Error> {
        for index in self.keys_to_try(keys) {
            let key = self.arg(index);
            if self.txn.inspect::<T>(key)?.is_some() {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Whether the command has waited before: one of its keys has got data, or for [`Awaited::StreamGroup`] has changed.
    pub fn is_retry(&self) -> bool {
        matches!(self.waiting.stage, Stage::Retry(_))
    }

    pub fn is_in_script(&self) -> bool {
        self.waiting.stage == Stage::InScript
    }

    /// Which of the arguments that are keys to wait on the command is to look at: all, or on a retry the one that has got
    /// data. A retry touches no other of them; only that one is locked for it.
    pub fn keys_to_try(&self, keys: Range<usize>) -> Range<usize> {
        match self.waiting.stage {
            Stage::Retry(ready) => {
                debug_assert!(keys.contains(&ready), "it was waited on");
                ready..ready + 1
            }
            Stage::Forbidden | Stage::InScript | Stage::First => keys,
        }
    }

    /// A timeout in seconds, with a fraction; `None`: for ever.
    pub fn timeout_s(&self, index: usize) -> Result<Option<Duration>, Error> {
        let seconds = parse_f64(self.arg(index))
            .ok_or(Error::text("ERR timeout is not a float or out of range"))?;
        let ms = (seconds * 1000.0).ceil();
        // What does not fit is negative for Redis.
        let ms = if ms >= i64::MAX as f64 { -1.0 } else { ms };
        self.timeout(ms as i64)
    }

    /// A timeout in milliseconds; `None`: for ever.
    pub fn timeout_ms(&self, index: usize) -> Result<Option<Duration>, Error> {
        let ms = parse_i64(self.arg(index))
            .ok_or(Error::text("ERR timeout is not an integer or out of range"))?;
        self.timeout(ms)
    }

    fn timeout(&self, ms: i64) -> Result<Option<Duration>, Error> {
        match ms {
            ..0 => Err(Error::text("ERR timeout is negative")),
            0 => Ok(None),
            _ if self.now_ms().checked_add(ms).is_none() => Err(TIMEOUT_TOO_LONG),
            _ => Ok(Some(Duration::from_millis(ms as u64))),
        }
    }
}

const TIMEOUT_TOO_LONG: Error = Error::text("ERR timeout is out of range");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Keyspace, Txn, TxnBuffers};
    use crate::resp::{Args, Protocol, RespWriter};

    fn with_ctx<R>(args: &[&[u8]], waiting: Waiting, test: impl FnOnce(&mut Ctx<'_>) -> R) -> R {
        let keyspace = Keyspace::new(1);
        let mut buffers = TxnBuffers::default();
        let mut out = Vec::new();
        let mut ctx = Ctx {
            txn: Txn::new(&keyspace, &mut buffers, 0, 1_700_000_000_000),
            args: Args::from_slices(args),
            reply: &mut RespWriter::new(&mut out, Protocol::Resp2),
            string_len_max: 0,
            rng: &mut fastrand::Rng::with_seed(1),
            waiting,
        };
        test(&mut ctx)
    }

    fn seconds(text: &str) -> Result<Option<u64>, String> {
        let parsed = with_ctx(&[text.as_bytes()], Waiting::default(), |ctx| {
            ctx.timeout_s(0)
        });
        let ms = parsed.map(|timeout| timeout.map(|t| t.as_millis() as u64));
        ms.map_err(|error| error.line().into_owned())
    }

    #[test]
    fn seconds_are_read_as_redis_reads_them() {
        let error = |text: &str| Err(format!("ERR timeout is {text}"));
        for text in ["", "abc", "nan", " 1", "1 ", "1e-5000", "1e5000", "1,5"] {
            assert_eq!(
                seconds(text),
                error("not a float or out of range"),
                "{text}"
            );
        }
        for text in [
            "-1",
            "-0.001",
            "-inf",
            "-1e300",
            "inf",
            "1e300",
            "9223372036854776",
        ] {
            assert_eq!(seconds(text), error("negative"), "{text}");
        }
        assert_eq!(seconds("9223372036854770"), error("out of range"));
        for (text, ms) in [("1", 1000), ("0.25", 250), ("0.0001", 1), ("0x10", 16_000)] {
            assert_eq!(seconds(text), Ok(Some(ms)), "{text}");
        }
        // What is less than a millisecond below zero is rounded up to zero.
        for text in ["0", "-0", "0.0", "-0.0001"] {
            assert_eq!(seconds(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn milliseconds_are_read_as_redis_reads_them() {
        let ms = |text: &str| {
            with_ctx(&[text.as_bytes()], Waiting::default(), |ctx| {
                ctx.timeout_ms(0).map_err(|error| error.line().into_owned())
            })
        };
        assert_eq!(ms("0"), Ok(None));
        assert_eq!(ms("15"), Ok(Some(Duration::from_millis(15))));
        assert_eq!(ms("-1"), Err("ERR timeout is negative".into()));
        let far = "9223372036854775807";
        assert_eq!(ms(far), Err("ERR timeout is out of range".into()));
        for text in ["", "1.5", "x", "9223372036854775808"] {
            let line = "ERR timeout is not an integer or out of range";
            assert_eq!(ms(text), Err(line.into()), "{text}");
        }
    }

    #[test]
    fn only_who_may_wait_waits_and_a_retry_looks_at_one_key() {
        let args: &[&[u8]] = &[b"blpop", b"a", b"b", b"c", b"0"];
        let wish = || Wish::new(1..4, Awaited::List, None);
        with_ctx(args, Waiting::forbidden(), |ctx| {
            assert_eq!(ctx.keys_to_try(1..4), 1..4);
            assert!(!ctx.is_retry());
            assert!(!ctx.wait_for_data(wish()));
            assert!(ctx.waiting.take_wish().is_none());
        });
        with_ctx(args, Waiting::allowed(), |ctx| {
            assert_eq!(ctx.keys_to_try(1..4), 1..4);
            assert!(!ctx.is_retry());
            assert!(ctx.wait_for_data(wish()));
            let wish = ctx.waiting.take_wish().expect("it may wait");
            assert_eq!((wish.keys.clone(), wish.awaited), (1..4, Awaited::List));
        });
        with_ctx(args, Waiting::retry(2), |ctx| {
            assert_eq!(ctx.keys_to_try(1..4), 2..3);
            assert!(ctx.is_retry());
            assert!(ctx.wait_for_data(wish()));
        });
    }

    #[test]
    fn a_key_is_worth_a_retry_if_it_holds_what_is_awaited() {
        assert!(Awaited::List.is_met_by(Some(Kind::List)));
        assert!(!Awaited::List.is_met_by(Some(Kind::ZSet)));
        assert!(!Awaited::ZSet.is_met_by(None));
        assert!(!Awaited::Stream.is_met_by(None));
        assert!(Awaited::StreamGroup.is_met_by(None));
    }
}
