//! CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO, and which reads are noted.

use super::state::{Reads, TrackingState};
use super::table::Tracker;
use crate::base::number::parse_i64;
use crate::command::{Error, Flags, KeyFlags, Spec};
use crate::config::Opt;
use crate::engine::client::{Client, ClientFlags};
use crate::engine::outbox::Outbox;
use crate::engine::registry::{EngineCtx, Entry};
use crate::engine::shared::Shared;
use crate::engine::worker::{Flow, Worker};
use crate::resp::Args;
use std::sync::atomic::Ordering;

/// What GETREDIR answers for a client that does not track.
pub const NO_REDIRECT: i64 = -1;

pub fn tracking(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let wanted = Options::parse(&ctx.args.skip(3), ctx.worker.shared)?;
    let switch = ctx.args.get(2);
    if switch.eq_ignore_ascii_case(b"on") {
        let old = ctx.client.tracking.as_deref();
        wanted.check(old)?;
        start(ctx, wanted);
    } else if switch.eq_ignore_ascii_case(b"off") {
        stop(ctx.worker, ctx.client);
    } else {
        return Err(Error::Syntax);
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// What follows CLIENT TRACKING ON.
#[derive(Default)]
struct Options {
    redirect: u64,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<Box<[u8]>>,
}

impl Options {
    fn parse(args: &Args<'_>, shared: &Shared) -> Result<Self, Error> {
        const TWO_REDIRECTS: Error =
            Error::text("ERR A client can only redirect to a single other client");
        const NO_SUCH_CLIENT: Error =
            Error::text("ERR The client ID you want redirect to does not exist");
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("redirect") && args.len() > 0 {
                if options.redirect != 0 {
                    return Err(TWO_REDIRECTS);
                }
                let id = args.next().and_then(parse_i64).ok_or(Error::NotInteger)?;
                let id = u64::try_from(id).map_err(|_| NO_SUCH_CLIENT)?;
                options.redirect = shared.clients.get(id).ok_or(NO_SUCH_CLIENT)?.id;
            } else if is("bcast") {
                options.broadcast = true;
            } else if is("optin") {
                options.opt_in = true;
            } else if is("optout") {
                options.opt_out = true;
            } else if is("noloop") {
                options.no_loop = true;
            } else if is("prefix")
                && let Some(prefix) = args.next()
            {
                options.prefixes.push(prefix.into());
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether the options agree with each other, and with what the client chose before.
    fn check(&self, old: Option<&TrackingState>) -> Result<(), Error> {
        const NEEDS_BCAST: Error =
            Error::text("ERR PREFIX option requires BCAST mode to be enabled");
        const SWITCHES_BCAST: Error = Error::text(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
             with a different mode.",
        );
        const BCAST_AND_OPT: Error =
            Error::text("ERR OPTIN and OPTOUT are not compatible with BCAST");
        const IN_AND_OUT: Error =
            Error::text("ERR You can't specify both OPTIN mode and OPTOUT mode");
        const SWITCHES_OPT: Error = Error::text(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it \
             with a different mode.",
        );
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(NEEDS_BCAST);
        }
        if old.is_some_and(|old| old.is_broadcast() != self.broadcast) {
            return Err(SWITCHES_BCAST);
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(BCAST_AND_OPT);
        }
        if self.opt_in && self.opt_out {
            return Err(IN_AND_OUT);
        }
        let switches = |old: &TrackingState| {
            self.opt_in && old.reads == Reads::OptOut || self.opt_out && old.reads == Reads::OptIn
        };
        if old.is_some_and(switches) {
            return Err(SWITCHES_OPT);
        }
        if self.broadcast {
            self.check_prefixes(old.map_or(&[], |old| &old.prefixes))?;
        }
        Ok(())
    }

    /// A key must not be told of twice.
    fn check_prefixes(&self, old: &[Box<[u8]>]) -> Result<(), Error> {
        let overlaps = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let error = |prefix: &[u8], which: &str, other: &[u8]| {
            let (prefix, other) = (
                String::from_utf8_lossy(prefix),
                String::from_utf8_lossy(other),
            );
            let line = format!(
                "ERR Prefix '{prefix}' overlaps with {which} prefix '{other}'. Prefixes for a single client must not \
                 overlap."
            );
            Err(Error::Other(line.into()))
        };
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = old.iter().find(|other| overlaps(prefix, other)) {
                return error(prefix, "an existing", other);
            }
            let mut later = self.prefixes[at + 1..].iter();
            if let Some(other) = later.find(|other| overlaps(prefix, other)) {
                return error(prefix, "another provided", other);
            }
        }
        Ok(())
    }
}

fn start(ctx: &mut EngineCtx<'_>, wanted: Options) {
    let shared = ctx.worker.shared;
    let client = &mut *ctx.client;
    let tracker = Tracker::of(client);
    let mut prefixes = wanted.prefixes;
    if wanted.broadcast && prefixes.is_empty() {
        prefixes.push(Box::default());
    }
    let mut state = client.tracking.take().unwrap_or_default();
    prefixes.retain(|prefix| !state.prefixes.contains(prefix));
    shared.tracking.enter(tracker, shared.keyspace);
    shared.tracking.add_prefixes(tracker, &prefixes);
    state.prefixes.append(&mut prefixes);
    state.prefixes.sort_unstable();
    state.reads = match () {
        () if wanted.opt_in => Reads::OptIn,
        () if wanted.opt_out => Reads::OptOut,
        () => Reads::All,
    };
    state.no_loop = wanted.no_loop;
    state.redirect = wanted.redirect;
    let info = &client.info;
    info.set_flag(ClientFlags::TRACKING, true);
    info.set_flag(ClientFlags::BROKEN_REDIRECT, false);
    info.set_flag(ClientFlags::TRACKS_PREFIXES, state.is_broadcast());
    info.redirect
        .store(state.redirect as i64, Ordering::Relaxed);
    client.tracking = Some(state);
}

/// Ends tracking, for CLIENT TRACKING OFF, RESET and a client that leaves.
pub fn stop(worker: &Worker, client: &mut Client) {
    let Some(state) = client.tracking.take() else {
        return;
    };
    let shared = worker.shared;
    shared
        .tracking
        .leave(client.id(), &state.prefixes, shared.keyspace);
    let flags = [
        ClientFlags::TRACKING,
        ClientFlags::BROKEN_REDIRECT,
        ClientFlags::TRACKS_PREFIXES,
    ];
    for flag in flags {
        client.info.set_flag(flag, false);
    }
    client.info.redirect.store(NO_REDIRECT, Ordering::Relaxed);
}

pub fn caching(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    const NOT_TRACKING: Error = Error::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    );
    const NOT_OPT_IN: Error =
        Error::text("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    const NOT_OPT_OUT: Error =
        Error::text("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    let mode = ctx.args.get(2);
    let state = ctx.client.tracking.as_mut().ok_or(NOT_TRACKING)?;
    let (reads, error) = match mode.to_ascii_lowercase().as_slice() {
        b"yes" => (Reads::OptIn, NOT_OPT_IN),
        b"no" => (Reads::OptOut, NOT_OPT_OUT),
        _ => return Err(Error::Syntax),
    };
    if state.reads != reads {
        return Err(error);
    }
    state.caching = true;
    ctx.reply.ok();
    Ok(Flow::Done)
}

pub fn getredir(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.integer(redirect(ctx.client));
    Ok(Flow::Done)
}

fn redirect(client: &Client) -> i64 {
    let state = client.tracking.as_ref();
    state.map_or(NO_REDIRECT, |state| state.redirect as i64)
}

pub fn trackinginfo(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let mut flags = Vec::new();
    let mut prefixes: &[Box<[u8]>] = &[];
    if let Some(state) = &ctx.client.tracking {
        prefixes = &state.prefixes;
        let broken = ctx
            .client
            .info
            .flags()
            .contains(ClientFlags::BROKEN_REDIRECT);
        let (opt_in, opt_out) = (state.reads == Reads::OptIn, state.reads == Reads::OptOut);
        let all = [
            ("on", true),
            ("bcast", state.is_broadcast()),
            ("optin", opt_in),
            ("caching-yes", opt_in && state.caching),
            ("optout", opt_out),
            ("caching-no", opt_out && state.caching),
            ("noloop", state.no_loop),
            ("broken_redirect", broken),
        ];
        flags.extend(all.iter().filter(|(_, on)| *on).map(|(name, _)| *name));
    } else {
        flags.push("off");
    }
    let reply = &mut *ctx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    for flag in flags {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"redirect");
    reply.integer(redirect(ctx.client));
    reply.bulk(b"prefixes");
    reply.array(prefixes.len());
    for prefix in prefixes {
        reply.bulk(prefix);
    }
    Ok(Flow::Done)
}

/// Notes the keys that a tracking client is about to read, under the locks or the stripe that it reads them with.
#[inline]
pub fn note_reads(outbox: &mut Outbox, entry: &Entry, client: &Client, args: &Args<'_>) {
    if let Some(state) = &client.tracking
        && entry.spec.flags.contains(Flags::READONLY)
        && state.remembers()
    {
        remember_keys(outbox, Tracker::of(client), entry.spec, args);
    }
}

/// The client as a tracker of what a script of it reads.
pub fn reader(client: &Client) -> Option<Tracker> {
    let state = client.tracking.as_ref()?;
    state.remembers().then(|| Tracker::of(client))
}

/// Enters a key into the table.
pub fn remember(outbox: &mut Outbox, tracker: Tracker, key: &[u8]) {
    let shared = outbox.shared;
    let keys_max = shared.config.settings().size(Opt::TrackingTableMaxKeys);
    shared.tracking.remember(tracker, key, keys_max, outbox);
}

/// Enters the keys of a request into the table.
pub fn remember_keys(outbox: &mut Outbox, tracker: Tracker, spec: &Spec, args: &Args<'_>) {
    // Where the keys cannot be told, the handler finds the fault, and nothing is read.
    let _ = spec.visit_keys(args, |index, keys| {
        if !keys.flags.contains(KeyFlags::NOT_KEY) {
            remember(outbox, tracker, args.get(index));
        }
    });
}

/// CLIENT CACHING is for one command, or one transaction.
#[inline]
pub fn forget_caching(client: &mut Client, entry: &Entry) {
    if let Some(state) = &mut client.tracking
        && client.multi.is_none()
        && !entry.spec.name.starts_with("client|")
    {
        state.caching = false;
    }
}
