//! Limits how many log lines one place of the program writes: what a peer says can cause any number of them, and the log
//! must not fill the disk. How many were left out is written, too.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::{Level, Log, Metadata, Record};

/// How many lines one place may write at once.
const BURST: u32 = 200;

/// After how long it may write one more.
const REFILL: Duration = Duration::from_secs(1);

/// How often it is told how many were left out.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Where a line comes from. There are as many as the program has places that log.
type Site = (&'static str, u32, Level);

/// What one place has written.
#[derive(Debug)]
struct Bucket {
    left: u32,
    /// When that was counted.
    at: Instant,
    /// How many lines were left out since it was told.
    missed: u64,
    told: Instant,
}

/// All of them.
#[derive(Debug, Default)]
struct Buckets(BTreeMap<Site, Bucket>);

impl Buckets {
    /// Whether a line may be written now.
    fn admits(&mut self, site: Site, now: Instant) -> bool {
        let bucket = self.0.entry(site).or_insert(Bucket { left: BURST, at: now, missed: 0, told: now });
        let more = (now.duration_since(bucket.at).as_micros() / REFILL.as_micros()).min(BURST.into()) as u32;
        if more > 0 {
            (bucket.left, bucket.at) = ((bucket.left + more).min(BURST), now);
        }
        if bucket.left == 0 {
            if bucket.missed == 0 {
                bucket.told = now;
            }
            bucket.missed += 1;
            return false;
        }
        bucket.left -= 1;
        true
    }

    /// The places of which lines were left out, and how many, as far as that is to be told now.
    fn missed(&mut self, now: Instant, all: bool) -> Vec<(Site, u64)> {
        let due =
            self.0.iter_mut().filter(|(_, it)| it.missed > 0 && (all || now.duration_since(it.told) >= TOLD_EVERY));
        let take = |(site, bucket): (&Site, &mut Bucket)| {
            bucket.told = now;
            (*site, std::mem::take(&mut bucket.missed))
        };
        due.map(take).collect()
    }
}

/// A logger with limits.
pub struct Limited<L> {
    logger: L,
    buckets: Mutex<Buckets>,
}

impl<L: Log> Limited<L> {
    pub fn new(logger: L) -> Limited<L> {
        Limited { logger, buckets: Mutex::default() }
    }

    fn tell_missed(&self, missed: Vec<(Site, u64)>) {
        for ((module, line, level), count) in missed {
            let text = format_args!("{count} more log lines like those before were not written, to spare the disk");
            let mut record = Record::builder();
            record.level(level).target(module).module_path_static(Some(module)).line(Some(line));
            self.logger.log(&record.args(text).build());
        }
    }
}

impl<L: Log> Log for Limited<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.logger.enabled(record.metadata()) {
            return;
        }
        // Whoever asks for more than that wants all of it.
        if record.level() > Level::Info {
            return self.logger.log(record);
        }
        let site = (record.module_path_static().unwrap_or(""), record.line().unwrap_or(0), record.level());
        let now = Instant::now();
        let Ok(mut buckets) = self.buckets.lock() else { return };
        let (missed, admits) = (buckets.missed(now, false), buckets.admits(site, now));
        drop(buckets);
        self.tell_missed(missed);
        if admits {
            self.logger.log(record);
        }
    }

    /// Tells what was left out at the end.
    fn flush(&self) {
        let missed = self.buckets.lock().map(|mut buckets| buckets.missed(Instant::now(), true));
        self.tell_missed(missed.unwrap_or_default());
        self.logger.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = ("m", 1, Level::Info);

    #[test]
    fn a_flood_of_lines_is_limited_and_counted_and_other_places_are_not() {
        let (mut buckets, begin) = (Buckets::default(), Instant::now());
        let written = (0..68_498).filter(|nr| buckets.admits(SITE, begin + Duration::from_micros(69 * nr))).count();
        assert_eq!(written, BURST as usize + 4, "nearly 5 seconds of it");
        assert!(buckets.admits(("m", 2, Level::Info), begin) && buckets.admits(("m", 1, Level::Warn), begin));
        let end = begin + Duration::from_secs(5);
        assert!(buckets.missed(end, false).is_empty());
        let missed = vec![(SITE, 68_498 - written as u64)];
        assert_eq!(buckets.missed(begin + TOLD_EVERY + Duration::from_secs(1), false), missed);
        assert!(buckets.missed(end + TOLD_EVERY * 9, true).is_empty(), "it is told once");
    }

    #[test]
    fn a_place_that_was_quiet_may_write_as_many_again() {
        let (mut buckets, begin) = (Buckets::default(), Instant::now());
        let burst = |buckets: &mut Buckets, at| (0..2 * BURST).filter(|_| buckets.admits(SITE, at)).count();
        assert_eq!(burst(&mut buckets, begin), BURST as usize);
        assert_eq!(burst(&mut buckets, begin + REFILL * 7), 7);
        assert_eq!(burst(&mut buckets, begin + REFILL * 10_000), BURST as usize);
    }
}
