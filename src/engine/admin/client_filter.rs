//! Which clients CLIENT LIST and CLIENT KILL mean.

use super::{error, is, text};
use crate::base::number::parse_i64;
use crate::command::Error;
use crate::engine::acl::{Acl, User};
use crate::engine::client::{ClientFlags, ClientInfo};
use crate::resp::Args;
use std::sync::Arc;

/// The kinds of clients that Redis tells apart. Without replication, there are no replicas and masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    Replica,
    Pubsub,
    Master,
}

impl ClientType {
    fn parse(name: &[u8]) -> Result<Self, Error> {
        let names = [
            ("normal", Self::Normal),
            ("slave", Self::Replica),
            ("replica", Self::Replica),
            ("pubsub", Self::Pubsub),
            ("master", Self::Master),
        ];
        let known = names.iter().find(|(known, _)| is(name, known));
        known
            .map(|(_, kind)| *kind)
            .ok_or_else(|| error(format!("ERR Unknown client type '{}'", text(name))))
    }

    fn of(info: &ClientInfo) -> Self {
        if info.flags().contains(ClientFlags::PUBSUB) {
            Self::Pubsub
        } else {
            Self::Normal
        }
    }
}

/// CLIENT LIST's choice.
pub enum ListFilter {
    All,
    Type(ClientTypeFilter),
    Ids(Vec<u64>),
}

/// Opaque to those who only pass it on.
pub struct ClientTypeFilter(ClientType);

impl ListFilter {
    /// Reads what follows `CLIENT LIST`.
    pub fn parse(options: &Args<'_>) -> Result<Self, Error> {
        if options.is_empty() {
            return Ok(Self::All);
        }
        let option = options.get(0);
        if is(option, "type") && options.len() == 2 {
            let kind = ClientType::parse(options.get(1))?;
            return Ok(Self::Type(ClientTypeFilter(kind)));
        }
        if is(option, "id") && options.len() > 1 {
            let ids = options.iter().skip(1).map(|id| {
                parse_i64(id)
                    .and_then(|id| u64::try_from(id).ok())
                    .ok_or(Error::text("ERR Invalid client ID"))
            });
            return Ok(Self::Ids(ids.collect::<Result<_, _>>()?));
        }
        Err(Error::Syntax)
    }

    pub fn lets_through(&self, info: &ClientInfo) -> bool {
        match self {
            Self::All => true,
            Self::Type(ClientTypeFilter(kind)) => ClientType::of(info) == *kind,
            Self::Ids(ids) => ids.contains(&info.id),
        }
    }
}

/// CLIENT KILL's choice: all that is given has to fit.
#[derive(Default)]
pub struct KillFilter {
    user: Option<Arc<User>>,
    id: Option<u64>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    kind: Option<ClientType>,
    max_age_s: Option<i64>,
    skip_me: bool,
}

impl KillFilter {
    /// The old form: one address, the own one too.
    pub fn address(address: &[u8]) -> Self {
        Self {
            address: Some(address.to_vec()),
            ..Self::default()
        }
    }

    /// Reads the pairs that follow `CLIENT KILL`.
    pub fn parse(options: &Args<'_>, acl: &Acl) -> Result<Self, Error> {
        let mut filter = Self {
            skip_me: true,
            ..Self::default()
        };
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(Error::Syntax)?;
            filter.add(option, value, acl)?;
        }
        Ok(filter)
    }

    fn add(&mut self, option: &[u8], value: &[u8], acl: &Acl) -> Result<(), Error> {
        if is(option, "id") {
            let id = parse_i64(value).filter(|id| *id > 0);
            let id = id.ok_or(Error::text("ERR client-id should be greater than 0"))?;
            self.id = Some(id as u64);
        } else if is(option, "maxage") {
            let age = parse_i64(value)
                .ok_or(Error::text("ERR maxage is not an integer or out of range"))?;
            if age <= 0 {
                return Err(Error::text("ERR maxage should be greater than 0"));
            }
            self.max_age_s = Some(age);
        } else if is(option, "type") {
            self.kind = Some(ClientType::parse(value)?);
        } else if is(option, "addr") {
            self.address = Some(value.to_vec());
        } else if is(option, "laddr") {
            self.local_address = Some(value.to_vec());
        } else if is(option, "user") {
            let user = acl.user(value);
            let none = || error(format!("ERR No such user '{}'", text(value)));
            self.user = Some(user.ok_or_else(none)?);
        } else if is(option, "skipme") {
            self.skip_me = match () {
                () if is(value, "yes") => true,
                () if is(value, "no") => false,
                () => return Err(Error::Syntax),
            };
        } else {
            return Err(Error::Syntax);
        }
        Ok(())
    }

    pub fn hits(&self, info: &ClientInfo, own: bool, now_ms: i64) -> bool {
        let is_at = |wanted: &Option<Vec<u8>>, address: &str| {
            wanted.as_ref().is_none_or(|w| w == address.as_bytes())
        };
        !(own && self.skip_me)
            && self.id.is_none_or(|id| id == info.id)
            && self
                .user
                .as_ref()
                .is_none_or(|user| Arc::ptr_eq(user, &info.user.lock()))
            && self.kind.is_none_or(|kind| kind == ClientType::of(info))
            && is_at(&self.address, &info.address)
            && is_at(&self.local_address, &info.local_address)
            && self
                .max_age_s
                .is_none_or(|age| (now_ms - info.created_ms) / 1000 >= age)
    }
}
