//! Strings: GET.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};

const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

pub static COMMANDS: &[Command<Handler>] = &[Command::new(
    Spec::new("get", 2, Group::String, Flags::READONLY.union(Flags::FAST))
        .keys(&[KeySpec::one(1, READ)])
        .docs("1.0.0", "O(1)", "Returns the string value of a key."),
    get,
)];

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let string = match ctx.txn.get(key) {
        Some(crate::value::Value::Str(string)) => Some(string),
        None => None,
    };
    Ctx::reply_string(ctx.reply, string);
    Ok(())
}
