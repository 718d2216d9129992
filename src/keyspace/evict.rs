//! Eviction: which key goes when memory is short.
//!
//! Nobody knows the key that has been idle for longest without keeping all keys in that order, which would cost memory and
//! time at every access. As in Redis, a few keys chosen at random are looked at, and the best of them go into a pool of
//! candidates that is kept from one eviction to the next. So with five samples the choice comes near to the true order
//! (<https://redis.io/docs/latest/develop/reference/eviction/>).

use super::access::AccessRule;
use super::effects::Notify;
use super::entries::Entries;
use super::table::{Entry, Key, Keyspace, Stripe, TableHash};
use super::txn::Txn;
use fastrand::Rng;

/// Candidates that are kept.
const POOL: usize = 16;
/// Keys that are looked at for one eviction, whatever `maxmemory-samples` says.
const SAMPLES_MAX: usize = 1024;

/// `maxmemory-policy`: which keys may go, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    #[default]
    None,
    /// Any key.
    All(Order),
    /// Keys that have a time to live.
    Volatile(Order),
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What was not used for longest.
    Idle,
    /// What is used least often.
    Rare,
    Random,
    /// What ends soonest.
    Soonest,
}

impl Policy {
    /// The policy of this name. `None` as well for a name that nobody knows.
    pub fn named(name: &str) -> Self {
        let (family, order) = name.split_once('-').unwrap_or_default();
        let order = match order {
            "lru" => Order::Idle,
            "lfu" => Order::Rare,
            "random" => Order::Random,
            "ttl" => Order::Soonest,
            _ => return Policy::None,
        };
        match family {
            "allkeys" => Policy::All(order),
            "volatile" => Policy::Volatile(order),
            _ => Policy::None,
        }
    }

    /// Whether it wants to know how often keys are used.
    pub fn counts(self) -> bool {
        matches!(
            self,
            Policy::All(Order::Rare) | Policy::Volatile(Order::Rare)
        )
    }

    fn order(self) -> Option<Order> {
        match self {
            Policy::None => None,
            Policy::All(order) | Policy::Volatile(order) => Some(order),
        }
    }

    /// How many entries it may evict. They are in the first slots.
    fn eligible(self, entries: &Entries) -> usize {
        match self {
            Policy::None => 0,
            Policy::All(_) => entries.len(),
            Policy::Volatile(_) => entries.volatile(),
        }
    }

    fn allows(self, entry: &Entry) -> bool {
        match self {
            Policy::None => false,
            Policy::All(_) => true,
            Policy::Volatile(_) => entry.expire_ms != 0,
        }
    }
}

impl Order {
    /// The higher, the sooner it goes.
    fn score(self, entry: &Entry, now_ms: i64, rule: AccessRule) -> u64 {
        match self {
            Order::Idle => entry.access.idle_s(now_ms).into(),
            Order::Rare => (u8::MAX - entry.access.count(now_ms, rule)).into(),
            Order::Random => 0,
            Order::Soonest => u64::MAX - entry.expire_ms.max(0).cast_unsigned(),
        }
    }
}

/// A key that may go.
#[derive(Clone, Debug)]
pub struct Candidate {
    score: u64,
    /// The physical database.
    db: u8,
    pub fingerprint: u64,
    key: Key,
}

/// The candidates that a shard has found so far, the best of them last.
#[derive(Debug, Default)]
pub struct EvictionPool {
    policy: Policy,
    best: Vec<Candidate>,
}

/// What is looked at to find candidates.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    pub policy: Policy,
    pub samples: usize,
    pub rule: AccessRule,
    pub now_ms: i64,
}

impl EvictionPool {
    /// Looks at some more keys, and takes out the best candidate of all that were seen. `None`: no key may go.
    pub fn next(
        &mut self,
        keyspace: &Keyspace,
        sampling: Sampling,
        rng: &mut Rng,
    ) -> Option<Candidate> {
        let order = sampling.policy.order()?;
        if self.policy != sampling.policy {
            // The scores of another policy say nothing.
            self.best.clear();
            self.policy = sampling.policy;
        }
        let samples = match order {
            Order::Random => 1,
            _ => sampling.samples.clamp(1, SAMPLES_MAX),
        };
        let mut left = samples;
        let first = rng.usize(..Keyspace::stripes());
        for offset in 0..Keyspace::stripes() {
            let index = (first + offset) % Keyspace::stripes();
            let stripe = keyspace.lock_stripe(index);
            left -= self.sample(keyspace, &stripe, sampling, order, left, rng);
            if left == 0 {
                break;
            }
        }
        self.best.pop()
    }

