//! Standard output without a reader.

use std::io::{Read, Write};
use std::time::Duration;

use arete::machine::{Input, Stream};
use arete::reactor::LogPipe;

use crate::{alone, plain, run};

alone! {
    fn a_pipe_without_a_reader_stops_nothing_and_dropped_lines_are_counted() {
        let (theirs, ours) = std::io::pipe().expect("a pipe");
        let (_never_read, log) = std::io::pipe().expect("a pipe");
        let kept = (
            rustix::stdio::stdout().try_clone_to_owned().expect("a copy"),
            rustix::stdio::stderr().try_clone_to_owned().expect("a copy"),
        );
        rustix::stdio::dup2_stdout(&ours).expect("standard output is the pipe");
        rustix::stdio::dup2_stderr(&log).expect("standard error too");
        drop((ours, log));
        let line = [b"0123456789".repeat(100).as_slice(), b"\n"].concat();
        let mut rounds = 0;
        let mut reader = None;
        run(plain(), |now, input, out, wake| {
            if !matches!(input, Input::Begin | Input::Deadline) {
                return;
            }
            rounds += 1;
            if rounds <= 30 {
                (0..100).for_each(|_| out.print(Stream::Out, line.clone()));
                LogPipe::new().write_all(&line.repeat(100)).expect("it never fails");
                *wake = Some(now + Duration::from_millis(1));
            } else if reader.is_none() {
                let mut theirs = theirs.try_clone().expect("a clone");
                reader = Some(std::thread::spawn(move || {
                    let (mut all, mut buffer) = (Vec::new(), [0; 65536]);
                    while !all.ends_with(b"the end\n") {
                        let n = theirs.read(&mut buffer).expect("it reads");
                        all.extend_from_slice(&buffer[..n]);
                    }
                    all
                }));
                *wake = Some(now + Duration::from_millis(500));
            } else {
                out.print(Stream::Out, b"the end\n".to_vec());
                out.exit(0);
            }
        });
        rustix::stdio::dup2_stdout(&kept.0).expect("standard output is back");
        rustix::stdio::dup2_stderr(&kept.1).expect("standard error too");
        let all = reader.expect("a reader").join().expect("it read");
        let text = String::from_utf8(all).expect("text");
        let shown = text.lines().filter(|line| line.len() == 1000).count();
        let note = text.lines().find(|line| line.ends_with("lines not shown)")).expect("a note");
        let left_out: usize = note.trim_start_matches('(').split(' ').next().expect("a count").parse().expect("a number");
        assert_eq!(shown + left_out, 3000, "{note}");
        assert!(shown >= 1000, "{shown} lines");
    }
}
