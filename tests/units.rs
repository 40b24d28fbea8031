//! The units of systemd: they have no mistakes, and are as restricted as they claim.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{Needed, Place, missing, repository, skip};

/// The highest exposure in `systemd-analyze security`, in tenths: the controller needs only the network.
const CONTROLLER_EXPOSURE: u32 = 15;

/// The exposure of a unit that runs commands of others. The unit has a reason for each setting.
const SLAVE_EXPOSURE: u32 = 30;

/// Copies the units to a directory of the test, with the path of the program.
fn units(place: &Place) -> Vec<PathBuf> {
    let directory = fs::read_dir(repository().join("systemd")).expect("the units lie in systemd/");
    let files = directory.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let mut units: Vec<_> = files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a unit is text");
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            place.write(&name, text.replace("/usr/bin/arete", env!("CARGO_BIN_EXE_arete")))
        })
        .collect();
    units.sort();
    units
}

#[test]
fn the_service_manager_finds_nothing_to_complain_about() {
    let test = "the_service_manager_finds_nothing_to_complain_about";
    if let Some(why) = missing(&["systemd-analyze"]) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("units");
    let units = units(&place);
    assert_eq!(units.len(), 3, "{units:?}");
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().expect("it can be run");
    // An unknown key is reported, but does not fail.
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let own: Vec<_> = said.lines().filter(|line| line.contains("arete")).collect();
    assert!(output.status.success() && own.is_empty(), "{}: {said}", output.status);
}

/// Fails the test if the exposure of a unit is higher than `exposure`.
#[track_caller]
fn assert_tight(test: &str, unit: &str, exposure: u32) {
    if let Some(why) = missing(&["systemd-analyze"]) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("tight");
    units(&place);
    let threshold = format!("--threshold={exposure}");
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", &threshold]).arg(place.path(unit));
    let output = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_controller_is_exposed_no_more_than_by_its_network() {
    let test = "the_controller_is_exposed_no_more_than_by_its_network";
    assert_tight(test, "arete-controller.service", CONTROLLER_EXPOSURE);
}

#[test]
fn the_slave_is_exposed_no_more_than_commands_need() {
    assert_tight("the_slave_is_exposed_no_more_than_commands_need", "arete-slave.service", SLAVE_EXPOSURE);
}

/// The settings of a section, without comments.
fn settings(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    lines.filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn the_drop_in_for_root_takes_back_only_what_the_slave_has_set() {
    let read =
        |path: &str| fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let unit = read("systemd/arete-slave.service");
    let drop_in = read("systemd/arete-slave.service.d/root.conf.example");
    let set: Vec<_> = settings(&unit).into_iter().map(|(key, _)| key).collect();
    let strange: Vec<_> = settings(&drop_in).into_iter().filter(|(key, _)| !set.contains(key)).collect();
    assert!(strange.is_empty(), "the unit does not set {strange:?}");
    for kept in ["KillMode", "WatchdogSec", "OOMPolicy"] {
        assert!(!drop_in.contains(kept), "the drop-in loses {kept}");
    }
}
