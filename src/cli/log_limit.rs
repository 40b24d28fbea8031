//! Limits the log lines that one place of the program writes, and logs how many were left out.
//!
//! A peer can cause any number of log lines, and the log must never fill the disk.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::{Level, Log, Metadata, Record};

/// The lines that one place may write at once.
const BURST: u32 = 200;

/// The time after which a place may write one more line.
const REFILL: Duration = Duration::from_secs(1);

/// The interval at which the number of lines that were left out is logged.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The place in the source that logs a line: module, line and level. The program has a fixed number of these.
type Site = (&'static str, u32, Level);

/// The allowance of one place.
#[derive(Debug)]
struct Bucket {
    /// The lines that it may still write.
    left: u32,
    /// When `left` was last raised.
    refilled: Instant,
    /// The lines left out since the last report.
    missed: u64,
    reported: Instant,
}

#[derive(Debug, Default)]
struct Buckets(BTreeMap<Site, Bucket>);

impl Buckets {
    /// Whether a line may be written now.
    fn admits(&mut self, site: Site, now: Instant) -> bool {
        let bucket = self.0.entry(site).or_insert(Bucket { left: BURST, refilled: now, missed: 0, reported: now });
        let more = (now.duration_since(bucket.refilled).as_micros() / REFILL.as_micros()).min(BURST.into()) as u32;
        if more > 0 {
            (bucket.left, bucket.refilled) = ((bucket.left + more).min(BURST), now);
        }
        if bucket.left == 0 {
            if bucket.missed == 0 {
                bucket.reported = now;
            }
            bucket.missed += 1;
            return false;
        }
        bucket.left -= 1;
        true
    }

    /// Returns the places whose lines were left out, with the numbers of lines. If `all` is not set, only those whose last
    /// report is long ago.
    fn take_missed(&mut self, now: Instant, all: bool) -> Vec<(Site, u64)> {
        let due = self
            .0
            .iter_mut()
            .filter(|(_, it)| it.missed > 0 && (all || now.duration_since(it.reported) >= REPORT_EVERY));
        let take = |(site, bucket): (&Site, &mut Bucket)| {
            bucket.reported = now;
            (*site, std::mem::take(&mut bucket.missed))
        };
        due.map(take).collect()
    }
}

/// A logger with a limit for each place.
pub struct Limited<L> {
    logger: L,
    buckets: Mutex<Buckets>,
}

impl<L: Log> Limited<L> {
    pub fn new(logger: L) -> Limited<L> {
        Limited { logger, buckets: Mutex::default() }
    }

    fn report_missed(&self, missed: Vec<(Site, u64)>) {
        for ((module, line, level), count) in missed {
            let text = format_args!("{count} more log lines like those before were not written, to save disk space");
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
        // Debug output was asked for, so nothing is left out.
        if record.level() > Level::Info {
            return self.logger.log(record);
        }
        let site = (record.module_path_static().unwrap_or(""), record.line().unwrap_or(0), record.level());
        let now = Instant::now();
        let Ok(mut buckets) = self.buckets.lock() else { return };
        let (missed, admits) = (buckets.take_missed(now, false), buckets.admits(site, now));
        drop(buckets);
        self.report_missed(missed);
        if admits {
            self.logger.log(record);
        }
    }

    /// Also reports the lines that were left out.
    fn flush(&self) {
        let missed = self.buckets.lock().map(|mut buckets| buckets.take_missed(Instant::now(), true));
        self.report_missed(missed.unwrap_or_default());
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
        assert_eq!(written, BURST as usize + 4, "nearly 5 seconds");
        assert!(buckets.admits(("m", 2, Level::Info), begin) && buckets.admits(("m", 1, Level::Warn), begin));
        let end = begin + Duration::from_secs(5);
        assert!(buckets.take_missed(end, false).is_empty());
        let missed = vec![(SITE, 68_498 - written as u64)];
        assert_eq!(buckets.take_missed(begin + REPORT_EVERY + Duration::from_secs(1), false), missed);
        assert!(buckets.take_missed(end + REPORT_EVERY * 9, true).is_empty(), "each line is reported once");
    }

    #[test]
    fn a_place_that_was_quiet_regains_its_burst() {
        let (mut buckets, begin) = (Buckets::default(), Instant::now());
        let burst = |buckets: &mut Buckets, at| (0..2 * BURST).filter(|_| buckets.admits(SITE, at)).count();
        assert_eq!(burst(&mut buckets, begin), BURST as usize);
        assert_eq!(burst(&mut buckets, begin + REFILL * 7), 7);
        assert_eq!(burst(&mut buckets, begin + REFILL * 10_000), BURST as usize);
    }
}
