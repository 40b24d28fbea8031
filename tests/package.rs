//! The installation: the Debian package, and `make install` for other systems.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::package::{PROGRAMS, make, make_package};
use common::place::files_below;
use common::{Needed, Place, have, missing, must, repository, skip};

#[test]
fn the_same_program_makes_the_same_package_to_the_byte() {
    let test = "the_same_program_makes_the_same_package_to_the_byte";
    if let Some(why) = missing(&PROGRAMS) {
        return skip(test, &why, Needed::InCi);
    }
    let (one, other) = (Place::new("package"), Place::new("package"));
    let (one, other) = (make_package(&one), make_package(&other));
    assert!(fs::read(&one).expect("readable") == fs::read(&other).expect("readable"), "{one:?} and {other:?} differ");
}

#[test]
fn the_package_is_complete_and_names_its_dependencies() {
    let test = "the_package_is_complete_and_names_its_dependencies";
    if let Some(why) = missing(&PROGRAMS) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("package");
    let package = make_package(&place);
    let ask = |what: &str| must(Command::new("dpkg-deb").arg(what).arg(&package));
    let listed = ask("--contents");
    let has = |path: &str| listed.lines().any(|line| line.ends_with(&format!(" .{path}")));
    let mut wanted = vec![
        "/usr/bin/arete".to_owned(),
        "/etc/arete/controller.json".to_owned(),
        "/etc/arete/slave.json".to_owned(),
        "/usr/share/arete/arete-test.schema.json".to_owned(),
        "/usr/share/bash-completion/completions/arete".to_owned(),
        "/usr/share/fish/vendor_completions.d/arete.fish".to_owned(),
        "/usr/share/zsh/vendor-completions/_arete".to_owned(),
        "/usr/share/doc/arete/examples/relay.json".to_owned(),
    ];
    for page in fs::read_dir(repository().join("man")).expect("the manual is there").flatten() {
        let name = page.file_name().to_string_lossy().into_owned();
        let section = name.rsplit('.').next().expect("a page has a section");
        wanted.push(format!("/usr/share/man/man{section}/{name}.gz"));
    }
    for unit in ["arete-controller.service", "arete-controller.socket", "arete-slave.service"] {
        wanted.push(format!("/usr/lib/systemd/system/{unit}"));
    }
    let missing: Vec<_> = wanted.iter().filter(|path| !has(path)).collect();
    assert!(missing.is_empty(), "the package lacks {missing:?}:\n{listed}");
    assert!(has("/etc/arete/tls/"), "the directory for certificates is missing:\n{listed}");
    let depends = must(Command::new("dpkg-deb").arg("--field").arg(&package).arg("Depends"));
    assert!(depends.contains("libc6 (>= 2."), "{depends}");
}

#[test]
fn lintian_finds_no_fault_in_the_package() {
    let test = "lintian_finds_no_fault_in_the_package";
    if let Some(why) = missing(&PROGRAMS).or_else(|| missing(&["lintian"])) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("lintian");
    let package = make_package(&place);
    let output = Command::new("lintian").arg("--allow-root").arg(package).output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn uninstall_removes_all_files_but_the_configuration() {
    let test = "uninstall_removes_all_files_but_the_configuration";
    if let Some(why) = missing(&["make"]) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("install");
    let tree = place.path("tree");
    let destination = format!("DESTDIR={}", tree.display());
    must(&mut make(&place, &["install", "PREFIX=/opt/arete", &destination]));
    let below = |dir: &Path| -> Vec<_> {
        let relative = |path: PathBuf| path.strip_prefix(dir).expect("it is below").to_string_lossy().into_owned();
        files_below(dir).into_iter().map(relative).collect()
    };
    assert!(below(&tree).len() > 15, "{:?}", below(&tree));
    let unit = place.read("tree/opt/arete/lib/systemd/system/arete-slave.service");
    assert!(unit.contains("\nExecStart=/opt/arete/bin/arete slave --stay\n"), "{unit}");
    // A file that the administrator has changed survives another installation.
    place.write("tree/etc/arete/slave.json", "{}");
    must(&mut make(&place, &["install", "PREFIX=/opt/arete", &destination]));
    assert_eq!(place.read("tree/etc/arete/slave.json"), "{}");
    must(&mut make(&place, &["uninstall", "PREFIX=/opt/arete", &destination]));
    assert_eq!(below(&tree), ["etc/arete/controller.json", "etc/arete/slave.json"]);
}

#[test]
fn every_shell_reads_its_completions() {
    let place = Place::new("completions");
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = place.arete(["completions", shell]).run().exits_with(0).stdout;
        for word in ["controller", "orphan-after", "barrier"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        for word in ["lookup", "--secret", "-l secret"] {
            assert!(!script.contains(word), "{shell} completes what is hidden: {word}");
        }
        if have(shell) {
            let file = place.write(shell, script);
            must(Command::new(shell).arg(check).arg(file));
        } else {
            skip(&format!("{shell} reading its completions"), &format!("{shell} is not installed"), Needed::Nowhere);
        }
    }
}

#[test]
fn bash_completes_a_subcommand() {
    let test = "bash_completes_a_subcommand";
    if !have("bash") {
        return skip(test, "bash is not installed", Needed::InCi);
    }
    let place = Place::new("bash");
    place.write("arete.bash", place.arete(["completions", "bash"]).run().exits_with(0).stdout);
    let script = "source ./arete.bash; COMP_WORDS=(arete contr); COMP_CWORD=1; _arete arete contr arete; \
                  echo \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script]);
    assert_eq!(place.program(command).run().exits_with(0).stdout, "controller\n");
}

#[test]
fn a_static_build_names_its_limitations() {
    let test = "a_static_build_names_its_limitations";
    if let Some(why) = missing(&["make"]) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("static");
    let output = make(&place, &["static", "MUSL=none-unknown-linux-musl"]).output().expect("make can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("rustup target add none-unknown-linux-musl"), "{said}");
}
