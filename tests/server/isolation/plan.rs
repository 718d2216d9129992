//! What clients do: steps on few keys, and transactions made of them, as requests and as the Lua text of a script.

use crate::common::isolation::{Key, Kind, Op, Value};
use crate::common::resp::Reply;
use crate::common::rng::Rng;

/// Keys of each kind. Few, so that clients meet.
const KEYS_PER_KIND: usize = 3;
/// The set whose members are keys, told by KEYS, and which therefore has no key to lock before it is there.
const SET_OF_KEYS: Key = Key {
    kind: Kind::Set,
    number: KEYS_PER_KIND,
};
const STEPS_MAX: usize = 5;
/// What nobody has ever written.
const NOTHING_OF_OURS: Value = Value::MAX;

/// One command, or something that only scripts do.
#[derive(Clone, Debug)]
pub enum Step {
    See(Key),
    /// All registers at once.
    SeeRegisters,
    Write(Key, Value),
    /// Script only: removes a list and makes it anew from what it held.
    Rebuild(Key),
    /// Script only: loops for a while, so that it is suspended.
    Spin(u64),
    /// Script only: a command that fails, or finds nothing, and whose error is caught.
    FailSoftly(Key),
    /// Only in a script that will be taken back: something that nobody may ever see.
    Vandalize(String),
}

/// How a script ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Well,
    WithError,
    /// A command's error that is not caught.
    WithCommandError,
    /// Not by itself.
    Never,
    /// It uses more memory than it may.
    Greedy,
}

/// A script, or a part of an EXEC.
#[derive(Clone, Debug)]
pub struct Script {
    pub steps: Vec<Step>,
    pub end: End,
    pub read_only: bool,
    /// Those of its keys that it tells beforehand.
    declared: Vec<Key>,
}

#[derive(Clone, Debug)]
pub enum Plan {
    /// Requests sent at once, each a transaction of its own.
    Single(Vec<Part>),
    Exec(Vec<Part>),
    /// WATCH, these reads, then an EXEC with these.
    Watch(Vec<Part>, Vec<Part>),
}

#[derive(Clone, Debug)]
pub enum Part {
    Plain(Step),
    Script(Script),
}

/// Makes plans. All of its values are its own.
pub struct Planner {
    pub rng: Rng,
    /// Tells the keys of one round from those of others.
    round: usize,
    /// The server ends scripts that do not end by themselves, also after they have written.
    ends_endless: bool,
    next_value: Value,
}

impl Planner {
    pub fn new(seed: u64, round: usize, client: usize, ends_endless: bool) -> Self {
        Self {
            rng: Rng::new(seed),
            round,
            ends_endless,
            next_value: (client as Value + 1) * 1_000_000,
        }
    }

    pub fn plan(&mut self) -> Plan {
        match self.rng.below(10) {
            0 | 1 => Plan::Single(vec![Part::Plain(self.step())]),
            2 => {
                let count = 2 + self.rng.below(6);
                Plan::Single((0..count).map(|_| self.part()).collect())
            }
            3..7 => Plan::Single(vec![Part::Script(self.script(true))]),
            7 | 8 => Plan::Exec(self.parts()),
            _ => {
                let count = 1 + self.rng.below(2);
                let seen = (0..count).map(|_| Part::Plain(Step::See(self.any_key())));
                Plan::Watch(seen.collect(), self.parts())
            }
        }
    }

    /// What reads all there is.
    pub fn see_all() -> Vec<Part> {
        let kinds = [Kind::List, Kind::Register, Kind::Counter, Kind::Set];
        let keys = kinds
            .into_iter()
            .flat_map(|kind| (0..KEYS_PER_KIND).map(move |number| Key { kind, number }));
        keys.chain([SET_OF_KEYS])
            .map(|key| Part::Plain(Step::See(key)))
            .collect()
    }

    fn parts(&mut self) -> Vec<Part> {
        let count = 1 + self.rng.below(4);
        (0..count).map(|_| self.part()).collect()
    }

    fn part(&mut self) -> Part {
        if self.rng.one_in(4) {
            Part::Script(self.script(false))
        } else {
            Part::Plain(self.step())
        }
    }

