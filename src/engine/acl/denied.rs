//! Why a request is not allowed, and what is said of that in each place where it can be found out.

use crate::command::Error;
use crate::engine::registry::Entry;
use crate::resp::Args;

/// What of a request is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    Command,
    /// The argument at this index, a key.
    Key(usize),
    /// The argument at this index, a channel.
    Channel(usize),
    /// An option that leads to keys which the request does not name.
    Option(&'static str),
}

impl Denied {
    /// The answer to a client's own request.
    pub fn to_client(self, entry: &Entry) -> Error {
        match self {
            Denied::Command => Error::Other(
                format!(
                    "NOPERM this user has no permissions to run the '{}' command",
                    entry.spec.name
                )
                .into(),
            ),
            Denied::Key(_) => Error::text(
                "NOPERM this user has no permissions to access one of the keys used as arguments",
            ),
            Denied::Channel(_) => Error::text(
                "NOPERM this user has no permissions to access one of the channels used as arguments",
            ),
            Denied::Option(option) => option_denied(option),
        }
    }

    /// The answer to a request that was allowed when MULTI queued it.
    pub fn in_exec(self) -> Error {
        let reason = match self {
            Denied::Command => "no permission to execute the command or subcommand",
            Denied::Key(_) => "no permission to touch the specified keys",
            Denied::Channel(_) => {
                "no permission to access one of the channels used as arguments to the command"
            }
            Denied::Option(option) => return option_denied(option),
        };
        Error::Other(
            format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: {reason}"
            )
            .into(),
        )
    }

    /// The answer to a script.
    pub fn to_script(self) -> Error {
        match self {
            Denied::Command => Error::text(
                "ERR The user executing the script can't run this command or subcommand",
            ),
            Denied::Key(_) => Error::text(
                "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
            ),
            Denied::Channel(_) => Error::text(
                "ERR The user executing the script can't publish to the channel mentioned in the command",
            ),
            Denied::Option(option) => option_denied(option),
        }
    }

    /// What ACL DRYRUN says.
    pub fn as_dry_run(self, entry: &Entry, args: &Args<'_>) -> Vec<u8> {
        let about = |what: &str, index: usize| {
            [
                b"This user has no permissions to access the '",
                args.get(index),
                b"' ",
                what.as_bytes(),
            ]
            .concat()
        };
        match self {
            Denied::Command => format!(
                "This user has no permissions to run the '{}' command",
                entry.spec.name
            )
            .into_bytes(),
            Denied::Key(index) => about("key", index),
            Denied::Channel(index) => about("channel", index),
            Denied::Option(option) => option_denied(option).line().into_owned().into_bytes(),
        }
    }

    /// What ACL LOG names: the reason and the thing. Options are answered like faults of syntax, and not kept.
    pub fn logged<'a>(self, entry: &Entry, args: &Args<'a>) -> Option<(&'static str, &'a [u8])>
    where
        'static: 'a,
    {
        match self {
            Denied::Command => Some(("command", entry.spec.name.as_bytes())),
            Denied::Key(index) => Some(("key", args.get(index))),
            Denied::Channel(index) => Some(("channel", args.get(index))),
            Denied::Option(_) => None,
        }
    }
}

fn option_denied(option: &str) -> Error {
    Error::Other(
        format!("ERR {option} option of SORT denied due to insufficient ACL permissions.").into(),
    )
}