    /// Looks at up to `limit` keys of a stripe; returns at how many.
    fn sample(
        &mut self,
        keyspace: &Keyspace,
        stripe: &Stripe,
        sampling: Sampling,
        order: Order,
        limit: usize,
        rng: &mut Rng,
    ) -> usize {
        let policy = sampling.policy;
        let tables = || {
            let all = stripe.tables();
            all.map(move |(db, table)| (db, &table.entries, policy.eligible(&table.entries)))
        };
        let eligible: usize = tables().map(|(_, _, count)| count).sum();
        let count = eligible.min(limit);
        if count == 0 {
            return 0;
        }
        // Evenly spread: slots close to each other were often filled at about the same time.
        let start = rng.usize(..eligible);
        for number in 0..count {
            let mut at = (start + number * eligible / count) % eligible;
            let place = tables().find(|(_, _, count)| {
                let is_here = at < *count;
                at -= if is_here { 0 } else { *count };
                is_here
            });
            let Some((db, entry)) = place.and_then(|(db, entries, _)| Some((db, entries.get(at)?)))
            else {
                unreachable!("the number is below their sum");
            };
            let score = order.score(entry, sampling.now_ms, sampling.rule);
            self.offer(score, || Candidate {
                score,
                db,
                fingerprint: keyspace.fingerprint(db, &entry.key),
                key: entry.key.clone(),
            });
        }
        count
    }

    /// Takes a candidate in if it is among the best.
    fn offer(&mut self, score: u64, candidate: impl FnOnce() -> Candidate) {
        let mut at = self.best.partition_point(|c| c.score < score);
        if self.best.len() == POOL && at == 0 {
            return;
        }
        let candidate = candidate();
        let known = |c: &Candidate| c.fingerprint == candidate.fingerprint;
        if let Some(old) = self.best.iter().position(known) {
            // It has been used since, or has waited longer.
            self.best.remove(old);
            at -= usize::from(old < at);
        } else if self.best.len() == POOL {
            self.best.remove(0);
            at -= 1;
        }
        self.best.insert(at, candidate);
    }
}