    fn script(&mut self, may_be_endless: bool) -> Script {
        let read_only = self.rng.one_in(4);
        let count = 1 + self.rng.below(STEPS_MAX);
        let mut steps = Vec::new();
        for _ in 0..count {
            steps.push(match self.rng.below(12) {
                0 | 1 => Step::Spin(1 + self.rng.next() % 20_000),
                2 if !read_only => Step::FailSoftly(self.any_key()),
                3 if !read_only => Step::Rebuild(self.key(Kind::List)),
                _ if read_only => Step::See(self.any_key()),
                _ => self.step(),
            });
        }
        let end = self.end(may_be_endless && !read_only);
        if end != End::Well && !read_only {
            for _ in 0..=self.rng.below(3) {
                let at = self.rng.below(steps.len() + 1);
                let step = Step::Vandalize(self.vandalism());
                steps.insert(at, step);
                steps.insert(at + 1, Step::Spin(1 + self.rng.next() % 20_000));
            }
        }
        Script {
            declared: self.declare(&steps),
            steps,
            end,
            read_only,
        }
    }

    fn end(&mut self, may_be_endless: bool) -> End {
        match self.rng.below(40) {
            0..4 => End::WithError,
            4..7 => End::WithCommandError,
            7 if may_be_endless && self.ends_endless => End::Never,
            8 if self.ends_endless && self.rng.one_in(4) => End::Greedy,
            _ => End::Well,
        }
    }

    /// All, some or none of the keys that a script uses. None means that it takes the whole keyspace.
    fn declare(&mut self, steps: &[Step]) -> Vec<Key> {
        let mut used: Vec<Key> = steps.iter().filter_map(Step::key).collect();
        used.sort_unstable();
        used.dedup();
        match self.rng.below(8) {
            0 => used.clear(),
            1..4 => {
                used.retain(|_| !self.rng.one_in(2));
                if used.is_empty() {
                    used.push(self.any_key());
                }
            }
            _ => {}
        }
        used
    }

    fn step(&mut self) -> Step {
        let key = match self.rng.below(14) {
            0 => return Step::SeeRegisters,
            1 => SET_OF_KEYS,
            _ => self.any_key(),
        };
        if self.rng.one_in(2) {
            Step::See(key)
        } else {
            Step::Write(key, self.value())
        }
    }

    fn any_key(&mut self) -> Key {
        let kinds = [Kind::List, Kind::Register, Kind::Counter, Kind::Set];
        let kind = kinds[self.rng.below(kinds.len())];
        self.key(kind)
    }

    fn key(&mut self, kind: Kind) -> Key {
        Key {
            kind,
            number: self.rng.below(KEYS_PER_KIND),
        }
    }

    fn value(&mut self) -> Value {
        self.next_value += 1;
        self.next_value
    }

    /// Lua that does away with something or puts something in its place.
    fn vandalism(&mut self) -> String {
        let round = self.round;
        let (a, b) = (self.any_key(), self.any_key());
        let (a, b) = (name(round, a), name(round, b));
        let junk = self.value();
        match self.rng.below(14) {
            0 => format!("redis.call('DEL', '{a}', '{b}')"),
            1 => format!("redis.call('SET', '{a}', '{junk}')"),
            2 => format!("redis.call('DEL', '{a}') redis.call('RPUSH', '{a}', '{junk}')"),
            3 => format!("redis.pcall('RENAME', '{a}', '{b}')"),
            4 => format!("redis.call('PEXPIRE', '{a}', 1)"),
            5 => format!("redis.call('PEXPIREAT', '{a}', 1)"),
            6 => format!("redis.pcall('LTRIM', '{a}', 1, -2)"),
            7 => format!("redis.pcall('LPUSH', '{a}', '{junk}')"),
            8 => format!("redis.call('COPY', '{a}', '{b}', 'REPLACE')"),
            9 => format!("redis.pcall('SPOP', '{a}') redis.pcall('APPEND', '{b}', '{junk}')"),
            10 => format!("redis.pcall('SUNIONSTORE', '{a}', '{b}')"),
            11 => format!("redis.call('MOVE', '{a}', 1)"),
            12 if self.rng.one_in(3) => "redis.call('FLUSHALL')".into(),
            13 if self.rng.one_in(3) => "redis.call('SWAPDB', 0, 1)".into(),
            _ => format!("redis.pcall('DECRBY', '{a}', 5)"),
        }
    }
}

impl Step {
    fn key(&self) -> Option<Key> {
        match self {
            Step::See(key) | Step::Write(key, _) if *key == SET_OF_KEYS => None,
            Step::See(key) | Step::Write(key, _) | Step::Rebuild(key) | Step::FailSoftly(key) => {
                Some(*key)
            }
            Step::SeeRegisters | Step::Spin(_) | Step::Vandalize(_) => None,
        }
    }

