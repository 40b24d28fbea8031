//! Child processes and signals.

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use arete::machine::{ChildId, Command, Exit, Input, Signal};
use arete::reactor::{Options, Reactor};

use crate::{Scratch, alone, plain, run, shell, wait_for};

/// Returns whether a process lives. A zombie does not.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().expect("fields").starts_with('Z'))
}

/// The states of this process's children.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let stats = fs::read_dir("/proc").expect("/proc").flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&own)).collect()
}

/// The content of a file that a script writes, once it is a whole line.
fn line(path: &Path) -> String {
    let mut text = String::new();
    wait_for("a line in a file", || {
        text = fs::read_to_string(path).unwrap_or_default();
        text.ends_with('\n')
    });
    text.trim().to_owned()
}

fn subreaper() -> Reactor {
    Reactor::new(Options { subreaper: true, ..Options::default() }).expect("a reactor")
}

alone! {
    fn a_child_tells_how_it_ended_and_leaves_no_zombie() {
        let mut ends: Vec<(ChildId, Exit)> = Vec::new();
        let mut started = Vec::new();
        let mut zombies = Vec::new();
        run(plain(), |now, input, out, wake| match input {
            Input::Begin => {
                started = ["exit 3", "kill -TERM $$", "true"].map(|script| out.spawn(shell(script))).to_vec();
            }
            Input::Exited { child, exit } => {
                ends.push((child, exit));
                *wake = Some(now + Duration::from_millis(50));
            }
            Input::Deadline if ends.len() == 3 => {
                zombies = children();
                out.exit(0);
            }
            Input::SpawnFailed { error, .. } => panic!("{error}"),
            _ => {}
        });
        ends.sort_by_key(|(child, _)| *child);
        let exits: Vec<Exit> = ends.iter().map(|(_, exit)| *exit).collect();
        assert_eq!(exits, [Exit::Code(3), Exit::Signal(Signal::TERM), Exit::Code(0)]);
        assert_eq!(ends.iter().map(|(child, _)| *child).collect::<Vec<_>>(), started);
        assert_eq!(zombies, Vec::<String>::new());
    }

    fn a_missing_program_is_reported() {
        let mut why = String::new();
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                out.spawn(Command { argv: vec!["no-such-thing".to_owned()], ..Command::default() });
            }
            Input::SpawnFailed { error, .. } => {
                why = error.text;
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!(why, "cannot start no-such-thing: no such file or directory");
    }

    fn a_command_whose_output_cannot_be_created_is_not_started() {
        let scratch = Scratch::new();
        fs::write(scratch.path("file"), "").expect("a file");
        let made = Process::new("mkfifo").arg(scratch.path("fifo")).status().expect("mkfifo runs");
        assert!(made.success());
        let mut errors = Vec::new();
        run(plain(), |_, input, out, _| match input {
            Input::Begin => ["file/x", "fifo"].iter().for_each(|name| {
                out.spawn(Command { stdout: Some(scratch.path(name)), ..shell("true") });
            }),
            Input::Spawned { .. } => panic!("it was started"),
            Input::SpawnFailed { error, .. } => {
                errors.push(error.text);
                if errors.len() == 2 {
                    out.exit(0);
                }
            }
            _ => {}
        });
        let shown = |name: &str, why: &str| format!("{}: {why}", scratch.path(name).display());
        assert_eq!(errors, [shown("file/x", "not a directory"), shown("fifo", "no such device or address")]);
    }

    fn a_command_gets_its_directory_environment_input_path_and_limit() {
        let scratch = Scratch::new();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let low = rustix::process::Rlimit { current: Some(123), ..limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, low).expect("a low limit");
        // The commands inherit the descriptors that the test itself was started with.
        let count = Process::new("sh").args(["-c", "ls /proc/self/fd | wc -l"]).output().expect("it counts").stdout;
        let count = String::from_utf8(count).expect("a number");
        let (cwd, out_path) = (scratch.path("work/here"), scratch.path("results/x.out"));
        let script = "pwd; echo $A; cat; ulimit -n; echo \"$PATH\" | cut -d: -f1; ls /proc/self/fd | wc -l";
        let command = Command {
            cwd: Some(cwd.clone()),
            make_cwd: true,
            env: vec![("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())],
            arete_on_path: true,
            stdout: Some(out_path.clone()),
            stderr: Some(out_path.clone()),
            stdin: Some(b"in\n".to_vec()),
            ..shell(script)
        };
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                out.spawn(command.clone());
            }
            Input::Exited { .. } => out.exit(0),
            Input::SpawnFailed { error, .. } => panic!("{error}"),
            _ => {}
        });
        let own = std::env::current_exe().expect("own path");
        let want = format!("{}\n2\nin\n123\n{}\n{count}", cwd.display(), own.parent().expect("a directory").display());
        assert_eq!(fs::read_to_string(&out_path).expect("its output"), want);
    }

    fn a_group_is_signalled_with_its_grandchildren_also_when_the_first_process_has_died() {
        let scratch = Scratch::new();
        let pid_file = scratch.path("pid");
        let script = format!("sleep 1000 & echo $! > {}; kill -KILL $$", pid_file.display());
        let mut grandchild = String::new();
        let (mut asked, mut zombies) = (None, Vec::new());
        run(subreaper(), |now, input, out, wake| match input {
            Input::Begin => {
                out.spawn(shell(&script));
            }
            // Not at once, because the group must be reachable later too.
            Input::Exited { child, exit } => {
                assert_eq!(exit, Exit::Signal(Signal::KILL));
                grandchild = line(&pid_file);
                asked = Some(child);
                *wake = Some(now + Duration::from_millis(300));
            }
            Input::Deadline => match asked.take() {
                Some(child) => {
                    assert!(lives(&grandchild), "it has not been signalled yet");
                    out.kill_group(child, Signal::TERM);
                    *wake = Some(now + Duration::from_millis(20));
                }
                None if children().is_empty() => out.exit(0),
                None => {
                    zombies = children();
                    *wake = Some(now + Duration::from_millis(20));
                }
            },
            _ => {}
        });
        assert!(!lives(&grandchild), "{zombies:?}");
    }

    fn a_group_can_be_signalled_in_answer_to_the_exit_of_its_leader() {
        let scratch = Scratch::new();
        let pid_file = scratch.path("pid");
        let script = format!("sleep 1000 & echo $! > {}; kill -TERM $$", pid_file.display());
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                out.spawn(shell(&script));
            }
            Input::Exited { child, exit: Exit::Signal(signal) } => {
                out.kill_group(child, signal);
                out.exit(0);
            }
            _ => {}
        });
        let grandchild = line(&pid_file);
        wait_for("the grandchild's end", || !lives(&grandchild));
    }

    fn a_daemon_that_left_its_group_is_swept() {
        let scratch = Scratch::new();
        let pid_file = scratch.path("pid");
        let script = format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' & exit 0", pid_file.display());
        let (mut counts, mut daemon) = (Vec::new(), String::new());
        run(subreaper(), |now, input, out, wake| match input {
            Input::Begin => {
                out.spawn(shell(&script));
            }
            Input::Exited { child, .. } => {
                daemon = line(&pid_file);
                out.kill_group(child, Signal::KILL);
                out.sweep(Signal::TERM);
            }
            Input::Swept { left } => {
                counts.push(left);
                match left {
                    0 => out.exit(0),
                    _ => *wake = Some(now + Duration::from_millis(20)),
                }
            }
            Input::Deadline => out.sweep(Signal::KILL),
            _ => {}
        });
        assert_eq!(counts.first(), Some(&1), "{counts:?}");
        assert!(!lives(&daemon));
        assert_eq!(children(), Vec::<String>::new());
    }

    fn stopped_processes_are_resumed_to_get_the_signal_in_and_outside_of_the_group() {
        let scratch = Scratch::new();
        let inner = scratch.path("inner.sh");
        fs::write(&inner, "trap 'exit 5' TERM; kill -STOP $$; sleep 1000").expect("a script");
        let script = format!("trap 'exit 4' TERM; setsid sh {} & kill -STOP $$; sleep 1000", inner.display());
        let stopped = || children().iter().filter(|stat| stat.contains(") T ")).count();
        let (mut exits, mut asked) = (Vec::new(), None);
        run(subreaper(), |now, input, out, wake| match input {
            Input::Begin => {
                asked = Some(out.spawn(shell(&script)));
                *wake = Some(now + Duration::from_millis(20));
            }
            // Only the first is a child of this process.
            Input::Deadline => match asked {
                Some(child) if stopped() == 1 => {
                    asked = None;
                    out.kill_group(child, Signal::TERM);
                }
                Some(_) => *wake = Some(now + Duration::from_millis(20)),
                None if stopped() == 1 => out.sweep(Signal::TERM),
                None if children().is_empty() => out.exit(0),
                None => *wake = Some(now + Duration::from_millis(20)),
            },
            Input::Exited { exit, .. } => {
                exits.push(exit);
                *wake = Some(now + Duration::from_millis(20));
            }
            Input::Swept { .. } => *wake = Some(now + Duration::from_millis(20)),
            _ => {}
        });
        assert_eq!(exits, [Exit::Code(4)]);
    }

    fn a_child_leads_a_session_of_its_own() {
        let scratch = Scratch::new();
        let out_path = scratch.path("out");
        let command = Command { stdout: Some(out_path.clone()), ..shell("cat /proc/$$/stat") };
        let mut child_pid = 0;
        run(plain(), |_, input, out, _| match input {
            Input::Begin => drop(out.spawn(command.clone())),
            Input::Spawned { pid, .. } => child_pid = pid,
            Input::Exited { .. } => out.exit(0),
            _ => {}
        });
        let stat = fs::read_to_string(&out_path).expect("its output");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        let pid = child_pid.to_string();
        // Its group, its session, and no terminal.
        assert_eq!(fields[2..5], [pid.as_str(), &pid, "0"], "{stat}");
    }

    fn a_hundred_children_that_exit_at_once_are_all_reported() {
        let mut left = 100;
        run(plain(), |_, input, out, _| match input {
            Input::Begin => {
                for i in 0..100 {
                    out.spawn(shell(&format!("exit {i}")));
                }
            },
            Input::Exited { .. } => {
                left -= 1;
                if left == 0 {
                    out.exit(0);
                }
            }
            _ => {}
        });
        assert_eq!(left, 0);
    }

    fn a_command_that_dies_with_us_does_when_we_are_killed() {
        let scratch = Scratch::new();
        if let Ok(path) = std::env::var("ARETE_TEST_VICTIM") {
            let script = format!("echo $$ > {path}; exec sleep 1000");
            let command = Command { dies_with_us: true, ..shell(&script) };
            run(plain(), |_, input, out, _| {
                if matches!(input, Input::Begin) {
                    out.spawn(command.clone());
                }
            });
        }
        let pid_file = scratch.path("pid");
        let mut victim = Process::new(std::env::current_exe().expect("own path"))
            .args(["--exact", "processes::a_command_that_dies_with_us_does_when_we_are_killed", "--nocapture"])
            .env("ARETE_TEST_VICTIM", &pid_file)
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let child = line(&pid_file);
        assert!(lives(&child));
        victim.kill().expect("it is killed");
        victim.wait().expect("it is dead");
        wait_for("the command's end", || !lives(&child));
    }

    fn the_requested_signals_become_inputs() {
        let options = Options { signals: vec![Signal::USR1, Signal::TERM], ..Options::default() };
        let mut heard = Vec::new();
        run(Reactor::new(options).expect("a reactor"), |_, input, out, _| match input {
            Input::Begin => {
                let own = std::process::id();
                out.spawn(shell(&format!("kill -USR1 {own}; sleep 0.1; kill -TERM {own}")));
            }
            Input::Signal(signal) => {
                heard.push(signal);
                if signal == Signal::TERM {
                    out.exit(0);
                }
            }
            _ => {}
        });
        assert_eq!(heard, [Signal::USR1, Signal::TERM]);
    }
}
