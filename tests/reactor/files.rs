//! Files that a turn writes, reads and lists.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use arete::machine::{APPENDS_HELD, Command, ErrorKind, Exit, Input, Signal, SystemError};
use arete::reactor::{Options, Reactor};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{Scratch, alone, connect, listening, plain, run, wait_for};

/// The signal to a process that writes beyond its limit. This process catches it, and the write fails as on a full
/// disk.
const XFSZ: Signal = Signal(25);

alone! {
    fn a_line_is_in_the_file_before_any_peer_receives_it() {
        let scratch = Scratch::new();
        let path = scratch.path("deep/down/log");
        let (reactor, address) = listening(Options { fsync: true, ..Options::default() });
        let log = path.clone();
        let client = thread::spawn(move || {
            let mut stream = connect(address);
            for round in 1..=200usize {
                stream.write_all(b"x").expect("it writes");
                stream.read_exact(&mut [0; 1]).expect("an answer");
                let length = fs::metadata(&log).expect("the log").len();
                assert_eq!(length, round as u64 * 8, "in round {round}");
            }
        });
        run(reactor, |_, input, out, _| match input {
            Input::Received { conn, .. } => {
                out.send(conn, b"y".as_slice().into());
                out.append(path.clone(), b"one\n".to_vec());
                out.append(path.clone(), b"two\n".to_vec());
            }
            Input::Closed { .. } => out.exit(0),
            _ => {}
        });
        client.join().expect("the client is content");
    }

    fn appends_are_held_until_something_goes_out_or_their_time_is_over() {
        let scratch = Scratch::new();
        let (log, soon) = (scratch.path("log"), scratch.path("soon"));
        let (reactor, address) = listening(Options::default());
        let (one, other) = (log.clone(), soon.clone());
        let client = thread::spawn(move || {
            let length = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
            let mut stream = connect(address);
            stream.write_all(b"a").expect("it writes");
            wait_for("an append that nothing follows", || length(&one) == 1 && length(&other) == 1);
            stream.write_all(b"s").expect("it writes");
            stream.read_exact(&mut [0; 1]).expect("an answer");
            assert_eq!(length(&one), 2, "it was written before the answer");
            wait_for("an append that may come soon", || length(&other) == 2);
            stream.write_all(b"x").expect("it writes");
        });
        run(reactor, |_, input, out, _| {
            let Input::Received { conn, bytes } = input else { return };
            out.append_soon(soon.clone(), bytes.to_vec());
            out.append(log.clone(), bytes.to_vec());
            match bytes {
                b"s" => out.send(conn, b"y".as_slice().into()),
                b"x" => out.exit(0),
                _ => {}
            }
        });
        client.join().expect("the client is content");
        let text = |path| fs::read_to_string(path).expect("a file");
        assert_eq!((text(&log), text(&soon)), ("asx".to_owned(), "asx".to_owned()), "nothing is lost at the end");
    }

    fn a_file_replaces_another_when_it_is_complete_and_later_appends_go_to_it() {
        let scratch = Scratch::new();
        let (path, new) = (scratch.path("d/log"), scratch.path("d/log.new"));
        let mut failed = Vec::new();
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                out.append(path.clone(), b"old\n".to_vec());
                out.append(new.clone(), b"one\n".to_vec());
                // One byte is missing, so the other file is kept.
                out.install(path.clone(), new.clone(), 5);
                out.append(path.clone(), b"older\n".to_vec());
                out.confirm();
            }
            Input::WriteFailed { path, error } => failed.push((path, error)),
            Input::Written { .. } if failed.len() == 1 => {
                assert_eq!(fs::read(&path).expect("the old one"), b"old\nolder\n");
                failed.push((new.clone(), "".into()));
                out.append(new.clone(), b"two\n".to_vec());
                out.install(path.clone(), new.clone(), 8);
                out.append(path.clone(), b"three\n".to_vec());
                out.confirm();
            }
            Input::Written { .. } => out.exit(0),
            _ => {}
        });
        assert_eq!(failed[0].0, new);
        assert!(failed[0].1.text.contains("4 bytes of it are there, and not 5"), "{:?}", failed[0]);
        assert_eq!((fs::read(&path).expect("the new one"), new.exists()), (b"one\ntwo\nthree\n".to_vec(), false));
    }

    fn files_are_written_replaced_read_and_listed() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.path(name);
        fs::create_dir_all(at("outside")).expect("a directory");
        fs::write(at("outside/secret.log"), "x").expect("a file");
        let (mut answers, mut unfit) = (Vec::<String>::new(), Vec::new());
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                out.make_dir(at("d/private"));
                out.write_at(at("d/tool"), 4, b"5678".to_vec(), true);
                out.write_at(at("d/tool"), 0, b"1234".to_vec(), false);
                out.append(at("d/a.log"), b"gone\n".to_vec());
                out.persist(at("d/a.log"), b"new\n".to_vec());
                out.append(at("d/a.log"), b"end\n".to_vec());
                out.append(at("d/sub/b.log"), b"b".to_vec());
                out.read(at("d/tool"), 2, 4);
                out.read(at("d/tool"), 8, 4);
                out.read(at("d/none"), 0, 4);
                out.read(at("d"), 0, 4);
            }
            Input::Read { result, .. } => {
                let text = result.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                answers.push(format!("{:?}", text.map_err(|error| error.text)));
                if answers.len() == 4 {
                    symlink(at("outside"), at("d/link")).expect("a link");
                    symlink(at("outside/secret.log"), at("d/c.log")).expect("a link");
                    symlink("a.log", at("d/e.log")).expect("a link");
                    symlink("nowhere", at("d/f.log")).expect("a link");
                    rustix::fs::mkfifoat(rustix::fs::CWD, at("d/g.log"), rustix::fs::Mode::RUSR).expect("a FIFO");
                    drop(UnixListener::bind(at("d/h.log")).expect("a socket"));
                    fs::write(at("d").join(OsStr::from_bytes(b"i\xff.log")), "x").expect("a file");
                    fs::write(at("d/j\n.log"), "x").expect("a file");
                    out.list(at("d"), vec!["*.log".to_owned(), "to?l".to_owned()]);
                    out.list(at("d"), vec!["**/*.log".to_owned()]);
                    out.list(at("d"), vec!["[".to_owned()]);
                }
            }
            Input::Listed { result, .. } => {
                answers.push(format!("{:?}", result.as_ref().map(|found| &found.files).map_err(|error| &error.text)));
                unfit.extend(result.map(|found| found.unfit).unwrap_or_default());
                if answers.len() == 7 {
                    out.exit(0);
                }
            }
            Input::WriteFailed { path, error } => panic!("{}: {error}", path.display()),
            _ => {}
        });
        let want = [
            r#"Ok("3456")"#,
            r#"Ok("")"#,
            r#"Err("no such file or directory")"#,
            r#"Err("not a regular file")"#,
            r#"Ok([("a.log", 8), ("e.log", 8), ("tool", 8)])"#,
            r#"Ok([("a.log", 8), ("e.log", 8), ("sub/b.log", 1)])"#,
        ];
        // No directory is read for an invalid pattern, so its answer may come before those of others.
        let invalid = answers.iter().position(|answer| answer.starts_with("Err(\"pattern"));
        answers.remove(invalid.unwrap_or_else(|| panic!("no error about a pattern: {answers:?}")));
        assert_eq!(answers, want);
        let unfit: Vec<String> = unfit.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let of_files = [
            "c.log: a symbolic link out of the directory",
            "f.log: a symbolic link: no such file or directory",
            "g.log: a FIFO",
            "h.log: a socket",
            "i\u{fffd}.log: its name is not UTF-8",
            "j\\n.log: its name has control characters, or some that turn the direction of text",
        ];
        assert_eq!(unfit[..6], of_files);
        // The second pattern reads directories too.
        let link = "link: a symbolic link to a directory".to_owned();
        assert!(unfit[6..].contains(&link) && unfit.len() == 13, "{unfit:?}");
        assert_eq!(fs::read_to_string(at("d/a.log")).expect("the log"), "new\nend\n");
        let mode = |name: &str| fs::metadata(at(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode("d/private"), mode("d/tool") & 0o100), (0o700, 0o100));
        let names: Vec<_> = fs::read_dir(at("d")).expect("it lists").flatten().map(|entry| entry.file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "{names:?}");
    }

    fn a_program_can_be_started_in_the_turn_that_wrote_it() {
        let scratch = Scratch::new();
        let tool = scratch.path("tool");
        let mut end = None;
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                out.write_at(tool.clone(), 10, b"exit 5\n".to_vec(), true);
                out.write_at(tool.clone(), 0, b"#!/bin/sh\n".to_vec(), false);
                out.spawn(Command { argv: vec![tool.display().to_string()], ..Command::default() });
            }
            Input::SpawnFailed { error, .. } => panic!("{error}"),
            Input::Exited { exit, .. } => {
                end = Some(exit);
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!(end, Some(Exit::Code(5)));
    }

    fn a_full_disk_is_reported_once_before_any_send_and_leaves_no_half_line() {
        let scratch = Scratch::new();
        let log = scratch.path("log");
        let options = Options { signals: vec![XFSZ], ..Options::default() };
        let reactor = Reactor::new(options).expect("a reactor");
        setrlimit(Resource::Fsize, Rlimit { current: Some(20), maximum: None }).expect("a small disk");
        let mut failures: Vec<(PathBuf, SystemError)> = Vec::new();
        let mut rounds = 0;
        run(reactor, |now, input, out, wake| match input {
            Input::Begin | Input::Deadline => {
                rounds += 1;
                out.append(log.clone(), b"a line\n".to_vec());
                *wake = Some(now + 2 * APPENDS_HELD);
                if rounds == 10 {
                    out.exit(0);
                }
            }
            Input::WriteFailed { path, error } => failures.push((path, error)),
            _ => {}
        });
        assert_eq!(fs::read_to_string(&log).expect("the log"), "a line\na line\n");
        assert_eq!(failures, [(log.clone(), SystemError::new(ErrorKind::FileTooLarge, "file too large"))]);
    }

    fn a_full_device_is_reported() {
        let mut why = String::new();
        run(plain(), |_, input, out, _| match input {
            Input::Begin => out.append("/dev/full".into(), b"x".to_vec()),
            Input::WriteFailed { error, .. } => {
                why = error.text;
                out.exit(0);
            }
            _ => {}
        });
        assert!(why.starts_with("no space left on device: make room"), "{why}");
    }
}