    /// The request of a step that is a command.
    fn request(&self, round: usize) -> Vec<String> {
        let words: Vec<String> = match self {
            Step::SeeRegisters => {
                let keys = registers().map(|key| name(round, key));
                return std::iter::once("MGET".into()).chain(keys).collect();
            }
            Step::See(key) if *key == SET_OF_KEYS => vec!["KEYS".into(), member(round, "*")],
            Step::Write(key, value) if *key == SET_OF_KEYS => {
                vec!["SET".into(), member(round, value), "here".into()]
            }
            Step::See(key) => {
                let name = name(round, *key);
                match key.kind {
                    Kind::List => vec!["LRANGE".into(), name, "0".into(), "-1".into()],
                    Kind::Register | Kind::Counter => vec!["GET".into(), name],
                    Kind::Set => vec!["SMEMBERS".into(), name],
                }
            }
            Step::Write(key, value) => {
                let (name, value) = (name(round, *key), value.to_string());
                match key.kind {
                    Kind::List => vec!["RPUSH".into(), name, value],
                    Kind::Register => vec!["SET".into(), name, value, "GET".into()],
                    Kind::Counter => vec!["INCR".into(), name],
                    Kind::Set => vec!["SADD".into(), name, value],
                }
            }
            other => unreachable!("{other:?} is not a command"),
        };
        words
    }

    /// What the step did and saw, by its reply.
    fn ops(&self, reply: &Reply) -> Vec<Op> {
        match self {
            Step::SeeRegisters => {
                let Reply::Array(values) = reply else {
                    panic!("{self:?} was answered by {reply:?}");
                };
                let seen = registers().zip(values);
                seen.map(|(key, value)| Op::Saw(key, number(value)))
                    .collect()
            }
            Step::See(key) | Step::Rebuild(key) => vec![match key.kind {
                Kind::List | Kind::Set => Op::SawAll(*key, numbers(reply)),
                Kind::Register | Kind::Counter => Op::Saw(*key, number(reply)),
            }],
            Step::Write(key, value) => match key.kind {
                Kind::List => {
                    let len = Op::SawLength(*key, number(reply) as usize);
                    vec![Op::Write(*key, *value), len]
                }
                Kind::Register => vec![Op::Saw(*key, number(reply)), Op::Write(*key, *value)],
                Kind::Counter => {
                    let value = number(reply);
                    let before = value.wrapping_sub(1);
                    vec![Op::Saw(*key, before), Op::Write(*key, value)]
                }
                Kind::Set => vec![Op::Write(*key, *value)],
            },
            Step::Spin(_) | Step::FailSoftly(_) | Step::Vandalize(_) => Vec::new(),
        }
    }

    fn writes(&self) -> Option<Op> {
        match self {
            Step::Write(key, _) if key.kind == Kind::Counter => Some(Op::CountedOn(*key)),
            Step::Write(key, value) => Some(Op::Write(*key, *value)),
            _ => None,
        }
    }
}

impl Script {
    /// Its steps that clients can do as well.
    pub fn commands(&self) -> impl Iterator<Item = Part> {
        let is_command =
            |step: &&Step| matches!(step, Step::See(_) | Step::SeeRegisters | Step::Write(..));
        let steps = self.steps.iter().filter(is_command);
        steps.map(|step| Part::Plain(step.clone()))
    }

    /// `EVAL` or `EVAL_RO` with the script's text.
    fn request(&self, round: usize) -> Vec<String> {
        let command = if self.read_only { "EVAL_RO" } else { "EVAL" };
        let count = self.declared.len().to_string();
        let mut words = vec![command.to_owned(), self.text(round), count];
        words.extend(self.declared.iter().map(|key| name(round, *key)));
        words
    }

