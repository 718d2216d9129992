//! Strings as rows of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::string_edit::{clamp_range, is_reversed};
use crate::base::number::parse_i64;
use crate::keyspace::{Expiry, Notify};
use crate::value::{Str, StrBuf, Value, bits};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("setbit", 4, Group::Bitmap, Flags::WRITE_DENYOOM)
            .syntax("key offset value:integer")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "2.2.0",
                "O(1)",
                "Sets or clears the bit at offset in the string value stored at key",
            ),
        setbit,
    ),
    Command::new(
        Spec::new("getbit", 3, Group::Bitmap, Flags::READ_FAST)
            .syntax("key offset")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.2.0",
                "O(1)",
                "Returns the bit value at offset in the string value stored at key",
            ),
        getbit,
    ),
    Command::new(
        Spec::new("bitcount", -2, Group::Bitmap, Flags::READONLY)
            .syntax("key [index: start end [index_unit: BYTE | BIT]@7.0.0]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs("2.6.0", "O(N)", "Count set bits in a string")
            .history(&[("7.0.0", "Added the `BYTE|BIT` option.")]),
        bitcount,
    ),
    Command::new(
        Spec::new("bitpos", -3, Group::Bitmap, Flags::READONLY)
            .syntax(
                "key bit:integer \
                 [index: start [end_index: end [index_unit: BYTE | BIT]@7.0.0]]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs("2.8.7", "O(N)", "Find first bit set or clear in a string")
            .history(&[("7.0.0", "Added the `BYTE|BIT` option.")]),
        bitpos,
    ),
    Command::new(
        Spec::new("bitop", -4, Group::Bitmap, Flags::WRITE_DENYOOM)
            .syntax("operation destkey key ...")
            .keys(&[
                KeySpec::one(2, KeyFlags::OVERWRITE),
                KeySpec::rest(3, 1, KeyFlags::READ),
            ])
            .docs(
                "2.6.0",
                "O(N)",
                "Perform bitwise operations between strings",
            ),
        bitop,
    ),
];

fn setbit(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let at = bit_offset(ctx.arg(2), 1, ctx.string_len_max)?;
    let bit = match ctx.int(3) {
        Ok(0) => false,
        Ok(1) => true,
        _ => return Err(Error::BitValue),
    };
    let byte_at = at / 8;
    let mut text = itoa::Buffer::new();
    let (byte, is_settled) = match Ctx::string_to_change(&mut ctx.txn, key)? {
        Some(string) => {
            let byte = string.bytes(&mut text).get(byte_at).copied();
            (byte, byte.is_some() && string.encoding() == "raw")
        }
        None => (None, false),
    };
    let grows = byte.is_none();
    let byte = byte.unwrap_or(0);
    let mut changed = [byte];
    bits::store(&mut changed, at % 8, 1, u64::from(bit));
    if changed[0] != byte || !is_settled {
        ctx.txn.splice(key, byte_at, &changed);
    }
    if changed[0] != byte || grows {
        ctx.txn.notify(Notify::STRING, "setbit", key);
    }
    ctx.reply.integer(i64::from(bits::get(&[byte], at % 8)));
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let at = bit_offset(ctx.arg(2), 1, ctx.string_len_max)?;
    let string = Ctx::string(&mut ctx.txn, ctx.args.get(1))?;
    let bit = string.is_some_and(|s| bits::get(s.bytes(&mut itoa::Buffer::new()), at));
    ctx.reply.integer(i64::from(bit));
    Ok(())
}

fn bitcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut text = itoa::Buffer::new();
    let args = ctx.args;
    let Some(string) = Ctx::string(&mut ctx.txn, args.get(1))? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let bytes = string.bytes(&mut text);
    let range = match args.len() {
        2 => 0..bytes.len() * 8,
        4 | 5 => {
            let start = parse_i64(args.get(2)).ok_or(Error::NotInteger)?;
            let end = parse_i64(args.get(3)).ok_or(Error::NotInteger)?;
            if is_reversed(start, end) {
                // Redis does not even look at the unit.
                0..0
            } else {
                let unit_bits = unit_bits(args.try_get(4))?;
                let units = bytes.len() * 8 / unit_bits;
                let range = clamp_range(units, start, end).unwrap_or(0..0);
                range.start * unit_bits..range.end * unit_bits
            }
        }
        _ => return Err(Error::Syntax),
    };
    ctx.reply.integer(bits::count(bytes, range) as i64);
    Ok(())
}

