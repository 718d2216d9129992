//! What the user of the debugger asks for.

use super::{BREAKPOINTS_MAX, Debugger, SHOWN_LEN_LEAST};
use crate::base::number::parse_i64;

/// A line of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Help,
    Step,
    Continue,
    Trace,
    MaxLen(&'a [&'a [u8]]),
    Break(&'a [&'a [u8]]),
    Eval(&'a [&'a [u8]]),
    Abort,
    Redis(&'a [&'a [u8]]),
    /// One variable, or all.
    Print(Option<&'a [u8]>),
    List(&'a [&'a [u8]]),
    Whole,
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads a line of words, of which there is one at least.
    pub fn read(words: &'a [&'a [u8]]) -> Self {
        let (name, rest) = words
            .split_first()
            .map_or((&b""[..], words), |(n, r)| (*n, r));
        let is = |short: &str, long: &str| {
            [short, long]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        };
        match () {
            () if is("h", "help") => Self::Help,
            () if is("s", "step") || is("n", "next") => Self::Step,
            () if is("c", "continue") => Self::Continue,
            () if is("t", "trace") => Self::Trace,
            () if is("m", "maxlen") => Self::MaxLen(rest),
            () if is("b", "break") => Self::Break(rest),
            () if is("e", "eval") => Self::Eval(rest),
            () if is("a", "abort") => Self::Abort,
            () if is("r", "redis") && !rest.is_empty() => Self::Redis(rest),
            () if is("p", "print") => Self::Print(match rest {
                [name] => Some(name),
                _ => None,
            }),
            () if is("l", "list") => Self::List(rest),
            () if is("w", "whole") => Self::Whole,
            () => Self::Unknown,
        }
    }
}

impl Debugger {
    /// Lets the script run on, to the next line or the next breakpoint.
    pub(in crate::script) fn go_on(&mut self, steps: bool) {
        self.steps = steps;
    }

    /// Answers what needs no look at Lua.
    pub(in crate::script) fn answer(&mut self, command: Command<'_>) {
        match command {
            Command::Help => HELP.iter().for_each(|line| self.tell_text(line)),
            Command::Trace => self.tell_trace(),
            Command::MaxLen(rest) => self.set_maxlen(rest),
            Command::Break(rest) => self.change_breakpoints(rest),
            Command::List(rest) => {
                let number = |index: usize| rest.get(index).map(|text| leading_number(text));
                let around = number(0)
                    .filter(|line| *line > 0)
                    .unwrap_or(self.line as i64);
                self.tell_lines(around, number(1).unwrap_or(LIST_CONTEXT));
            }
            Command::Whole => self.tell_lines(1, WHOLE_CONTEXT),
            _ => self.tell_text(
                "<error> Unknown Redis Lua debugger command or wrong number of arguments.",
            ),
        }
    }

    fn tell_lines(&mut self, around: i64, context: i64) {
        for line in 1..=self.lines.len() {
            if around.abs_diff(line as i64) as i64 <= context {
                self.tell_line(line);
            }
        }
    }

    fn tell_trace(&mut self) {
        for (level, (name, line)) in std::mem::take(&mut self.trace).into_iter().enumerate() {
            let begin: &[u8] = if level == 0 { b"In " } else { b"From " };
            self.tell([begin, &name, b":"].concat());
            self.tell_line(line);
            self.trace.push((name, line));
        }
    }

    fn set_maxlen(&mut self, rest: &[&[u8]]) {
        if let [len] = rest {
            self.knows_maxlen = true;
            self.shown_len_max = match usize::try_from(leading_number(len)) {
                Ok(0) => 0,
                Ok(len) => len.max(SHOWN_LEN_LEAST),
                Err(_) => SHOWN_LEN_LEAST,
            };
        }
        let line = match self.shown_len_max {
            0 => "<value> replies are unlimited.".into(),
            max => format!("<value> replies are truncated at {max} bytes."),
        };
        self.tell(line.into());
    }

    fn change_breakpoints(&mut self, rest: &[&[u8]]) {
        if rest.is_empty() {
            if self.breakpoints.is_empty() {
                self.tell_text("No breakpoints set. Use 'b <line>' to add one.");
                return;
            }
            self.tell(format!("{} breakpoints set:", self.breakpoints.len()).into());
            for line in self.breakpoints.clone() {
                self.tell_line(line);
            }
        }
        for word in rest {
            match parse_i64(word) {
                None => self.tell([b"Invalid argument:'", *word, b"'"].concat()),
                Some(0) => {
                    self.breakpoints.clear();
                    self.tell_text("All breakpoints removed.");
                }
                Some(line) if line > 0 => self.add_breakpoint(line),
                Some(line) => {
                    let line = line.unsigned_abs() as usize;
                    let at = self.breakpoints.iter().position(|known| *known == line);
                    if let Some(at) = at {
                        self.breakpoints.remove(at);
                        self.tell_text("Breakpoint removed.");
                    } else {
                        self.tell_text("No breakpoint in the specified line.");
                    }
                }
            }
        }
    }

