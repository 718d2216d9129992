//! LCS: the longest common subsequence of two strings.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::{Str, StrBuf};
use std::ops::RangeInclusive;

pub static COMMANDS: &[Command<Handler>] = &[Command::new(
    Spec::new("lcs", -3, Group::String, Flags::READONLY)
        .syntax("key1 key2#0 [LEN] [IDX] [MINMATCHLEN len:integer] [WITHMATCHLEN]")
        .keys(&[KeySpec {
            flags: KeyFlags::READ,
            begin: Begin::Index(1),
            find: Find::Range { last: 1, step: 1 },
        }])
        .docs(
            "7.0.0",
            "O(N*M) where N and M are the lengths of s1 and s2, respectively",
            "Find longest common substring",
        ),
    lcs,
)];

fn lcs(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_STRINGS: Error = Error::text("ERR The specified keys must contain string values");
    let mut copy = |at| match Ctx::string(&mut ctx.txn, ctx.args.get(at)) {
        Ok(string) => Ok(string.map(Str::to_buf).unwrap_or_default()),
        Err(_) => Err(NOT_STRINGS),
    };
    let (a, b) = (copy(1)?, copy(2)?);
    let options = Options::parse(ctx.args.skip(3))?;
    let table = Table::new(a, b, ctx.string_len_max)?;
    if options.indexes {
        reply_indexes(ctx.reply, &table, &options);
    } else if options.len {
        ctx.reply.integer(i64::from(table.len()));
    } else {
        ctx.reply.bulk(&table.subsequence());
    }
    Ok(())
}

#[derive(Default)]
struct Options {
    len: bool,
    indexes: bool,
    with_match_len: bool,
    match_len_min: i64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        const AMBIGUOUS: Error =
            Error::text("ERR If you want both the length and indexes, please just use IDX.");
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"idx" => options.indexes = true,
                b"len" => options.len = true,
                b"withmatchlen" => options.with_match_len = true,
                b"minmatchlen" => {
                    let len = args.next().ok_or(Error::Syntax)?;
                    options.match_len_min = parse_i64(len).ok_or(Error::NotInteger)?.max(0);
                }
                _ => return Err(Error::Syntax),
            }
        }
        if options.indexes && options.len {
            return Err(AMBIGUOUS);
        }
        Ok(options)
    }
}

fn reply_indexes(reply: &mut dyn Reply, table: &Table, options: &Options) {
    let mut matches = table.matches();
    matches.retain(|m| m.len() >= options.match_len_min);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for m in &matches {
        reply.array(2 + usize::from(options.with_match_len));
        for range in [&m.a, &m.b] {
            reply.array(2);
            reply.integer(*range.start() as i64);
            reply.integer(*range.end() as i64);
        }
        if options.with_match_len {
            reply.integer(m.len());
        }
    }
    reply.bulk(b"len");
    reply.integer(i64::from(table.len()));
}

/// The lengths of the longest common subsequences of all pairs of prefixes.
struct Table {
    a: StrBuf,
    b: StrBuf,
    lens: Vec<u32>,
}

/// A run of bytes that is in both strings.
struct Match {
    a: RangeInclusive<usize>,
    b: RangeInclusive<usize>,
}

impl Match {
    fn len(&self) -> i64 {
        (self.a.end() - self.a.start() + 1) as i64
    }
}

impl Table {
    fn new(a: StrBuf, b: StrBuf, bytes_max: usize) -> Result<Self, Error> {
        const TOO_LARGE: Error = Error::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        );
        let width = b.len() + 1;
        let cells = (a.len() + 1).checked_mul(width).ok_or(TOO_LARGE)?;
        if cells > bytes_max / size_of::<u32>() {
            return Err(TOO_LARGE);
        }
        let mut lens = vec![0_u32; cells];
        for (i, byte) in a.iter().enumerate() {
            let (done, row) = lens.split_at_mut((i + 1) * width);
            let above = &done[i * width..];
            for (j, other) in b.iter().enumerate() {
                row[j + 1] = if byte == other {
                    above[j] + 1
                } else {
                    above[j + 1].max(row[j])
                };
            }
        }
        Ok(Self { a, b, lens })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lens[i * (self.b.len() + 1) + j]
    }

    fn len(&self) -> u32 {
        self.at(self.a.len(), self.b.len())
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.pairs().map(|(i, _)| self.a[i]).collect();
        bytes.reverse();
        bytes
    }

    /// The runs of the subsequence, last first.
    fn matches(&self) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        for (i, j) in self.pairs() {
            match matches.last_mut() {
                Some(run) if *run.a.start() == i + 1 && *run.b.start() == j + 1 => {
                    *run = Match {
                        a: i..=*run.a.end(),
                        b: j..=*run.b.end(),
                    };
                }
                _ => matches.push(Match { a: i..=i, b: j..=j }),
            }
        }
        matches
    }

    /// The places of the subsequence's bytes in both strings, last first.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        std::iter::from_fn(move || {
            while i > 0 && j > 0 {
                if self.a[i - 1] == self.b[j - 1] {
                    (i, j) = (i - 1, j - 1);
                    return Some((i, j));
                }
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
            None
        })
    }
}
