//! BITFIELD: integers of any width, anywhere in a string.

use super::bitmap::bit_offset;
use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Notify, Txn};
use crate::resp::Args;
use crate::value::{Str, bits};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("bitfield", -2, Group::Bitmap, Flags::WRITE_DENYOOM)
            .syntax(
                "key \
                 [operation: GET <encoding offset> \
                 | <write: [OVERFLOW <WRAP | SAT | FAIL>] \
                 <write_operation: SET <encoding offset value:integer> \
                 | INCRBY <encoding offset increment:integer>>>]...",
            )
            .keys(&[KeySpec::one(
                1,
                KeyFlags::MODIFY.union(KeyFlags::VARIABLE_FLAGS),
            )])
            .variable_flags(bitfield_flags)
            .key_notes(&["This command allows both access and modification of the key"])
            .docs(
                "3.2.0",
                "O(1) for each subcommand specified",
                "Perform arbitrary bitfield integer operations on strings",
            ),
        bitfield,
    ),
    Command::new(
        Spec::new("bitfield_ro", -2, Group::Bitmap, Flags::READ_FAST)
            .syntax("key [GET <encoding offset>]...")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "6.0.0",
                "O(1) for each subcommand specified",
                "Perform arbitrary bitfield integer operations on strings. Read-only \
                 variant of BITFIELD",
            ),
        bitfield_ro,
    ),
];

/// A request of nothing but `GET` changes nothing. What is not understood is taken to change something.
fn bitfield_flags(args: &Args<'_>) -> KeyFlags {
    let mut rest = args.skip(2);
    while let Some(word) = rest.try_get(0) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        rest = match rest.len() {
            3.. if is("get") => rest.skip(3),
            2.. if is("overflow") => rest.skip(2),
            _ => return KeyFlags::MODIFY,
        };
    }
    KeyFlags::READ
}

fn bitfield(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let ops = parse(ctx.args.skip(2), ctx.string_len_max)?;
    let key = ctx.arg(1);
    let written = ops.iter().filter(|op| op.is_write());
    let Some(end) = written.map(|op| op.field.end()).max() else {
        return read(ctx, &ops);
    };
    let grown = make_room(&mut ctx.txn, key, end.div_ceil(8))?;
    ctx.reply.array(ops.len());
    let mut changed = false;
    for op in &ops {
        let Some(done) = run(&mut ctx.txn, key, op)? else {
            ctx.reply.null();
            continue;
        };
        changed |= op.is_write() && (grown || done.changed);
        ctx.reply.integer(done.answer);
    }
    if changed {
        ctx.txn.notify(Notify::STRING, "setbit", key);
    }
    Ok(())
}

fn bitfield_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const ONLY_GET: Error = Error::text("ERR BITFIELD_RO only supports the GET subcommand");
    let ops = parse(ctx.args.skip(2), ctx.string_len_max)?;
    if ops.iter().any(Op::is_write) {
        return Err(ONLY_GET);
    }
    read(ctx, &ops)
}

fn read(ctx: &mut Ctx<'_>, ops: &[Op]) -> Result<(), Error> {
    let mut text = itoa::Buffer::new();
    let string = Ctx::string(&mut ctx.txn, ctx.args.get(1))?;
    let bytes = string.map_or(&[][..], |string| string.bytes(&mut text));
    ctx.reply.array(ops.len());
    for op in ops {
        ctx.reply.integer(op.field.load(bytes));
    }
    Ok(())
}

/// A field: `i8` and so on, and the place of its first bit.
#[derive(Clone, Copy, Debug)]
struct Field {
    signed: bool,
    width: usize,
    at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// What happens to a number that its field cannot hold.
#[derive(Clone, Copy, Debug)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    field: Field,
    action: Action,
    overflow: Overflow,
}

impl Field {
    fn parse(kind: &[u8], offset: &[u8], bytes_max: usize) -> Result<Self, Error> {
        const INVALID: Error = Error::text(
            "ERR Invalid bitfield type. Use something like i16 u8. \
             Note that u64 is not supported but i64 is.",
        );
        let (signed, digits, width_max) = match kind {
            [b'i', digits @ ..] => (true, digits, bits::FIELD_BITS_MAX),
            // An answer is a signed integer, which would not hold one more.
            [b'u', digits @ ..] => (false, digits, bits::FIELD_BITS_MAX - 1),
            _ => return Err(INVALID),
        };
        let width = parse_i64(digits)
            .and_then(|width| usize::try_from(width).ok())
            .filter(|width| (1..=width_max).contains(width))
            .ok_or(INVALID)?;
        let at = match offset {
            [b'#', index @ ..] => bit_offset(index, width, bytes_max)?,
            _ => bit_offset(offset, 1, bytes_max)?,
        };
        Ok(Self { signed, width, at })
    }

    fn end(self) -> usize {
        self.at + self.width
    }

    fn load(self, bytes: &[u8]) -> i64 {
        self.narrow(bits::load(bytes, self.at, self.width))
    }

    /// What the field's lowest bits of a number read as.
    fn narrow(self, number: u64) -> i64 {
        let unused = bits::FIELD_BITS_MAX - self.width;
        let shifted = number << unused;
        if self.signed {
            shifted as i64 >> unused
        } else {
            (shifted >> unused) as i64
        }
    }

