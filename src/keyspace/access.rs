//! When a key was last used, and how often: four bytes of an entry, for OBJECT and for eviction.
//!
//! The upper 24 bits are a clock of seconds that goes round in 194 days, the lower eight a logarithmic count of uses. Redis
//! keeps one or the other in 24 bits, by its policy; here a change of the policy finds both in order. How they go on and
//! how they are shown is as in Redis
//! (<https://redis.io/docs/latest/develop/reference/eviction/>).

use fastrand::Rng;

const CLOCK_BITS: u32 = 24;
const CLOCK_MASK: u32 = (1 << CLOCK_BITS) - 1;
const COUNT_BITS: u32 = 8;
/// The count of a new key, so that it is not the first to go.
const COUNT_NEW: u8 = 5;
const MINUTE_S: u32 = 60;

/// Whether uses are counted, and how; see `lfu-log-factor` and `lfu-decay-time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessRule {
    /// A policy that wants to know how often keys are used is in force.
    pub counts: bool,
    pub log_factor: u32,
    /// Minutes without use that lower a count by one; 0: it stays.
    pub decay_min: u32,
}

/// The last use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u32);

impl Access {
    /// That of a key which is made now.
    #[inline]
    pub fn new(now_ms: i64) -> Self {
        Self::of(clock(now_ms), COUNT_NEW)
    }

    #[inline]
    fn of(clock: u32, count: u8) -> Self {
        Self(clock << COUNT_BITS | u32::from(count))
    }

    #[inline]
    fn clock(self) -> u32 {
        self.0 >> COUNT_BITS
    }

    /// Notes a use. Nothing is written where nothing changes, which is how most reads of a busy key end.
    #[inline]
    pub fn touch(&mut self, now_ms: i64, rule: AccessRule, rng: &mut Rng) {
        let now = clock(now_ms);
        if rule.counts {
            self.count_use(now, rule, rng);
        } else if self.clock() != now {
            *self = Self::of(now, self.0 as u8);
        }
    }

    fn count_use(&mut self, now: u32, rule: AccessRule, rng: &mut Rng) {
        let mut count = self.decayed(now, rule);
        // The higher the count, the more uses it takes to raise it.
        let above = f64::from(count.saturating_sub(COUNT_NEW));
        if count < u8::MAX && rng.f64() < 1.0 / (above * f64::from(rule.log_factor) + 1.0) {
            count += 1;
        }
        let next = Self::of(now, count);
        if next != *self {
            *self = next;
        }
    }

    /// The count, lowered by the time without use.
    #[inline]
    pub fn count(self, now_ms: i64, rule: AccessRule) -> u8 {
        self.decayed(clock(now_ms), rule)
    }

