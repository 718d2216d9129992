//! The debugger of scripts: where a script stops, and what its user is told.
//!
//! A script that is debugged has a hook for each line, which also ends its slices: the watchdog leaves it in its place. At a
//! line where the script is to stop, the hook writes down what can be seen there (variables, calls) and suspends the run
//! ([`Step::Stopped`](super::Step)). What the user asks for then is answered from that, or lets the run go on. Code that
//! the user has evaluated runs on a coroutine of its own, as a part of the run ([`errand`]).
//!
//! - Nothing is stopped where Lua cannot suspend the script (a metamethod that a library function calls).
//! - What is written down for the user is bounded: lines, and the length of each.
//!
//! Unsafe code: Lua calls the hook, and it reads Lua's stack. The rule of [`super::call`] holds.

mod commands;
pub(super) mod errand;
mod show;
mod watch;

pub use commands::Command;
pub(super) use watch::attach_coroutine;

use std::ffi::c_int;

use super::tokens::ReplyTokens;

/// What a debugged script and its user have told each other. It outlives the runs of its script.
pub struct Debugger {
    lines: Vec<Vec<u8>>,
    breakpoints: Vec<usize>,
    /// Stop at the next line; and tell of each command.
    steps: bool,
    /// `redis.breakpoint` was called.
    breaks: bool,
    /// Where the script stands.
    line: usize,
    /// What is longer is cut; 0: nothing is.
    shown_len_max: usize,
    /// The user knows how to see all of a text.
    knows_maxlen: bool,
    log: Vec<Vec<u8>>,
    /// The command that is being run, should it be told of.
    call: Option<Vec<u8>>,
    /// Who has called whom where the script stands: names and lines.
    trace: Vec<(Vec<u8>, usize)>,
    /// How many variables the table of them holds.
    variables: usize,
}

const SHOWN_LEN_DEFAULT: usize = 256;
const SHOWN_LEN_LEAST: usize = 60;
const BREAKPOINTS_MAX: usize = 64;
/// Lines that are kept for the user until the script stops; the rest is dropped.
const LOG_LINES_MAX: usize = 10_000;
/// The longest line that the user is told.
const LOG_LINE_LEN_MAX: usize = 1 << 20;

impl Debugger {
    /// A session with a script, which will stop at its first line.
    pub fn new(body: &[u8]) -> Self {
        let end = body.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let body = &body[..end.map_or(0, |end| end + 1)];
        Self {
            lines: body
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect(),
            breakpoints: Vec::new(),
            steps: true,
            breaks: false,
            line: 0,
            shown_len_max: SHOWN_LEN_DEFAULT,
            knows_maxlen: false,
            log: Vec::new(),
            call: None,
            trace: Vec::new(),
            variables: 0,
        }
    }

    /// The script begins again, because it needs a key that it could not have in order.
    pub fn restarted(&mut self) {
        self.steps = true;
        self.breaks = false;
        self.line = 0;
        self.log.clear();
        self.tell(RESTARTED.to_vec());
    }

    /// Takes what the user has not been told yet.
    pub fn take_log(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.log)
    }

    /// `redis.breakpoint`.
    pub(super) fn break_at_next_line(&mut self) {
        self.breaks = true;
    }

    /// Whether the user is told of commands and errors.
    #[inline]
    pub(super) fn tells(&self) -> bool {
        self.steps
    }

    pub(super) fn tell(&mut self, mut line: Vec<u8>) {
        if self.log.len() < LOG_LINES_MAX {
            line.truncate(LOG_LINE_LEN_MAX);
            self.log.push(line);
        }
    }

    fn tell_text(&mut self, line: &str) {
        self.tell(line.into());
    }

    /// Tells what may be long.
    fn tell_cut(&mut self, mut line: Vec<u8>) {
        let is_cut = self.shown_len_max > 0 && line.len() > self.shown_len_max;
        if is_cut {
            line.truncate(self.shown_len_max);
            line.extend_from_slice(b" ...");
        }
        self.tell(line);
        if is_cut && !std::mem::replace(&mut self.knows_maxlen, true) {
            self.tell_text(
                "<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.",
            );
        }
    }

    /// `redis.debug`.
    pub(super) fn tell_debug(&mut self, values: &[u8]) {
        let line = [format!("<debug> line {}: ", self.line).as_bytes(), values].concat();
        self.tell(line);
    }

    /// An error that a function of ours raises, which begins with its code.
    pub(super) fn tell_error(&mut self, text: &[u8]) {
        if self.tells() {
            let text = text.strip_prefix(b"ERR ").unwrap_or(text);
            self.tell([b"<error> ", text].concat());
        }
    }

    /// A command is about to be run.
    pub(super) fn begin_call(&mut self, args: &[&[u8]]) {
        const SHOWN_ARGS_MAX: usize = 10;
        if !self.tells() {
            return;
        }
        let mut line = b"<redis>".to_vec();
        for (index, arg) in args.iter().enumerate() {
            if index == SHOWN_ARGS_MAX {
                let more = format!(" ... ({} more)", args.len() - index - 1);
                line.extend_from_slice(more.as_bytes());
                break;
            }
            line.push(b' ');
            line.extend_from_slice(&arg[..arg.len().min(LOG_LINE_LEN_MAX)]);
        }
        self.call = Some(line);
    }

    /// The command has answered.
    pub(super) fn end_call(&mut self, reply: &ReplyTokens) {
        let Some(line) = self.call.take() else {
            return;
        };
        self.tell(line);
        if let Some(text) = reply.error_text() {
            if reply.is_refusal() {
                self.tell_error(text);
                return;
            }
            self.tell([b"<error> -", text].concat());
        }
        let mut line = b"<reply> ".to_vec();
        show::reply(reply, &mut line);
        self.tell_cut(line);
    }

    /// Whether the script is to stop at this line.
    fn stops_at(&self, line: c_int) -> bool {
        self.steps || self.breaks || self.has_breakpoint(line as usize)
    }

    fn has_breakpoint(&self, line: usize) -> bool {
        self.breakpoints.contains(&line)
    }

    /// The script has stopped: says where and why.
    fn stop_at(&mut self, line: c_int) {
        self.line = line as usize;
        let reason = if self.breaks {
            "redis.breakpoint() called"
        } else if self.has_breakpoint(self.line) {
            "break point"
        } else {
            "step over"
        };
        self.steps = false;
        self.breaks = false;
        let line = self.line;
        self.tell(format!("* Stopped at {line}, stop reason = {reason}").into());
        self.tell_line(line);
    }

    /// One line of the source.
    fn tell_line(&mut self, number: usize) {
        let marks = match (number == self.line, self.has_breakpoint(number)) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        let source = number
            .checked_sub(1)
            .and_then(|index| self.lines.get(index));
        let source: &[u8] = source.map_or(b"<out of range source code line>", Vec::as_slice);
        let line = [format!("{marks}{number:<3} ").as_bytes(), source].concat();
        self.tell(line);
    }
}

const RESTARTED: &[u8] =
    b"<hint> The script needs a key that another client holds: it begins again, with that key.";