fn bitpos(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_A_BIT: Error = Error::text("ERR The bit argument must be 1 or 0.");
    let args = ctx.args;
    let bit = match ctx.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(NOT_A_BIT),
    };
    let mut text = itoa::Buffer::new();
    let Some(string) = Ctx::string(&mut ctx.txn, args.get(1))? else {
        ctx.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let bytes = string.bytes(&mut text);
    let index = |at: usize, default: i64| match args.try_get(at) {
        Some(text) => parse_i64(text).ok_or(Error::NotInteger),
        None => Ok(default),
    };
    if args.len() > 6 {
        return Err(Error::Syntax);
    }
    let start = index(3, 0)?;
    let unit_bits = unit_bits(args.try_get(5))?;
    let end = index(4, -1)?;
    let range = clamp_range(bytes.len() * 8 / unit_bits, start, end);
    let position = range.and_then(|range| {
        let found = bits::find(bytes, bit, range.start * unit_bits..range.end * unit_bits);
        // Without an end the string is seen as followed by zeros.
        let open_end = !bit && args.len() < 5;
        found.or(open_end.then_some(bytes.len() * 8))
    });
    ctx.reply.integer(position.map_or(-1, |at| at as i64));
    Ok(())
}

fn bitop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const ONE_SOURCE: Error = Error::text("ERR BITOP NOT must be called with a single source key.");
    let op = BitOp::parse(ctx.arg(1))?;
    let (target, sources) = (ctx.arg(2), ctx.args.skip(3));
    if op == BitOp::Not && sources.len() != 1 {
        return Err(ONE_SOURCE);
    }
    let mut result: Option<Vec<u8>> = None;
    for source in sources.iter() {
        let mut text = itoa::Buffer::new();
        let string = Ctx::string(&mut ctx.txn, source)?;
        let bytes = string.map_or(&[][..], |string| string.bytes(&mut text));
        match &mut result {
            Some(result) => op.fold(result, bytes),
            None => result = Some(bytes.to_vec()),
        }
    }
    let mut result = result.unwrap_or_default();
    if op == BitOp::Not {
        for byte in &mut result {
            *byte = !*byte;
        }
    }
    let len = result.len();
    if len == 0 {
        if ctx.txn.remove(target) {
            ctx.txn.notify(Notify::GENERIC, "del", target);
        }
    } else {
        let value = Value::Str(Str::raw(StrBuf::from_vec(result)));
        ctx.txn.put(target, value, Expiry::Never);
        ctx.txn.notify(Notify::STRING, "set", target);
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BitOp {
    And,
    Or,
    Xor,
    Not,
}

impl BitOp {
    fn parse(name: &[u8]) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_slice() {
            b"and" => Ok(BitOp::And),
            b"or" => Ok(BitOp::Or),
            b"xor" => Ok(BitOp::Xor),
            b"not" => Ok(BitOp::Not),
            _ => Err(Error::Syntax),
        }
    }

    /// Works `bytes` into `result`; the shorter of the two counts as followed by zeros.
    fn fold(self, result: &mut Vec<u8>, bytes: &[u8]) {
        if result.len() < bytes.len() {
            result.resize(bytes.len(), 0);
        }
        let (common, beyond) = result.split_at_mut(bytes.len());
        let pairs = common.iter_mut().zip(bytes);
        match self {
            BitOp::And => {
                pairs.for_each(|(a, b)| *a &= b);
                beyond.fill(0);
            }
            BitOp::Or => pairs.for_each(|(a, b)| *a |= b),
            BitOp::Xor => pairs.for_each(|(a, b)| *a ^= b),
            BitOp::Not => unreachable!("NOT has one source"),
        }
    }
}

/// The bits of what a range counts: `BYTE`, which is the default, or `BIT`.
fn unit_bits(unit: Option<&[u8]>) -> Result<usize, Error> {
    match unit {
        None => Ok(8),
        Some(unit) if unit.eq_ignore_ascii_case(b"byte") => Ok(8),
        Some(unit) if unit.eq_ignore_ascii_case(b"bit") => Ok(1),
        Some(_) => Err(Error::Syntax),
    }
}

/// A bit's place, within the longest string allowed; it counts fields of `width` bits.
pub(super) fn bit_offset(text: &[u8], width: usize, bytes_max: usize) -> Result<usize, Error> {
    parse_i64(text)
        .and_then(|number| usize::try_from(number).ok())
        .and_then(|number| number.checked_mul(width))
        .filter(|at| at / 8 < bytes_max)
        .ok_or(Error::BitOffset)
}