    /// Answers with one reply for each step.
    fn text(&self, round: usize) -> String {
        let mut text = String::from("local r = {}\n");
        for step in &self.steps {
            let line = match step {
                Step::Spin(count) => format!("for i = 1, {count} do end r[#r + 1] = 0"),
                Step::Vandalize(code) => format!("{code} r[#r + 1] = 0"),
                Step::FailSoftly(key) => {
                    let command = match key.kind {
                        Kind::List | Kind::Set => "'SETRANGE', {}, 0, ''",
                        Kind::Register | Kind::Counter => "'LPUSHX', {}, 'x'",
                    };
                    let key = self.quoted(&name(round, *key), round);
                    let command = command.replace("{}", &key);
                    format!("redis.pcall({command}) r[#r + 1] = 0")
                }
                Step::Rebuild(key) => format!(
                    "do local k = {} local l = redis.call('LRANGE', k, 0, -1) redis.call('DEL', k)
                     for i = 1, #l do redis.call('RPUSH', k, l[i]) end r[#r + 1] = l end",
                    self.quoted(&name(round, *key), round)
                ),
                command => {
                    let words = command.request(round);
                    let words: Vec<String> = words.iter().map(|w| self.quoted(w, round)).collect();
                    format!("r[#r + 1] = redis.call({})", words.join(", "))
                }
            };
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str(match self.end {
            End::Well => "return r",
            End::WithError => "error('on purpose')",
            End::WithCommandError => "redis.call('SET', 'too', 'many', 'words')",
            End::Never => "while true do end",
            End::Greedy => "while true do r[#r + 1] = string.rep('x', 100000) end",
        });
        text
    }

    fn quoted(&self, word: &str, round: usize) -> String {
        let declared = self
            .declared
            .iter()
            .position(|key| name(round, *key) == word);
        match declared {
            Some(index) => format!("KEYS[{}]", index + 1),
            None => format!("'{word}'"),
        }
    }

    fn may_fail_with(&self, text: &str) -> bool {
        self.end != End::Well || is_outer_error(text)
    }

    /// What the script did and saw, by its reply.
    fn ops(&self, reply: &Reply) -> Vec<Op> {
        let Reply::Array(replies) = reply else {
            panic!("{self:?} was answered by {reply:?}");
        };
        assert_eq!(replies.len(), self.steps.len(), "{self:?}: {reply:?}");
        let steps = self.steps.iter().zip(replies);
        steps.flat_map(|(step, reply)| step.ops(reply)).collect()
    }
}

impl Part {
    pub fn request(&self, round: usize) -> Vec<String> {
        match self {
            Part::Plain(step) => step.request(round),
            Part::Script(script) => script.request(round),
        }
    }

    /// What it did and saw, by its reply; `None` if it was not done.
    pub fn ops(&self, reply: &Reply) -> Option<Vec<Op>> {
        match (self, reply) {
            (Part::Plain(_), Reply::Error(text)) if is_outer_error(text) => None,
            (Part::Script(script), Reply::Error(text)) if script.may_fail_with(text) => None,
            (_, Reply::Error(_)) => Some(seen_by_error()),
            (Part::Plain(step), reply) => Some(step.ops(reply)),
            (Part::Script(script), reply) => Some(script.ops(reply)),
        }
    }

    /// It will fail, and what it wrote will be taken back.
    pub fn is_doomed(&self) -> bool {
        matches!(self, Part::Script(script) if script.end != End::Well)
    }

    /// What it wrote, if it was done at all.
    pub fn writes(&self) -> Vec<Op> {
        match self {
            Part::Plain(step) => step.writes().into_iter().collect(),
            Part::Script(script) => script.steps.iter().filter_map(Step::writes).collect(),
        }
    }
}

/// An error that no honest step can get: somebody else's doing was seen.
pub fn seen_by_error() -> Vec<Op> {
    let key = Key {
        kind: Kind::Register,
        number: 0,
    };
    vec![Op::Saw(key, NOTHING_OF_OURS)]
}

/// Whether a script or command may have been ended, or not even begun, with this error though it would have ended well.
pub fn is_outer_error(text: &str) -> bool {
    text.starts_with("BUSY ") || text.contains("Script killed")
}

/// The name of a key, or what all members of [`SET_OF_KEYS`] begin with.
pub fn name(round: usize, key: Key) -> String {
    format!("{round}:{key}")
}

fn member(round: usize, which: impl std::fmt::Display) -> String {
    format!("{round}:member:{which}")
}

fn registers() -> impl Iterator<Item = Key> {
    (0..KEYS_PER_KIND).map(|number| Key {
        kind: Kind::Register,
        number,
    })
}

/// A value; zero where there is none.
fn number(reply: &Reply) -> Value {
    match reply {
        Reply::Null => 0,
        Reply::Integer(number) => *number as Value,
        Reply::Bulk(text) => {
            let text = String::from_utf8_lossy(text);
            let digits = text.rsplit(':').next().unwrap_or_default();
            digits.parse().unwrap_or(NOTHING_OF_OURS)
        }
        other => panic!("not a value: {other:?}"),
    }
}

fn numbers(reply: &Reply) -> Vec<Value> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items.iter().map(number).collect(),
        other => panic!("not a list of values: {other:?}"),
    }
}
