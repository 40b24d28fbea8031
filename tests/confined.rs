//! arete where the system refuses something: a `/proc` of another pid namespace, no loopback interface, no file locks,
//! failing system calls.

#![forbid(unsafe_code)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Needed, Place, Program, is_root, missing, skip};

const ARETE: &str = env!("CARGO_BIN_EXE_arete");

/// The limit on the time until arete reports that its own slaves do not connect.
const TOLD_WITHIN: Duration = Duration::from_secs(12);

/// A test of one slave with this entry.
fn test(place: &Place, shell: &str) {
    let entry = format!(r#"{{"name": "x", "at": 0, "shell": {}}}"#, serde_json::Value::from(shell));
    let end = r#"{"idle": true, "limit": "1min"}"#;
    place.write(
        "t.json",
        format!(r#"{{ "name": "t", "end": {end}, "grace": "1s", "slaves": {{ "a": ["s"] }}, "schedules": {{ "s": [{entry}] }} }}"#),
    );
}

/// A script in new namespaces. Without root, a new user namespace is added.
fn unshared<'a>(place: &'a Place, namespaces: &[&str], script: &str) -> Program<'a> {
    place.program(unshare(namespaces, script))
}

fn unshare(namespaces: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("-Ur");
    }
    command.args(namespaces).args(["sh", "-c", script]);
    command
}

/// Returns whether new namespaces are possible. If not, prints that the test is skipped.
fn can_unshare(test: &str, namespaces: &[&str]) -> bool {
    let can = unshare(namespaces, "true").output().is_ok_and(|output| output.status.success());
    if !can {
        skip(test, "it needs root or user namespaces, and unshare(1)", Needed::InCi);
    }
    can
}

/// arete under strace(1), which makes system calls fail as its options say.
fn refusing<'a>(place: &'a Place, refused: &[&str], args: &[&str]) -> Program<'a> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    command.args(refused).arg(ARETE).args(args);
    place.program(command)
}

fn can_trace(test: &str) -> bool {
    let can = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    let why = missing(&["strace"])
        .or((!can.is_ok_and(|output| output.status.success())).then(|| "it may not trace".to_owned()));
    if let Some(why) = &why {
        skip(test, why, Needed::InCi);
    }
    why.is_none()
}

#[test]
fn no_other_process_is_killed_where_proc_is_of_another_pid_namespace_and_that_is_reported() {
    let name = "no_other_process_is_killed_where_proc_is_of_another_pid_namespace_and_that_is_reported";
    if !can_unshare(name, &["--pid", "--fork"]) {
        return;
    }
    let place = Place::new("foreign-proc");
    // A process that has left its group lives for a while, so that a search for it would be needed.
    test(&place, "sleep 100 & setsid sleep 2 & sleep 0.1; echo done; kill -KILL $$");
    // So many other processes that a pid of the other namespace probably is the pid of one of them.
    let script = format!(
        "'{ARETE}' run t.json --results results & run=$!
         bystanders=; for i in $(seq 100); do sleep 100 & bystanders=\"$bystanders $!\"; done
         wait $run; echo \"exit $?\"
         living=0; for pid in $bystanders; do kill -0 $pid && living=$((living + 1)); done; echo \"$living live\"
         kill -KILL $bystanders"
    );
    let ended = unshared(&place, &["--pid", "--fork"], &script).run();
    assert!(ended.stdout.contains("\n100 live\n"), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("\nexit 1\n"), "the command was killed, not the run: {}", ended.stdout);
    let warning = "/proc is not of this pid namespace";
    let warned = place.events("results").into_iter().filter(|event| event.to_string().contains(warning));
    assert_eq!(warned.count(), 1, "it is reported once");
    assert!(ended.stdout.contains(warning), "it is in the report: {}", ended.stdout);
    assert!(!ended.stdout.contains("cannot be killed"), "what stays in its group is ended: {}", ended.stdout);
    place.assert_nothing_left();
}

