//! The cost of a notify before the controller counts it: splitting the stream into lines, and decoding a line.

use std::hint::black_box;
use std::time::Instant;

use arete::wire::{Frames, LINE_MAX, Message, Noted, Notify, ToController};

/// The number of lines in one read of the throughput row.
const LINES: u64 = 32;

/// The repetitions in a batch, and the number of batches. The fastest batch counts.
const REPEAT: u64 = 1_000;
const BATCHES: usize = 15;

/// Returns the rows: a description, and nanoseconds for each line.
pub fn measure() -> Vec<(&'static str, f64)> {
    let room = "fanout-20260101T000000Z";
    let mut bytes = Vec::new();
    for count in 1_000..1_000 + LINES {
        Notify { room: room.into(), trigger: "flood".into(), count, data: None }.write_to(&mut bytes);
    }
    let mut frames = Frames::default();
    let cut = best(|| {
        let mut lines = 0;
        frames
            .feed(black_box(&bytes), LINE_MAX, |line| {
                lines += line.len();
                true
            })
            .expect("the lines are short");
        black_box(lines);
    });
    let both = best(|| {
        let mut sum = 0;
        frames
            .feed(black_box(&bytes), LINE_MAX, |line| {
                if let Ok(ToController::Notify(notify)) = ToController::decode(line) {
                    sum += notify.count;
                }
                true
            })
            .expect("the lines are short");
        black_box(sum);
    });
    let mut answer = Vec::new();
    let encode = best(|| {
        for count in 0..LINES {
            answer.clear();
            Noted { room: room.into(), trigger: "flood".into(), count, left: 1_000_000, in_time: None }
                .write_to(&mut answer);
            black_box(&answer);
        }
    });
    vec![("cut a notify out of the stream", cut), ("cut and decode a notify", both), ("encode an answer", encode)]
}

fn best(mut batch: impl FnMut()) -> f64 {
    let mut lowest = f64::INFINITY;
    for _ in 0..BATCHES {
        let begin = Instant::now();
        for _ in 0..REPEAT {
            batch();
        }
        lowest = lowest.min(begin.elapsed().as_nanos() as f64 / (REPEAT * LINES) as f64);
    }
    lowest
}
