//! The forms of commands, the conditions of `after`, and what entries and schedules share.

use arete::machine::Exit;
use arete::testfile::{self, Authored, Problem};
use arete::wire::{Action, After, Condition, Entry, Policy, Retries, Shell, When};

use super::{good, ship};

fn read(text: &str) -> Result<Authored, Vec<Problem>> {
    testfile::read_file("t.yaml", text, &Default::default(), &mut ship)
}

/// The entries of the first slave of a test with these schedules, whose slave has the schedule `s`.
fn entries(schedules: &str) -> Vec<Entry> {
    let text = format!("name: t\nend: {{idle: true, limit: 9}}\n{schedules}\nslaves: {{a: [s]}}\n");
    let Authored { test, json, .. } = read(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(format!("{:?}", good(&json)), format!("{test:?}"), "a controller reads the same test");
    test.slaves[0].entries.to_vec()
}

fn problems(schedules: &str) -> Vec<String> {
    let text = format!("name: t\nend: {{idle: true, limit: 9}}\n{schedules}\nslaves: {{a: [s]}}\n");
    read(&text).expect_err(schedules).iter().map(|problem| problem.to_string()[7..].to_owned()).collect()
}

fn shell(entry: &Entry) -> &Shell {
    entry.shell().unwrap_or_else(|| panic!("{entry:?} is a command"))
}

fn argv(entry: &Entry) -> Vec<&str> {
    shell(entry).argv().collect()
}

#[test]
fn a_command_is_a_line_lines_a_script_a_program_or_a_file() {
    let entries = entries(
        "triggers: {go: 1}\nschedules:\n  s:\n  - {name: one, at: 0, shell: echo}\n  - {name: lines, at: 0, shell: [a, '', b]}\n\
         \x20 - name: script\n    at: 0\n    script: |\n      false\n      echo @{slave.name}\n\
         \x20 - {name: bash, at: 0, script: x, interpreter: [bash, -euo, pipefail, -c]}\n\
         \x20 - {name: exec, at: 0, exec: [ping, '', '@{slave.name}', 5, true], env: {N: 1.5}}\n\
         \x20 - {name: file, at: 0, file: tools/go.sh}\n  - {name: again, at: 0, file: [tools/go.sh, '-v']}\n\
         \x20 - {name: tell, at: 0, notify: {trigger: go, data: ['@{slave.name}', 1]}}\n",
    );
    assert_eq!(argv(&entries[0]), ["/bin/sh", "-c", "echo"]);
    assert_eq!(argv(&entries[1]), ["/bin/sh", "-c", "a\n\nb"]);
    assert_eq!(argv(&entries[2]), ["/bin/sh", "-e", "-c", "false\necho @{slave.name}\n"]);
    assert_eq!(argv(&entries[3]), ["bash", "-euo", "pipefail", "-c", "x"]);
    assert_eq!(argv(&entries[4]), ["ping", "", "@{slave.name}", "5", "true"]);
    assert_eq!(shell(&entries[4]).env["N"], "1.5");
    assert_eq!(argv(&entries[5]), ["@{go.sh.path}"]);
    assert_eq!(argv(&entries[6]), ["@{go.sh.path}", "-v"]);
    assert_eq!(shell(&entries[6]).use_resources, ["go.sh"]);
    let data = Some(serde_json::json!(["@{slave.name}", 1]));
    assert_eq!(entries[7].action, Action::Notify { trigger: "go".to_owned(), data });
}

#[test]
fn a_file_is_shipped_once_executable_and_under_a_name_of_its_own() {
    let text = "name: t\nend: {duration: 1}\nresources: {go.sh: {file: other}}\nschedules:\n  s:\n\
                \x20 - {name: a, at: 0, file: x/go.sh}\n  - {name: b, at: 0, file: y/go.sh}\n  - {name: c, at: 0, file: x/go.sh}\n\
                slaves: {a: [s]}\n";
    let test = read(text).unwrap_or_else(|problems| panic!("{problems:#?}")).test;
    let shipped: Vec<_> = test.resources.iter().map(|(name, (_, it))| (&**name, &*it.file, it.executable)).collect();
    assert_eq!(shipped, [("file-1", "go.sh", true), ("file-2", "go.sh", true), ("go.sh", "other", false)]);
    assert_eq!(argv(&test.slaves[0].entries[2]), ["@{file-1.path}"]);
}

#[test]
fn an_entry_waits_for_one_all_or_any_of_several_conditions() {
    let entries = entries(
        "schedules:\n  s:\n  - {name: a, at: 0, shell: x, ready: {port: 1}, retries: 2}\n\
         \x20 - {name: b, at: 0, shell: x, retries: {times: 3, delay: 5s}}\n\
         \x20 - {name: c, after: [a, {entry: b, exit: failed}], shell: x}\n\
         \x20 - {name: d, after: {any: [{entry: a, ready: true}, {entry: b, exit: 3}], delay: 2s}, shell: x}\n\
         \x20 - {name: e, after: {entry: a, exit: any}, shell: x}\n",
    );
    let condition = |entry: &str, when| Condition { entry: entry.to_owned(), when };
    let after = |of, any, delay| Policy::After(After { of, any, delay });
    let both = vec![condition("a", When::Ended), condition("b", When::Failed)];
    assert_eq!(entries[2].policy, after(both, false, 0));
    let any = vec![condition("a", When::Ready), condition("b", When::Exited(Exit::Code(3)))];
    assert_eq!(entries[3].policy, after(any, true, 2_000_000));
    assert_eq!(entries[4].policy, after(vec![condition("a", When::Ended)], false, 0));
    assert_eq!(shell(&entries[0]).retries, Some(Retries { times: 2, delay: 0 }));
    assert_eq!(shell(&entries[1]).retries, Some(Retries { times: 3, delay: 5_000_000 }));
}

#[test]
fn defaults_are_taken_from_the_schedule_and_the_test_unless_the_entry_has_its_own() {
    let entries = entries(
        "triggers: {go: 1}\n\
         defaults: {timeout: 60, cwd: d, env: {A: test, B: test, C: test}, expect: [3], interpreter: [bash, -c]}\n\
         schedules:\n  s:\n    defaults: {timeout: 30, env: {A: schedule, B: schedule}}\n    entries:\n\
         \x20   - {name: plain, at: 0, shell: x}\n    - {name: own, at: 0, shell: x, timeout: 9, env: {A: own}, cwd: e}\n\
         \x20   - {name: service, at: 0, exec: [x], service: true}\n    - {name: tell, at: 0, notify: go}\n",
    );
    let env = |entry| shell(entry).env.values().cloned().collect::<Vec<_>>();
    assert_eq!(env(&entries[0]), ["schedule", "schedule", "test"]);
    assert_eq!(argv(&entries[0]), ["bash", "-c", "x"]);
    assert_eq!((shell(&entries[0]).timeout, shell(&entries[0]).cwd.as_deref()), (Some(30_000_000), Some("d")));
    assert!(shell(&entries[0]).expect.allows(Exit::Code(3)) && !shell(&entries[0]).expect.allows(Exit::Code(0)));
    assert_eq!(env(&entries[1]), ["own", "schedule", "test"]);
    assert_eq!((shell(&entries[1]).timeout, shell(&entries[1]).cwd.as_deref()), (Some(9_000_000), Some("e")));
    let service = shell(&entries[2]);
    assert_eq!((service.timeout, argv(&entries[2])), (None, vec!["x"]), "a service has no timeout, a program no shell");
    assert!(!service.expect.allows(Exit::Code(3)), "a service does not take what jobs expect");
}

#[test]
fn a_schedule_extends_others_and_replaces_entries_at_their_places() {
    let all = entries(
        "schedules:\n  s: {extends: [b, c], entries: [{name: x, at: 0, shell: s}, {name: s, at: 0, shell: s}]}\n\
         \x20 a: {defaults: {timeout: 7}, entries: [{name: x, at: 0, shell: a}, {name: y, at: 0, shell: a}]}\n\
         \x20 b: {extends: a, entries: [{name: y, at: 0, shell: b}]}\n  c: [{name: z, at: 0, shell: c}]\n",
    );
    let shown = |entry: &Entry| format!("{} {} {:?}", entry.name, shell(entry).text(), shell(entry).timeout);
    let shown: Vec<_> = all.iter().map(shown).collect();
    assert_eq!(shown, ["x s None", "y b None", "z c None", "s s None"]);
    let of_a =
        entries("schedules: {s: {extends: a}, a: {defaults: {timeout: 7}, entries: [{name: x, at: 0, shell: a}]}}");
    assert_eq!(shell(&of_a[0]).timeout, Some(7_000_000), "an inherited entry keeps its defaults");
}

#[test]
fn what_is_wrong_in_commands_conditions_and_schedules_is_told_at_its_place() {
    let mut found = Vec::new();
    let one = |rest: &str| format!("schedules:\n  s:\n  - {{name: a, at: 0, shell: x}}\n  - {{name: b, {rest}}}");
    for (rest, says) in [
        ("at: 0, shell: []", "6:29: \"shell\" is empty"),
        ("at: 0, shell: [1]", "6:30: a line is a string, found a number"),
        ("at: 0, exec: x", "6:28: \"exec\" is a list of strings, found a string"),
        ("at: 0, exec: ['', x]", "6:28: \"exec\" is empty"),
        ("at: 0, file: []", "6:28: \"file\" is an empty list: it begins with the path of a file"),
        ("at: 0, file: missing", "6:28: the resource \"missing\" cannot be shipped: missing: "),
        ("at: 0, exec: [x], interpreter: [y]", "6:33: \"interpreter\" goes only with \"shell\" or \"script\""),
        ("at: 0, exec: [x], script: y", "6:33: an entry has only one of \"exec\" and \"script\": remove one of them"),
        ("at: 0, shell: x, retries: 0", "6:41: the number of retries is a whole number from 1 to 1000, found 0"),
        ("at: 0, shell: x, retries: {delay: 1}", "6:41: \"retries\" needs the key \"times\""),
        ("at: 0, shell: x, service: true, retries: 1", "6:47: \"retries\" does not go with \"service\": "),
        ("finally: true, shell: x, retries: 1", "6:40: \"retries\" does not go with \"finally\": "),
        ("after: [], shell: x", "6:22: \"after\" is a list of 1 to 100 entries"),
        ("after: [a, c], shell: x", "6:26: the slave \"a\" has no entry \"c\"; known: \"a\" and \"b\""),
        ("after: {all: [a], exit: 1}, shell: x", "6:33: \"exit\" belongs to an entry of the list: "),
        ("after: {any: [a], entry: a}, shell: x", "6:33: \"after\" has only one of \"any\" and \"entry\""),
        ("after: {entry: a, exit: fail}, shell: x", "6:39: unknown signal \"fail\""),
        ("after: [a, b], shell: x", "6:26: these entries wait for each other for ever: \"b\" after \"b\""),
        ("at: 0, notify: {data: 1}", "6:30: \"notify\" needs the key \"trigger\""),
    ] {
        found.push((one(rest), says));
    }
    for (schedules, says) in [
        (
            "defaults: {timeout: x}\nschedules: {s: [{name: a, at: 0, shell: x}, {name: b, at: 0, shell: x}]}",
            "3:21: \"timeout\"",
        ),
        ("defaults: {shell: x}\nschedules: {s: []}", "3:12: unknown key \"shell\""),
        (
            "schedules:\n  s: {extends: t}\n  t: {extends: s}\n",
            "4:3: these schedules extend each other: \"s\", \"t\", \"s\"",
        ),
        ("schedules: {s: {extends: nothing}}", "3:26: unknown schedule \"nothing\""),
        ("schedules: {s: {entry: []}}", "3:17: unknown key \"entry\"; known: "),
        ("schedules: {s: {entries: x}}", "3:26: a schedule is a list, found a string"),
    ] {
        found.push((schedules.to_owned(), says));
    }
    let is_wrong = |(schedules, says): &(String, &str)| {
        let found = problems(schedules);
        (found.len() != 1 || !found[0].starts_with(says)).then(|| format!("{schedules}: {says}: {found:#?}"))
    };
    let wrong: Vec<String> = found.iter().filter_map(is_wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_inherited_has_a_bound() {
    let mut schedules = "schedules:\n  s: []\n  a0: [{name: e, at: 0, shell: x}]\n".to_owned();
    for nr in 1..400 {
        schedules += &format!("  a{nr}: {{extends: a{}, entries: [{{name: e{nr}, at: 0, shell: x}}]}}\n", nr - 1);
    }
    let found = problems(&schedules);
    assert!(found.iter().any(|problem| problem.contains("stand for at most")), "{found:#?}");
}

#[test]
fn a_group_in_a_text_becomes_its_members_or_their_addresses() {
    let with = |command: &str| {
        format!(
            "name: t\nend: {{duration: 9}}\ngroups: {{all: [a, 'b#1', 'b#2'], some: ['@all', x]}}\n\
             schedules: {{s: [{{name: e, at: 0, shell: \"{command}\"}}]}}\nslaves: {{'[a-b]': [], a: [s], b: [s]}}\n"
        )
        .replace("'[a-b]': [], ", "")
    };
    let text = |command: &str| {
        let test = read(&with(command)).unwrap_or_else(|problems| panic!("{problems:#?}")).test;
        shell(&test.slaves[0].entries[0]).text().into_owned()
    };
    assert_eq!(text("for i in @{group.all}; do @@{x} @{slave.index}"), "for i in a b#1 b#2; do @@{x} @{slave.index}");
    assert_eq!(text("@{group.all.addresses} @{run.id}"), "@{a.address} @{b.address} @{run.id}");
    let test = read(&with("@{group.all.addresses} @{slave.index}")).unwrap().test;
    assert_eq!(testfile::addresses_of(&test.slaves[0].entries[0]), ["a", "b"]);
    assert!(testfile::uses_index(&test.slaves[0].entries[0]));
    let wrong = |command: &str| read(&with(command)).expect_err(command)[0].to_string();
    assert!(wrong("@{group.al}").contains("unknown group \"al\""), "{}", wrong("@{group.al}"));
    assert!(wrong("@{group.some.addresses}").contains("unknown slave \"x\""), "{}", wrong("@{group.some.addresses}"));
    assert!(wrong("@{group.}").contains("unknown variable"), "{}", wrong("@{group.}"));
}

#[test]
fn groups_in_texts_have_a_bound() {
    let all = "@{group.all} ".repeat(900);
    let text = format!(
        "name: t\nend: {{duration: 9}}\ngroups: {{all: ['node[00001-10000]']}}\nschedules: {{s: [{{name: e, at: 0, shell: \
         \"{all}\"}}]}}\nslaves: {{a: [s]}}\n"
    );
    let found = read(&text).expect_err("it is too long");
    assert!(found.iter().any(|problem| problem.message.contains("stand for at most")), "{found:#?}");
}