#[test]
fn a_run_in_a_new_pid_namespace_with_its_own_proc_leaves_nothing() {
    let name = "a_run_in_a_new_pid_namespace_with_its_own_proc_leaves_nothing";
    let namespaces = ["--pid", "--fork", "--mount-proc"];
    if !can_unshare(name, &namespaces) {
        return;
    }
    let place = Place::new("own-proc");
    test(&place, "setsid sleep 100 & sleep 0.1");
    let script = format!("'{ARETE}' run t.json --results results; echo exit $?; grep -l sleep /proc/[0-9]*/comm; true");
    let ended = unshared(&place, &namespaces, &script).run().exits_with(0);
    assert!(ended.stdout.ends_with("exit 0\n"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("/proc is not"), "{}", ended.stderr);
}

#[test]
fn a_run_with_slaves_that_cannot_connect_ends_with_their_last_lines() {
    let name = "a_run_with_slaves_that_cannot_connect_ends_with_their_last_lines";
    if !can_unshare(name, &["--net"]) {
        return;
    }
    let place = Place::new("no-loopback");
    test(&place, "true");
    let script = format!("exec '{ARETE}' run t.json --results results");
    let ended = unshared(&place, &["--net"], &script).run();
    assert!(ended.took < TOLD_WITHIN, "{:?}", ended.took);
    assert!(ended.code() != 0, "{}", ended.stdout);
    for said in
        ["slave a was lost: it has not connected within 8s", "network is unreachable", "its log is results/a/arete.log"]
    {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    place.assert_nothing_left();
}

#[test]
fn a_run_with_filtered_slaves_ends_too() {
    let name = "a_run_with_filtered_slaves_ends_too";
    if let Some(why) = missing(&["nft", "ip"]) {
        return skip(name, &why, Needed::InCi);
    }
    let filter = "ip link set lo up && nft add table ip f && nft 'add chain ip f in { type filter hook input priority 0; }' \
                  && nft add rule ip f in tcp flags syn drop";
    if !can_unshare(name, &["--net"]) || !unshare(&["--net"], filter).output().is_ok_and(|done| done.status.success()) {
        return skip(name, "nftables do not work here", Needed::InCi);
    }
    let place = Place::new("filtered");
    test(&place, "true");
    let ended = unshared(&place, &["--net"], &format!("{filter} && exec '{ARETE}' run t.json --results results")).run();
    assert!(ended.took < TOLD_WITHIN && ended.code() != 0, "{:?}: {}", ended.took, ended.stdout);
    assert!(ended.stdout.contains("it has not connected within 8s"), "{}", ended.stdout);
    place.assert_nothing_left();
}

#[test]
fn a_file_system_without_locks_is_worked_on_with_a_warning() {
    if !can_trace("a_file_system_without_locks_is_worked_on_with_a_warning") {
        return;
    }
    for error in ["ENOLCK", "ENOSYS", "EOPNOTSUPP"] {
        let place = Place::new("no-locks");
        test(&place, "true");
        let refused = format!("--inject=flock:error={error}");
        let ended = refusing(&place, &[&refused], &["run", "t.json", "--results", "results"]).run().exits_with(0);
        ended.complains(&["results: the file system has no locks", "make sure that no other arete works there"]);
        assert!(
            place.read("results/a/arete.log").contains("lock: the file system has no locks"),
            "the slave says so too"
        );
        refusing(&place, &[&refused], &["pki", "init", "lab"]).run().exits_with(0);
        refusing(&place, &[&refused], &["pki", "issue", "lab", "a"]).run().exits_with(0).complains(&["no locks"]);
    }
}

#[test]
fn a_refused_system_call_of_a_new_process_is_named() {
    if !can_trace("a_refused_system_call_of_a_new_process_is_named") {
        return;
    }
    for (refused, said) in [
        (&["--inject=setsid:error=EPERM"][..], "cannot start "),
        (&["--inject=setsid:error=EPERM"], ": setsid: operation not permitted"),
        (&["--inject=chdir:error=EACCES"], "cannot start /bin/sh: chdir "),
        (
            &["--inject=execve:error=EPERM", "--trace-path=/bin/sh"],
            "cannot start /bin/sh: exec: operation not permitted",
        ),
        (&["--inject=openat:error=EMFILE", "--trace-path=/dev/null"], "/dev/null: too many open files"),
    ] {
        let place = Place::new("refused");
        test(&place, "true");
        let ended = refusing(&place, refused, &["run", "t.json", "--results", "results"]).run();
        assert!(ended.code() != 0 && ended.stdout.contains(said), "{refused:?}: {}{}", ended.stdout, ended.stderr);
    }
    for (refused, said) in [
        ("--inject=epoll_create1:error=EPERM", "cannot start: epoll: "),
        ("--inject=timerfd_create:error=EPERM", "cannot start: timerfd: "),
    ] {
        let place = Place::new("refused");
        test(&place, "true");
        refusing(&place, &[refused], &["run", "t.json", "--results", "results"]).run().exits_with(7).complains(&[said]);
    }
}

#[test]
fn an_unknown_limit_of_open_files_does_not_end_the_program() {
    if !can_trace("an_unknown_limit_of_open_files_does_not_end_the_program") {
        return;
    }
    let place = Place::new("no-limit");
    test(&place, "true");
    let ended = refusing(&place, &["--inject=prlimit64:error=EPERM"], &["run", "t.json", "--results", "results"]).run();
    ended.exits_with(0).complains(&["the limit of open files cannot be read: operation not permitted"]);
}

#[test]
fn a_null_device_that_is_missing_is_named_and_not_the_program() {
    let name = "a_null_device_that_is_missing_is_named_and_not_the_program";
    if !can_unshare(name, &["--mount"]) {
        return;
    }
    let place = Place::new("no-null");
    test(&place, "true");
    let script = format!("mount -t tmpfs none /dev && exec '{ARETE}' run t.json --results results");
    let ended = unshared(&place, &["--mount"], &script).run();
    let said = "its process could not be started: /dev/null: no such file or directory";
    assert!(ended.code() != 0 && ended.stdout.contains(said), "{}{}", ended.stdout, ended.stderr);
}