impl Txn<'_> {
    /// Removes a candidate, whose lock is free, if the policy still allows that and the key was not used since it was
    /// looked at. Tells whether the key is gone by this.
    pub fn evict(&mut self, candidate: &Candidate, policy: Policy) -> bool {
        let db = self.db();
        self.use_db(candidate.db);
        let is_gone = self.evict_here(candidate, policy);
        self.use_db(db);
        is_gone
    }

    fn evict_here(&mut self, candidate: &Candidate, policy: Policy) -> bool {
        let Candidate {
            db,
            fingerprint,
            key,
            score,
        } = candidate;
        let Some(order) = policy.order() else {
            return false;
        };
        let (now_ms, rule, expired) = (self.now_ms(), self.access_rule(), self.expired());
        let Some(slot) = self.find_hashed(*fingerprint, key) else {
            // What was found expired on the way makes room as well.
            return self.expired() > expired;
        };
        let (entry, _) = self.entry_and_buffers(*db, slot);
        debug_assert_eq!(entry.hash, TableHash::of(*fingerprint));
        if !policy.allows(entry) || order.score(entry, now_ms, rule) < *score {
            return false;
        }
        self.remove_found(key);
        self.count_evicted();
        self.notify(Notify::EVICTED, "evicted", key);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expiry, TxnBuffers};
    use super::*;
    use crate::value::{Str, Value};

    const NOW_MS: i64 = 1_800_000_000_000;
    const KEYS: usize = 10_000;
    const SAMPLES: usize = 5;

    /// A keyspace with a policy, and what evicts from it.
    struct Cache {
        keyspace: Keyspace,
        buffers: TxnBuffers,
        pool: EvictionPool,
        rng: Rng,
        policy: Policy,
        now_ms: i64,
    }

    impl Cache {
        fn new(policy: &str) -> Self {
            let policy = Policy::named(policy);
            assert_ne!(policy, Policy::None);
            let buffers = TxnBuffers {
                access: AccessRule {
                    counts: policy.counts(),
                    log_factor: 10,
                    decay_min: 1,
                },
                ..TxnBuffers::default()
            };
            Self {
                keyspace: Keyspace::new(4),
                buffers,
                pool: EvictionPool::default(),
                rng: Rng::with_seed(11),
                policy,
                now_ms: NOW_MS,
            }
        }

        fn with<R>(&mut self, db: u8, work: impl FnOnce(&mut Txn<'_>) -> R) -> R {
            let mut txn = Txn::new(&self.keyspace, &mut self.buffers, db, self.now_ms);
            work(&mut txn)
        }

        fn put(&mut self, number: usize, expiry: Expiry) {
            let value = Value::Str(Str::new(b"value"));
            self.with(0, |txn| txn.put(&key(number), value, expiry));
        }

        fn read(&mut self, number: usize) {
            self.with(0, |txn| assert!(txn.get(&key(number)).is_some()));
        }

        /// Evicts so many keys; returns how many there were to evict.
        fn evict(&mut self, count: usize) -> usize {
            let mut evicted = 0;
            while evicted < count {
                let sampling = Sampling {
                    policy: self.policy,
                    samples: SAMPLES,
                    rule: self.buffers.access,
                    now_ms: self.now_ms,
                };
                let next = self.pool.next(&self.keyspace, sampling, &mut self.rng);
                let Some(candidate) = next else { break };
                let policy = self.policy;
                evicted += usize::from(self.with(0, |txn| txn.evict(&candidate, policy)));
            }
            evicted
        }

        fn left(&mut self, numbers: std::ops::Range<usize>) -> usize {
            self.with(0, |txn| {
                numbers.filter(|n| txn.peek(&key(*n)).is_some()).count()
            })
        }
    }

    fn key(number: usize) -> Vec<u8> {
        format!("key:{number}").into_bytes()
    }

    fn percent(part: usize, whole: usize) -> usize {
        part * 100 / whole
    }

    #[test]
    fn what_was_used_lately_stays() {
        for (policy, expiry) in [
            ("allkeys-lru", Expiry::Never),
            ("volatile-lru", Expiry::At(NOW_MS * 2)),
        ] {
            let mut cache = Cache::new(policy);
            for number in 0..KEYS {
                cache.put(number, expiry);
            }
            // A fifth is hot, and read all the time; half of the keys have to go.
            let hot = KEYS / 5;
            cache.now_ms += 1_000_000;
            (0..hot).for_each(|number| cache.read(number));
            for step in 0..KEYS / 2 {
                cache.now_ms += 100;
                cache.read(step % hot);
                cache.read((step + hot / 2) % hot);
                assert_eq!(cache.evict(1), 1);
            }
            let (kept, all) = (cache.left(0..hot), cache.left(0..KEYS));
            assert_eq!(all, KEYS / 2);
            assert!(percent(kept, hot) >= 97, "{policy}: {kept} of {hot}");
        }
    }

    #[test]
    fn the_order_of_use_is_kept_about() {
        let mut cache = Cache::new("allkeys-lru");
        for number in 0..KEYS {
            cache.now_ms += 1000;
            cache.put(number, Expiry::Never);
        }
        cache.evict(KEYS / 2);
        // Of the newer half, Redis's paper shows about nine of ten to stay with five samples and a pool.
        let kept = cache.left(KEYS / 2..KEYS);
        assert!(percent(kept, KEYS / 2) >= 88, "{kept} of {}", KEYS / 2);
        let newest = cache.left(KEYS * 9 / 10..KEYS);
        assert!(percent(newest, KEYS / 10) >= 97, "{newest}");
    }

    #[test]
    fn what_is_used_often_stays_even_if_others_were_used_later() {
        for (policy, expiry) in [
            ("allkeys-lfu", Expiry::Never),
            ("volatile-lfu", Expiry::At(NOW_MS * 2)),
        ] {
            let mut cache = Cache::new(policy);
            let hot = KEYS / 5;
            for number in 0..hot {
                cache.put(number, expiry);
                (0..30).for_each(|_| cache.read(number));
            }
            cache.now_ms += 1000;
            for number in hot..KEYS {
                cache.put(number, expiry);
            }
            cache.evict(KEYS / 2);
            let kept = cache.left(0..hot);
            assert!(percent(kept, hot) >= 95, "{policy}: {kept} of {hot}");
        }
    }

    #[test]
    fn only_keys_with_a_time_to_live_go_where_the_policy_says_so() {
        for policy in [
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ] {
            let mut cache = Cache::new(policy);
            for number in 0..1_000 {
                let expiry = match number % 50 {
                    0 => Expiry::At(NOW_MS + 1_000_000 + number as i64),
                    _ => Expiry::Never,
                };
                cache.put(number, expiry);
            }
            assert_eq!(cache.evict(1_000), 20, "{policy}");
            assert_eq!(cache.left(0..1_000), 980, "{policy}");
            assert_eq!(cache.evict(1), 0, "{policy}");
        }
    }

    #[test]
    fn what_ends_soonest_goes_first() {
        let mut cache = Cache::new("volatile-ttl");
        for number in 0..KEYS {
            // All of them far from over, in an order that is not that of their making.
            let ends = (number * 7919) % KEYS;
            cache.put(number, Expiry::At(NOW_MS + 1_000_000 + ends as i64));
        }
        cache.evict(KEYS / 2);
        let later = |n: &usize| (n * 7919) % KEYS >= KEYS / 2;
        let later: Vec<usize> = (0..KEYS).filter(later).collect();
        let kept = later.iter().filter(|n| cache.left(**n..**n + 1) == 1);
        let kept = kept.count();
        assert!(percent(kept, later.len()) >= 88, "{kept}");
    }

    #[test]
    fn chance_takes_from_everywhere() {
        for (policy, expiry) in [
            ("allkeys-random", Expiry::Never),
            ("volatile-random", Expiry::At(NOW_MS * 2)),
        ] {
            let mut cache = Cache::new(policy);
            for number in 0..KEYS {
                cache.put(number, expiry);
            }
            cache.evict(KEYS / 2);
            for part in 0..4 {
                let left = cache.left(part * KEYS / 4..(part + 1) * KEYS / 4);
                let percent = percent(left, KEYS / 4);
                assert!((45..=55).contains(&percent), "{policy}: {percent} % left");
            }
        }
    }

    #[test]
    fn all_databases_give_way_to_the_last_key() {
        let mut cache = Cache::new("allkeys-lru");
        for (db, count) in [(0, 30), (1, 1), (3, 9)] {
            for number in 0..count {
                let value = Value::Str(Str::new(b"value"));
                cache.with(db, |txn| txn.put(&key(number), value, Expiry::Never));
            }
        }
        assert_eq!(cache.evict(100), 40);
        let mirror = Keyspace::new(4);
        cache.with(0, |txn| txn.commit_to_mirror(&mirror));
        for db in 0..4 {
            assert_eq!(cache.keyspace.size(db).keys, 0);
            assert_eq!(mirror.size(db).keys, 0, "the records say so, too");
        }
        assert_eq!(cache.buffers.counts.evicted, 40);
    }

    #[test]
    fn a_candidate_that_was_used_since_stays() {
        let mut cache = Cache::new("allkeys-lru");
        cache.put(1, Expiry::Never);
        cache.now_ms += 10_000;
        let sampling = Sampling {
            policy: cache.policy,
            samples: SAMPLES,
            rule: cache.buffers.access,
            now_ms: cache.now_ms,
        };
        let next = cache.pool.next(&cache.keyspace, sampling, &mut cache.rng);
        let candidate = next.expect("there is one");
        cache.read(1);
        let policy = cache.policy;
        assert!(!cache.with(0, |txn| txn.evict(&candidate, policy)));
        assert_eq!(cache.left(1..2), 1);
        assert_eq!(cache.evict(1), 1, "but nothing else can go");
    }

    #[test]
    fn an_eviction_is_told_of() {
        let mut cache = Cache::new("allkeys-random");
        cache.put(1, Expiry::Never);
        cache.with(0, |txn| txn.commit_to_mirror(&Keyspace::new(4)));
        cache.buffers.effects().set_notify_classes(Notify::all());
        let candidate = Candidate {
            score: 0,
            db: 0,
            fingerprint: cache.keyspace.fingerprint(0, &key(1)),
            key: Key::from_slice(&key(1)),
        };
        let policy = cache.policy;
        let mut txn = Txn::new(&cache.keyspace, &mut cache.buffers, 0, NOW_MS);
        assert!(txn.evict(&candidate, policy));
        let events: Vec<_> = txn.effects().iter().collect();
        let event = super::super::Effect::Event {
            db: 0,
            name: "evicted",
            key: &key(1),
        };
        assert_eq!(events, [event]);
        txn.rollback();
        drop(txn);
        assert_eq!(
            cache.left(1..2),
            1,
            "a refusal of the journal brings it back"
        );
    }
}