    /// The smallest and the largest number of the field.
    fn limits(self) -> (i128, i128) {
        if self.signed {
            let half = 1_i128 << (self.width - 1);
            (-half, half - 1)
        } else {
            (0, (1_i128 << self.width) - 1)
        }
    }
}

impl Op {
    fn is_write(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The number to store for `exact`; `None` where an overflow fails.
    fn fit(&self, exact: i128) -> Option<i64> {
        let (min, max) = self.field.limits();
        if (min..=max).contains(&exact) {
            return Some(exact as i64);
        }
        match self.overflow {
            Overflow::Wrap => Some(self.field.narrow(exact as u64)),
            Overflow::Saturate if self.is_set_far_below(exact) => Some(max as i64),
            Overflow::Saturate => Some(exact.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    /// Redis finds out in 64 bits how much could be added before the overflow. For a number to be set that is so low
    /// that this wraps round, it saturates at the wrong end, and so do we.
    fn is_set_far_below(&self, exact: i128) -> bool {
        let (_, max) = self.field.limits();
        let wraps = max - exact > i128::from(i64::MAX);
        let is_narrow = self.field.width < bits::FIELD_BITS_MAX;
        matches!(self.action, Action::Set(_)) && is_narrow && wraps
    }
}

fn parse(args: Args<'_>, bytes_max: usize) -> Result<Vec<Op>, Error> {
    const UNKNOWN_OVERFLOW: Error = Error::text("ERR Invalid OVERFLOW type specified");
    let mut ops = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut rest = args;
    while let Some(word) = rest.try_get(0) {
        let is = |name: &str, operands: usize| {
            word.eq_ignore_ascii_case(name.as_bytes()) && rest.len() > operands
        };
        if is("overflow", 1) {
            overflow = match rest[1].to_ascii_lowercase().as_slice() {
                b"wrap" => Overflow::Wrap,
                b"sat" => Overflow::Saturate,
                b"fail" => Overflow::Fail,
                _ => return Err(UNKNOWN_OVERFLOW),
            };
            rest = rest.skip(2);
            continue;
        }
        let action: fn(i64) -> Action = match () {
            () if is("get", 2) => |_| Action::Get,
            () if is("set", 3) => Action::Set,
            () if is("incrby", 3) => Action::Add,
            () => return Err(Error::Syntax),
        };
        let field = Field::parse(&rest[1], &rest[2], bytes_max)?;
        let mut op = Op {
            field,
            action: action(0),
            overflow,
        };
        if op.is_write() {
            op.action = action(parse_i64(&rest[3]).ok_or(Error::NotInteger)?);
        }
        rest = rest.skip(3 + usize::from(op.is_write()));
        ops.push(op);
    }
    Ok(ops)
}

/// Makes the string at least so long, and one that is changed in place. Tells whether it was shorter.
fn make_room(txn: &mut Txn<'_>, key: &[u8], len: usize) -> Result<bool, Error> {
    let mut text = itoa::Buffer::new();
    let first = match Ctx::string_to_change(txn, key)? {
        Some(string) if string.len() >= len => {
            if string.encoding() == "raw" {
                return Ok(false);
            }
            Some(string.bytes(&mut text)[0])
        }
        _ => None,
    };
    match first {
        Some(byte) => txn.splice(key, 0, &[byte]),
        None => txn.splice(key, len - 1, &[0]),
    };
    Ok(first.is_none())
}

/// An operation that went well.
struct Done {
    answer: i64,
    changed: bool,
}

/// Does one operation on a string that has room for it. `None`: the number does not fit, and was to be refused then.
fn run(txn: &mut Txn<'_>, key: &[u8], op: &Op) -> Result<Option<Done>, Error> {
    let field = op.field;
    let mut text = itoa::Buffer::new();
    let string = Ctx::string_to_change(txn, key)?;
    let bytes = string.map_or(&[][..], |string: &Str| string.bytes(&mut text));
    let old = field.load(bytes);
    let (exact, answers_old) = match op.action {
        Action::Get => {
            return Ok(Some(Done {
                answer: old,
                changed: false,
            }));
        }
        Action::Set(number) if field.signed => (i128::from(number), true),
        Action::Set(number) => (i128::from(number as u64), true),
        Action::Add(number) => (i128::from(old) + i128::from(number), false),
    };
    let Some(new) = op.fit(exact) else {
        return Ok(None);
    };
    if new != old {
        /// A field of 64 bits that does not begin with a byte touches nine.
        const TOUCHED_BYTES_MAX: usize = 9;
        let touched = field.at / 8..field.end().div_ceil(8);
        let mut copy = [0; TOUCHED_BYTES_MAX];
        let copy = &mut copy[..touched.len()];
        copy.copy_from_slice(&bytes[touched.clone()]);
        bits::store(copy, field.at % 8, field.width, new as u64);
        txn.splice(key, touched.start, copy);
    }
    Ok(Some(Done {
        answer: if answers_old { old } else { new },
        changed: new != old,
    }))
}