    #[inline]
    fn decayed(self, now: u32, rule: AccessRule) -> u8 {
        let count = self.0 as u8;
        let elapsed_s = now.wrapping_sub(self.clock()) & CLOCK_MASK;
        // Minutes that have begun since: what is used every 59 seconds has to decay, too.
        let minutes = (self.clock() % MINUTE_S + elapsed_s) / MINUTE_S;
        let periods = minutes.checked_div(rule.decay_min).unwrap_or(0);
        count.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// Seconds since the last use.
    #[inline]
    pub fn idle_s(self, now_ms: i64) -> u32 {
        let (now, last) = (clock(now_ms), self.clock());
        if now >= last {
            now - last
        } else {
            now + (CLOCK_MASK - last)
        }
    }

    /// As if the last use had been so long ago, as far as the clock reaches.
    #[must_use]
    pub fn with_idle_s(self, now_ms: i64, idle_s: i64) -> Self {
        let mut last = i64::from(clock(now_ms)).wrapping_sub(idle_s);
        if last < 0 {
            last = last.wrapping_add(i64::from(CLOCK_MASK));
        }
        Self::of(last as u32 & CLOCK_MASK, self.0 as u8)
    }

    #[must_use]
    pub fn with_count(self, now_ms: i64, count: u8) -> Self {
        Self::of(clock(now_ms), count)
    }

    /// The number that Redis would have: the clock, or minutes and count.
    pub fn number(self, now_ms: i64, rule: AccessRule) -> u32 {
        if !rule.counts {
            return self.clock();
        }
        let used_s = now_ms / 1000 - i64::from(self.idle_s(now_ms));
        let minutes = (used_s / i64::from(MINUTE_S)) as u32 & u32::from(u16::MAX);
        minutes << COUNT_BITS | self.0 & u32::from(u8::MAX)
    }
}

#[inline]
fn clock(now_ms: i64) -> u32 {
    (now_ms / 1000) as u32 & CLOCK_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;
    const LRU: AccessRule = AccessRule {
        counts: false,
        log_factor: 10,
        decay_min: 1,
    };
    const LFU: AccessRule = AccessRule {
        counts: true,
        ..LRU
    };

    #[test]
    fn idle_time_is_that_since_the_last_use() {
        let mut rng = Rng::with_seed(1);
        let mut access = Access::new(NOW_MS);
        assert_eq!(access.idle_s(NOW_MS + 999), 0);
        assert_eq!(access.idle_s(NOW_MS + 90_000), 90);
        access.touch(NOW_MS + 90_000, LRU, &mut rng);
        assert_eq!(access.idle_s(NOW_MS + 91_000), 1);
        assert_eq!(
            access.count(NOW_MS + 90_000, LFU),
            COUNT_NEW,
            "it is not counted"
        );
        for idle_s in [0, 5, 10_000_000] {
            let access = access.with_idle_s(NOW_MS, idle_s);
            assert_eq!(i64::from(access.idle_s(NOW_MS)), idle_s);
        }
    }

    #[test]
    fn the_clock_goes_round() {
        let end_ms = (i64::from(CLOCK_MASK) + 1) * 1000 * 100;
        let access = Access::new(end_ms - 10_000);
        // As in Redis, a second is lost there.
        assert_eq!(access.idle_s(end_ms + 5_000), 14);
    }

    #[test]
    fn a_count_follows_the_logarithm_of_uses_and_decays() {
        let mut rng = Rng::with_seed(7);
        let counted = |uses: usize, rng: &mut Rng| {
            let mut access = Access::new(NOW_MS);
            (0..uses).for_each(|_| access.touch(NOW_MS, LFU, rng));
            access
        };
        // The table of redis.conf: with the factor 10, 100 uses give 10, 1,000 give 18, 100,000 give 142.
        for (uses, expected) in [(100, 10), (1_000, 18), (100_000, 142)] {
            let count = counted(uses, &mut rng).count(NOW_MS, LFU);
            assert!(
                count.abs_diff(expected) <= expected / 4 + 1,
                "{uses} uses give {count}"
            );
        }
        let access = counted(100_000, &mut rng);
        let count = access.count(NOW_MS, LFU);
        assert_eq!(access.count(NOW_MS + 60_000, LFU), count - 1);
        assert_eq!(access.count(NOW_MS + 600_000, LFU), count - 10);
        assert_eq!(access.count(NOW_MS + 60_000 * 256, LFU), 0);
        let slow = AccessRule {
            decay_min: 10,
            ..LFU
        };
        assert_eq!(access.count(NOW_MS + 600_000, slow), count - 1);
        let never = AccessRule {
            decay_min: 0,
            ..LFU
        };
        assert_eq!(access.count(NOW_MS + 60_000 * 256, never), count);
        let always = AccessRule {
            log_factor: 0,
            ..LFU
        };
        let mut access = Access::new(NOW_MS);
        (0..1000).for_each(|_| access.touch(NOW_MS, always, &mut rng));
        assert_eq!(access.count(NOW_MS, always), u8::MAX);
    }

    #[test]
    fn it_is_shown_as_redis_shows_it() {
        let access = Access::new(NOW_MS).with_count(NOW_MS, 200);
        // 1,800,000,000 seconds are 0x6b49d200, and 30,000,000 minutes 0x1c9c380.
        assert_eq!(access.number(NOW_MS, LRU), 0x49_d200);
        assert_eq!(access.number(NOW_MS, LFU), 0xc3_80c8);
    }
}