    fn add_breakpoint(&mut self, line: i64) {
        if self.breakpoints.len() == BREAKPOINTS_MAX {
            self.tell_text("Too many breakpoints set.");
        } else if line > self.lines.len() as i64 || self.has_breakpoint(line as usize) {
            self.tell_text("Wrong line number.");
        } else {
            self.breakpoints.push(line as usize);
            self.tell_lines(line, 1);
        }
    }
}

/// Lines before and after the one that is listed.
const LIST_CONTEXT: i64 = 5;
const WHOLE_CONTEXT: i64 = 1_000_000;

/// As `atoi` of C reads it: what follows the digits does not matter, and no digits are 0.
fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text.split_first() {
        Some((b'-', rest)) => (-1, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_i32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i32::from(digit - b'0'))
    });
    sign * i64::from(number)
}

const HELP: [&str; 30] = [
    "Redis Lua debugger help:",
    "[h]elp               Show this help.",
    "[s]tep               Run current line and stop again.",
    "[n]ext               Alias for step.",
    "[c]ontinue           Run till next breakpoint.",
    "[l]ist               List source code around current line.",
    "[l]ist [line]        List source code around [line].",
    "                     line = 0 means: current position.",
    "[l]ist [line] [ctx]  In this form [ctx] specifies how many lines",
    "                     to show before/after [line].",
    "[w]hole              List all source code. Alias for 'list 1 1000000'.",
    "[p]rint              Show all the local variables.",
    "[p]rint <var>        Show the value of the specified variable.",
    "                     Can also show global vars KEYS and ARGV.",
    "[b]reak              Show all breakpoints.",
    "[b]reak <line>       Add a breakpoint to the specified line.",
    "[b]reak -<line>      Remove breakpoint from the specified line.",
    "[b]reak 0            Remove all breakpoints.",
    "[t]race              Show a backtrace.",
    "[e]val <code>        Execute some Lua code (in a different callframe).",
    "[r]edis <cmd>        Execute a Redis command.",
    "[m]axlen [len]       Trim logged Redis replies and Lua var dumps to len.",
    "                     Specifying zero as <len> means unlimited.",
    "[a]bort              Stop the execution of the script. What it did is",
    "                     taken back, in sync mode too.",
    "",
    "Debugger functions you can call from Lua scripts:",
    "redis.debug()        Produce logs in the debugger console.",
    "redis.breakpoint()   Stop execution like if there was a breakpoint in the",
    "                     next line of code.",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(debugger: &mut Debugger, line: &str) -> Vec<String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        debugger.answer(Command::read(&words));
        let lines = debugger.take_log().into_iter();
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    /// The lines are those of redis-server 7.0.15.
    #[test]
    fn lists_lines_and_keeps_breakpoints() {
        let mut debugger = Debugger::new(b"one\ntwo\nthree\n\r\n");
        debugger.stop_at(2);
        debugger.take_log();
        assert_eq!(
            told(&mut debugger, "W"),
            ["   1   one", "-> 2   two", "   3   three"]
        );
        assert_eq!(told(&mut debugger, "list 3 0"), ["   3   three"]);
        assert_eq!(told(&mut debugger, "l 0 0"), ["-> 2   two"]);
        assert_eq!(
            told(&mut debugger, "b 2"),
            ["   1   one", "->#2   two", "   3   three"]
        );
        assert_eq!(
            told(&mut debugger, "break"),
            ["1 breakpoints set:", "->#2   two"]
        );
        assert_eq!(told(&mut debugger, "b 2"), ["Wrong line number."]);
        assert_eq!(told(&mut debugger, "b 4"), ["Wrong line number."]);
        assert_eq!(
            told(&mut debugger, "b -3"),
            ["No breakpoint in the specified line."]
        );
        assert_eq!(
            told(&mut debugger, "b x -2 0"),
            [
                "Invalid argument:'x'",
                "Breakpoint removed.",
                "All breakpoints removed."
            ]
        );
        for line in ["redis", "x", ""] {
            assert_eq!(told(&mut debugger, line).len(), 1, "{line}");
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let mut debugger = Debugger::new(b"x");
        debugger.tell_cut(vec![b'x'; 300]);
        debugger.tell_cut(vec![b'x'; 300]);
        let log = debugger.take_log();
        assert_eq!(log.len(), 3, "the hint is given once");
        assert_eq!(log[0].len(), SHOWN_LEN_DEFAULT_AND_DOTS);
        for (asked, got) in [("5", "60"), ("61", "61"), ("-1", "60")] {
            let expected = format!("<value> replies are truncated at {got} bytes.");
            assert_eq!(told(&mut debugger, &format!("m {asked}")), [expected]);
        }
        assert_eq!(
            told(&mut debugger, "m 0"),
            ["<value> replies are unlimited."]
        );
        debugger.tell_cut(vec![b'x'; 300]);
        assert_eq!(debugger.take_log()[0].len(), 300);
    }

    const SHOWN_LEN_DEFAULT_AND_DOTS: usize = 260;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(leading_number(b" 12x"), 12);
        assert_eq!(leading_number(b"-7"), -7);
        assert_eq!(leading_number(b"x"), 0);
        assert_eq!(leading_number(b"99999999999"), i64::from(i32::MAX));
    }
}
